"""FedPer: the adapters are averaged, the head stays with its client."""

from benchmark.method import Method


class FedPer(Method):
    """Base layers (here: the adapters) are averaged, personalisation layers (the head) are not (arXiv 1912.00818)."""

    title = "FedPer"
    paper = "arXiv:1912.00818"
    head = "personal"
