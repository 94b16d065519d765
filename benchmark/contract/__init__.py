"""What every method must keep, whoever writes it: `python -m benchmark check methods/mine.py`, and the test suite."""
