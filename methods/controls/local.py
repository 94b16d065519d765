"""Control: every hospital fine-tunes on its own images and sends nothing."""

from benchmark.method import Leaf, Method


class Local(Method):
    """One adapter and one head per client, never averaged."""

    title = "Local"
    paper = "control"
    control = True
    head = "personal"

    def shared(self, leaf: Leaf) -> bool:
        """Nothing travels."""
        return False
