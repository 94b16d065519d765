"""FFA-LoRA: A stays at its random start, B alone is trained and averaged."""

from collections.abc import Sequence

from benchmark.method import Leaf, Method, Phase


class FFALoRA(Method):
    """Freeze A, equal on all clients; then the average of B A is exact (arXiv 2403.12313, section 4)."""

    title = "FFA-LoRA"
    paper = "arXiv:2403.12313"
    needs = ("lora",)

    def shared(self, leaf: Leaf) -> bool:
        """A never changes, so all but A travels."""
        return leaf.part == "global" and leaf.factor != "A"

    def phases(self, round: int) -> Sequence[Phase]:
        """Everything but A is trained."""
        return [Phase(trains=lambda leaf: leaf.factor != "A")]
