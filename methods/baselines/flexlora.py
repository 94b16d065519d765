"""FlexLoRA: the clients' products are averaged, and decomposed into an adapter again."""

from torch import Tensor

from benchmark.method import Leaves, Method, mean_over_clients, named, pairs, stacked, truncated


class FlexLoRA(Method):
    """SVD of sum_i p_i B_i A_i, cut to the adapter's rank (arXiv 2402.11505); here all ranks are equal."""

    title = "FlexLoRA"
    paper = "arXiv:2402.11505"
    needs = ("lora",)

    def server(self, sent: Leaves, start: Leaves, weights: Tensor) -> Leaves:
        """The best adapter of its rank for the mean of the products; the mean of all else."""
        ranks = {site: pair.B.shape[-1] for site, pair in pairs(sent, "global").items()}
        found = named({site: truncated(pair, ranks[site]) for site, pair in stacked(sent, weights).items()}, "global")
        rest = {name: leaf for name, leaf in sent.items() if name not in found}
        return {**mean_over_clients(rest, weights), **found}
