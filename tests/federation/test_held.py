"""The engine's numbers, held while its code is moved: `held.json` has what every method led to.

Float64 on the small federation, so that every CPU agrees to far more digits than are compared. Who changes what a
method computes on purpose writes its numbers anew, `python -m tests.federation.test_held METHOD ...`, and no others.
"""

import json
import sys
from pathlib import Path

import pytest
import torch

from tests.federation.small import LANES, METHODS, engine, method, train

HELD = Path(__file__).with_name("held.json")
CLOSE = 1e-9
"""Absolute and relative, on numbers of order one to a hundred."""


def numbers(name: str) -> dict[str, list[float]]:
    """By what a client holds, the sum and the norm over all clients of every lane; and every validation loss and score.

    FlexLoRA's singular vectors turn where singular values are close: of it, what it predicts alone is held.
    """
    ours = engine(method(name))
    state = train(ours, LANES, 2)
    found: dict[str, list[float]] = {}
    for kind, held in (("leaf", state.params), ("memory", state.memory)):
        for part in sorted({key.partition("/")[0] for key in held}):
            own = torch.cat([v.movedim(1, 0).flatten(1) for k, v in held.items() if k.partition("/")[0] == part], 1)
            if name != "flexlora" or part == "head":
                found[f"{kind} {part}"] = [*own.sum(1).tolist(), *own.norm(dim=1).tolist()]
    for client, measured in zip(ours.clients, ours.validate(state), strict=True):
        for metric, values in measured.items():
            found[f"{metric} {client.name}"] = values.tolist()
    return found


@pytest.mark.parametrize("name", [name for name in METHODS if name in json.loads(HELD.read_text())])
def test_a_methods_numbers_are_what_they_were(name: str) -> None:
    """Leaves, memory, validation loss and score after two rounds and the closing passes, in four lanes."""
    held, found = json.loads(HELD.read_text())[name], numbers(name)
    assert found.keys() == held.keys()
    for key, values in held.items():
        assert found[key] == pytest.approx(values, rel=CLOSE, abs=CLOSE), key


if __name__ == "__main__":
    anew = {**json.loads(HELD.read_text()), **{name: numbers(name) for name in sys.argv[1:]}}
    HELD.write_text(json.dumps(dict(sorted(anew.items())), indent=1) + "\n", encoding="utf-8")
