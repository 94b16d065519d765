"""SAM, full: one of the rows that FLAP-SAM is compared with."""

from benchmark.method import Method


class SamFull(Method):
    """Everything is trained and averaged ("Full FT"; arXiv 2407.21739, figure 1).

    Weights that no image without prompts reaches are counted and sent, as in the paper, and never change.
    """

    title = "SAM, full"
    paper = "arXiv:2407.21739"
    head = "shared"
    trains = ("all",)
