"""Tests of the measurements: both sides do the same work."""
