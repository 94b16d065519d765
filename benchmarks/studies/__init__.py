"""Studies that answered their question: see README.md. Living measurements are one folder up."""
