"""Tests of every method."""
