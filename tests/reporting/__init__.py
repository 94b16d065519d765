"""Tests of `benchmark.reporting`."""
