"""SAM, decoder: one of the rows that FLAP-SAM is compared with."""

from benchmark.method import Method


class SamDecoder(Method):
    """The whole mask decoder ("Full decoder FT"; arXiv 2407.21739, figure 1)."""

    title = "SAM, decoder"
    paper = "arXiv:2407.21739"
    head = "shared"
    trains = ("decoder", "head")
