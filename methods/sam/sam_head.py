"""SAM, head: one of the rows that FLAP-SAM is compared with."""

from benchmark.method import Method


class SamHead(Method):
    """Tokens, upscaler and hyper-networks ("Partial decoder FT"; arXiv 2407.21739, figure 1)."""

    title = "SAM, head"
    paper = "arXiv:2407.21739"
    head = "shared"
    trains = ("head",)
