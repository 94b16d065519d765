"""Bounds for the others, shown and not ranked: each hospital alone, and all data in one place."""
