"""Datasets: one module each, found by file name."""
