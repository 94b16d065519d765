"""The rows of the FedOPAL paper (arXiv 2510.12741)."""
