"""SAM, LoRA: one of the rows that FLAP-SAM is compared with."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from benchmark.method import Leaves, Method, aggregation_error, mean_of_products, mean_over_clients


@dataclass(frozen=True)
class SamLoRA(Method):
    """Adapters alone ("LoRA FT"; arXiv 2407.21739, figure 1); the head keeps its random weights.

    Attributes:
        average: What is averaged of adapters: `products` B A, cut to the adapter's rank, A taking the singular values,
            as in the authors' code; or `factors`, A and B apart. Everything else is averaged as it is.
    """

    average: Literal["products", "factors"] = "products"

    title = "SAM, LoRA"
    paper = "arXiv:2407.21739"
    head = "shared"
    trains = ("lora",)

    def server(self, sent: Leaves, start: Leaves, weights: Tensor) -> Leaves:
        """The weighted mean."""
        if self.average == "factors":
            return mean_over_clients(sent, weights)
        return mean_of_products(sent, weights, scaled="A")

    def measure(self, sent: Leaves, start: Leaves, weights: Tensor, received: Leaves) -> Leaves:
        """What the average of adapters loses."""
        return {"aggregation_error": aggregation_error(sent, weights, received)}
