"""Mean: every expert counts the same."""

from collections.abc import Mapping, Sequence

from benchmark.adaptation import Adaptation


class Mean(Adaptation):
    """The uniform mixture of all clients' models and the common one: where IOP-FL's layers with a gate begin."""

    title = "Mean of experts"
    paper = "control"

    def mixtures(self, experts: Sequence[str]) -> Mapping[str, Mapping[str, float]]:
        """One, of all."""
        return {"mean": dict.fromkeys(experts, 1 / len(experts))}
