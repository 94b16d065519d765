"""One file, one way to serve a hospital that took no part in training; its contract is benchmark/adaptation.py."""
