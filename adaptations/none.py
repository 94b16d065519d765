"""None: the common model predicts, as it is."""

from benchmark.adaptation import Adaptation


class NoAdaptation(Adaptation):
    """What a hospital gets that asks for the federation's model and does nothing."""

    title = "Common model"
    paper = "control"
