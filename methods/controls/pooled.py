"""Control: all images in one place, which the hospitals cannot do."""

from benchmark.method import Method


class Pooled(Method):
    """One adapter and one head, trained on the union of all clients' images."""

    title = "Pooled"
    paper = "control"
    control = True
    pooled = True
