"""Drawings: a function of the results gives a figure and the numbers that it shows."""
