"""Control: the averaged head alone, on the frozen network: what adapters add to is seen beside it."""

from benchmark.method import Method


class HeadShared(Method):
    """FedAvg of the head; there is no adapter."""

    title = "Head alone, shared"
    paper = "control"
    control = True
    head = "shared"
    trains = ("head",)
