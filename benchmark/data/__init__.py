"""Data: federated datasets, their splits, and the packed arrays that training reads."""
