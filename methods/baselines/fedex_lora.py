"""FedEx-LoRA: FedIT, and what averaging A and B apart loses is added to the frozen weight."""

from torch import Tensor

from benchmark.method import Leaves, Method, mean_over_clients, named, offset_name, pairs, stacked


class FedExLoRA(Method):
    """W0 += mean(B_i A_i) - mean(B_i) mean(A_i), so that averaging is exact (arXiv 2410.09432).

    What travels down are the means, and the residual as the clients' stacked factors: its rank is at most the sum of
    theirs. All clients weigh the same, as in the authors' code.
    """

    title = "FedEx-LoRA"
    paper = "arXiv:2410.09432"
    needs = ("lora",)
    offset = True
    averaging = "uniform"

    def server(self, sent: Leaves, start: Leaves, weights: Tensor) -> Leaves:
        """The means, and all factors."""
        return {**mean_over_clients(sent, weights), **named(stacked(sent, weights), "stacked")}

    def download(self, received: Leaves, params: Leaves, memory: Leaves, fresh: Leaves) -> tuple[Leaves, Leaves]:
        """Take over the means, and add the residual to the frozen weight."""
        mean, exact = pairs(received, "global"), pairs(received, "stacked")
        offset = {n: params[n] + exact[s].product - mean[s].product for s in mean for n in [offset_name(s)]}
        return {**{n: leaf for n, leaf in received.items() if n in params}, **offset}, memory
