"""Control of IOP-FL: FedAvg, and every client predicts with what it trained in the last round, before the average."""

from benchmark.method import Leaves, Method


class LastLocal(Method):
    """FedAvg and then a round's local training: IOP-FL with a = 0, to tell what its running mean adds."""

    title = "Last local model"
    paper = "control"
    control = True
    head = "shared"
    averaging = "samples"

    def memory(self, params: Leaves) -> Leaves:
        """The client's last model."""
        return {f"last/{name}": leaf.clone() for name, leaf in params.items()}

    def after(self, params: Leaves, start: Leaves, memory: Leaves, gradients: Leaves) -> Leaves:
        """What was trained, before anything is averaged."""
        return {f"last/{name}": leaf for name, leaf in params.items()}

    def deployed(self, params: Leaves, memory: Leaves) -> Leaves:
        """The last model."""
        return {name: memory[f"last/{name}"] for name in params}
