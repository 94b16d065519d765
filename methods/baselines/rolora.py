"""RoLoRA: B and A are trained and averaged in turn, so that every average is exact."""

from collections.abc import Sequence

from benchmark.method import Method, Phase


class RoLoRA(Method):
    """B and the head in one round, A and the head in the next (arXiv 2502.01755).

    B is first: it starts at zero, where A has no gradient. Only the trained factor travels.
    """

    title = "RoLoRA"
    paper = "arXiv:2502.01755"
    needs = ("lora",)

    def phases(self, round: int) -> Sequence[Phase]:
        """All but the factor whose turn it is not."""
        fixed = "A" if round % 2 == 0 else "B"
        return [Phase(trains=lambda leaf: leaf.factor != fixed)]
