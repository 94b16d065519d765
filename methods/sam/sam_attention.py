"""SAM, attention: one of the rows that FLAP-SAM is compared with."""

from benchmark.method import Method


class SamAttention(Method):
    """Every attention of encoder and decoder, and the head ("Attention FT"; arXiv 2407.21739, figure 1)."""

    title = "SAM, attention"
    paper = "arXiv:2407.21739"
    head = "shared"
    trains = ("attention", "head")
