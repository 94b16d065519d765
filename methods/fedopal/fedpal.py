"""FedPAL: a global and a personal adapter, trained together and summed."""

from benchmark.method import Method


class FedPAL(Method):
    """`W0 x + B_g A_g x + B_p A_p x`; the global pair is averaged (arXiv 2510.12741; FedOPAL with lambda = 0)."""

    title = "FedPAL"
    paper = "arXiv:2510.12741"
    adapters = ("global", "personal")
