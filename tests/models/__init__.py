"""Tests of backbones and adapters."""
