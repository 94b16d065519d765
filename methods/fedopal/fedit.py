"""FedIT: FedAvg of one LoRA adapter, A and B averaged separately."""

from benchmark.method import Method


class FedIT(Method):
    """Average A and B of one adapter, weighted by training images (arXiv 2305.05644, algorithm 1)."""

    title = "FedIT"
    paper = "arXiv:2305.05644"
