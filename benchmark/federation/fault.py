"""What a job says of an error: whose it is, and where it happened.

An error in a method is its author's to mend: the file, line, hook, client and round are named. A missing file or a
wrong setting is one line. Anything else is a fault of this project and keeps its traceback.
"""

import re
import traceback
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import FrameType

import torch

from benchmark.federation.client import ClientData
from benchmark.federation.engine import Engine, State
from benchmark.method import Method

Frames = Sequence[tuple[FrameType, int]]
_REMEDIES = {
    "calling .item()": "a hook sees all lanes at once: keep tensors, without `.item()`, `float(x)` or `int(x)`",
    "data-dependent control flow": "a hook sees all lanes at once: `torch.where(condition, a, b)` instead of `if`",
    "called random operation": "every draw is keyed by seed: `download` is given `fresh` leaves, no hook draws numbers",
    "does not require grad": "the loss depends on no trained leaf: compute it from `params`, not from `start`",
    "in-place": "make a new tensor: `x = x + 1` instead of `x += 1` or `x.add_(1)`",
    "inplace": "make a new tensor: `x = x + 1` instead of `x += 1` or `x.add_(1)`",
}
"""What to do, by what torch says where a hook does what cannot be mapped over lanes."""


def report(error: Exception, method: Path) -> str:
    """The text for a job's log, of one line or more: its last line says all."""
    frames = list(traceback.walk_tb(error.__traceback__))
    said = f"{type(error).__name__}: {error}"
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "DefaultCPUAllocator" in said:
        return f"out of memory{_place(frames)}: set `lanes` or `training.batch_size` lower, or run fewer jobs ({said})"
    if isinstance(error, torch.AcceleratorError):
        return f"the GPU failed{_place(frames)}: run again, training goes on from its last checkpoint ({said})"
    own = [number for number, (frame, _) in enumerate(frames) if _same(frame.f_code.co_filename, method)]
    if own:
        shown = traceback.StackSummary.extract(iter(frames[own[0] :]))
        line = frames[own[-1]][1]
        place = f"{method}:{line}: {_hook(frames[own[0]][0])}{_place(frames)}"
        remedy = _names(error, frames[own[-1]][0]) if isinstance(error, KeyError) else _remedy(said)
        return f"{''.join(shown.format())}{place}: {said}{remedy}"
    if isinstance(error, SyntaxError) and error.filename and _same(error.filename, method):
        return f"{method}:{error.lineno}: while it was loaded: {said}"
    if isinstance(error, ValueError | OSError):
        return f"{said}{_place(frames)}"
    return "".join(traceback.format_exception(error)) + f"{method}{_place(frames)}: {said}"


def _remedy(said: str) -> str:
    """What an author can do, where it is known."""
    return next((f"; {remedy}" for words, remedy in _REMEDIES.items() if words in said), "")


def _names(error: KeyError, frame: FrameType) -> str:
    """The tensors that there are by name, where one is asked for that there is not."""
    held = [value for value in frame.f_locals.values() if isinstance(value, Mapping)]
    names = {name for value in held for name, tensor in value.items() if isinstance(tensor, torch.Tensor)}
    if not names:
        return ""
    wanted = str(error.args[0] if error.args else "")
    close = get_close_matches(wanted, names, 1)
    return f"; {f'did you mean {close[0]!r}? ' if close else ''}there are {', '.join(families(sorted(names)))}"


def families(names: Iterable[str]) -> list[str]:
    """Names of leaves, those that differ in a block's number alone as one: `global/blocks.N.attn.q.A`."""
    return list(dict.fromkeys(re.sub(r"(?<=\.)\d+(?=\.)", "N", name) for name in names))


def _hook(frame: FrameType) -> str:
    """The method's own function that was called first."""
    name = frame.f_code.co_name
    if name == "<module>":
        return "while it was loaded"
    return f"in {name}()" if hasattr(Method, name) else f"in {name}"


def _place(frames: Frames) -> str:
    """Client and round, as the engine's frames know them."""
    clients = [frame.f_locals.get("client") for frame, _ in frames]
    named = [f"client {client.name}" for client in clients if isinstance(client, ClientData)]
    states = [frame.f_locals.get("state") for frame, _ in frames]
    done = [state.round for state in states if isinstance(state, State)]
    training = any(
        isinstance(frame.f_locals.get("self"), Engine) and frame.f_code.co_name == "round" for frame, _ in frames
    )
    within = [f"round {done[0] + training}"] if done else []
    parts = [*(named[-1:] or (["all clients"] if done else [])), *within]
    return f" ({', '.join(parts)})" if parts else ""


def _same(name: str, method: Path) -> bool:
    return Path(name).resolve() == method.resolve()
