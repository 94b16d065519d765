"""Each: every expert alone; the best of them is known to labels only."""

from collections.abc import Mapping, Sequence

from benchmark.adaptation import Adaptation


class Each(Adaptation):
    """Every client's model and the common one, one by one."""

    title = "Each expert"
    paper = "control"
    oracle = True

    def mixtures(self, experts: Sequence[str]) -> Mapping[str, Mapping[str, float]]:
        """As many as there are experts."""
        return {expert: {expert: 1.0} for expert in experts}
