"""Tests of finished studies."""
