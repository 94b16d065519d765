"""FlexLoRA: the clients' products are averaged, and decomposed into an adapter again."""

from torch import Tensor

from benchmark.method import Leaves, Method, aggregation_error, mean_of_products


class FlexLoRA(Method):
    """SVD of sum_i p_i B_i A_i, cut to the adapter's rank (arXiv 2402.11505); here all ranks are equal."""

    title = "FlexLoRA"
    paper = "arXiv:2402.11505"
    needs = ("lora",)

    def server(self, sent: Leaves, start: Leaves, weights: Tensor) -> Leaves:
        """The best adapter of its rank for the mean of the products; the mean of all else."""
        return mean_of_products(sent, weights)

    def measure(self, sent: Leaves, start: Leaves, weights: Tensor, received: Leaves) -> Leaves:
        """What the cut to the adapter's rank loses."""
        return {"aggregation_error": aggregation_error(sent, weights, received)}
