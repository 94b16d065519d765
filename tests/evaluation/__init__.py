"""Tests of `benchmark.evaluation`."""
