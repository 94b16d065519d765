"""FLoRA: the clients' adapters are stacked, merged into the frozen weight, and begun anew."""

from torch import Tensor

from benchmark.method import Leaf, Leaves, Method, mean_over_clients, named, offset_name, pairs, stacked


class FLoRA(Method):
    """W0 += sum_i p_i B_i A_i, then every client draws a new adapter of its own (arXiv 2409.05976; authors' code).

    With a different A for every client, the stack of K clients has rank K r. What they receive grows with their number.
    """

    title = "FLoRA"
    paper = "arXiv:2409.05976"
    needs = ("lora",)
    drawn_by_clients = ("global",)
    offset = True

    def shared(self, leaf: Leaf) -> bool:
        """Not the adapters, of which every client has its own: they are sent, and come back as a stack."""
        return leaf.part == "global" and leaf.role != "lora"

    def upload(self, params: Leaves, memory: Leaves) -> Leaves:
        """The adapter."""
        return named(pairs(params, "global"), "stacked")

    def server(self, sent: Leaves, start: Leaves, weights: Tensor) -> Leaves:
        """All factors, stacked; the mean of all else."""
        rest = {name: leaf for name, leaf in sent.items() if not name.startswith("stacked/")}
        return {**mean_over_clients(rest, weights), **named(stacked(sent, weights, "stacked"), "stacked")}

    def download(self, received: Leaves, params: Leaves, memory: Leaves, fresh: Leaves) -> tuple[Leaves, Leaves]:
        """Merge the stacked product, and begin a new adapter."""
        merged = {offset_name(site): pair.product for site, pair in pairs(received, "stacked").items()}
        offset = {name: params[name] + product for name, product in merged.items()}
        anew = named(pairs(fresh, "global"), "global")
        return {**{n: leaf for n, leaf in received.items() if n in params}, **offset, **anew}, memory
