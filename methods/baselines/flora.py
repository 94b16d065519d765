"""FLoRA: the clients' adapters are stacked, merged into the frozen weight, and begun anew."""

from torch import Tensor

from benchmark.method import Leaves, Method, mean_over_clients, named, offset_name, pairs, stacked


class FLoRA(Method):
    """W0 += sum_i p_i B_i A_i, then a new adapter in every round (arXiv 2409.05976).

    What clients receive grows with their number.
    """

    title = "FLoRA"
    paper = "arXiv:2409.05976"
    needs = ("lora",)
    offset = True

    def server(self, sent: Leaves, start: Leaves, weights: Tensor) -> Leaves:
        """All factors, stacked; the mean of all else."""
        factors = named(pairs(sent, "global"), "global")
        rest = {name: leaf for name, leaf in sent.items() if name not in factors}
        return {**mean_over_clients(rest, weights), **named(stacked(sent, weights), "stacked")}

    def download(self, received: Leaves, params: Leaves, memory: Leaves, fresh: Leaves) -> tuple[Leaves, Leaves]:
        """Merge the stacked product, and begin a new adapter, equal on all clients."""
        merged = {offset_name(site): pair.product for site, pair in pairs(received, "stacked").items()}
        offset = {name: params[name] + product for name, product in merged.items()}
        anew = named(pairs(fresh, "global"), "global")
        return {**{n: leaf for n, leaf in received.items() if n in params}, **offset, **anew}, memory
