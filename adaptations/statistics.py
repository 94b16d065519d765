"""Statistics: the common model, normalised by the statistics of the hospital's images; nothing is learned."""

from dataclasses import dataclass

from benchmark.adaptation import Adaptation


@dataclass(frozen=True)
class Statistics(Adaptation):
    """Batch normalisation at prediction time (arXiv 2006.10963): what TENT and IOP-FL do before their first step.

    It tells what those gain by learning. Where nothing is normalised over the batch, it is the common model as it is.

    Attributes:
        batch_size: Images that are predicted together, and whose statistics count.
    """

    batch_size: int = 16

    title = "Batch statistics"
    paper = "arXiv:2006.10963"
    batch_statistics = True
