"""FedSA-LoRA: both factors are trained, A is averaged, B stays with its client."""

from benchmark.method import Leaf, Method


class FedSALoRA(Method):
    """A learns what clients share, B what they do not (arXiv 2410.01463, section 4).

    The head is personal, as in the authors' configuration for classification.
    """

    title = "FedSA-LoRA"
    paper = "arXiv:2410.01463"
    needs = ("lora",)
    head = "personal"

    def shared(self, leaf: Leaf) -> bool:
        """A alone travels."""
        return leaf.factor == "A"
