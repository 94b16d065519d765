"""Measurements of the engine beside what people use today: see README.md."""
