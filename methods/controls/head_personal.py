"""Control: every client's own head alone, on the frozen network: what adapters add to is seen beside it."""

from benchmark.method import Method


class HeadPersonal(Method):
    """A head for every client, never averaged; there is no adapter, and nothing travels."""

    title = "Head alone, personal"
    paper = "control"
    control = True
    head = "personal"
    trains = ("head",)
