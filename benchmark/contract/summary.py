"""What a method holds, trains and sends, on the small federation."""

import math

from benchmark.contract.federation import ARGUMENTS, LORA, engine
from benchmark.contract.trial import Trial
from benchmark.disk import readable
from benchmark.federation.costs import Traffic, phases, traffic, trainable_parameters
from benchmark.federation.fault import families
from benchmark.method import Method

ROUNDS = 2
COLUMNS = ("part", "leaves", "numbers", "trained", "shared")


def summary(trial: Trial) -> str:
    """A table of the leaves by part, and what is trained and sent beside FedAvg of one adapter."""
    ours, plain = trial.engine, engine(Method())
    sizes = [trainable_parameters(one.model, ROUNDS) for one in (ours, plain)]
    sent, usual = (traffic(one.model, one.head, len(one.participants), ROUNDS, one.dtype) for one in (ours, plain))
    return "\n".join(
        [
            *_table(trial),
            *_names(trial),
            f"trains  {sizes[0]:,} numbers ({sizes[0] / sizes[1]:.2f} x FedAvg of one adapter)",
            f"sends   {_bytes(sent, usual, 'up')} per round and client",
            f"gets    {_bytes(sent, usual, 'down')} per round and client",
            f"        on the small federation: {len(ours.clients)} clients, rank {LORA.rank}, "
            f"width {ARGUMENTS['embed_dim']}, 8 bytes a number",
        ]
    )


def _table(trial: Trial) -> list[str]:
    """One line for each part of a client's leaves, and one for its memory."""
    model, passes = trial.engine.model, phases(trial.engine.model.method, ROUNDS)
    shared = model.shared(trial.engine.head)
    rows = [COLUMNS]
    for part in dict.fromkeys(leaf.part for leaf in model.leaves.values()):
        own = [leaf for leaf in model.leaves.values() if leaf.part == part]
        trained = [model.moves(leaf.name, passes) for leaf in own]
        travels = [leaf.name in shared for leaf in own]
        numbers = sum(math.prod(leaf.shape) for leaf in own)
        rows.append((part, str(len(own)), f"{numbers:,}", _some(trained), _some(travels)))
    if memory := trial.trained.states[0].memory:
        numbers = sum(math.prod(value.shape[2:]) for value in memory.values())
        rows.append(("(memory)", str(len(memory)), f"{numbers:,}", "", ""))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _names(trial: Trial) -> list[str]:
    """What leaves are called, and their shapes; blocks differ in their number alone."""
    leaves = trial.engine.model.leaves
    shapes = {families([name])[0]: leaf.shape for name, leaf in leaves.items()}
    return [f"{'' if number else 'leaves':8}{name} {shape}" for number, (name, shape) in enumerate(shapes.items())]


def _some(holds: list[bool]) -> str:
    return "yes" if all(holds) else f"{sum(holds)} of {len(holds)}" if any(holds) else "no"


def _bytes(sent: Traffic, usual: Traffic, way: str) -> str:
    """The mean of all rounds, and how much that is beside the usual."""
    own, plain = (sum(getattr(one, way)) / ROUNDS for one in (sent, usual))
    return f"{readable(own)} ({own / plain:.2f} x)"
