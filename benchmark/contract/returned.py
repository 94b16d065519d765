"""What hooks may return: tensors by name, of the right names, shapes and dtypes."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from benchmark.contract.fault import ContractError
from benchmark.leaf import Leaves

NOTHING = "nothing"


def said(value: Any) -> str:
    """A value as a message shows it: of a tensor, shape and dtype."""
    if isinstance(value, Tensor):
        return f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}"
    return "None" if value is None else f"{type(value).__name__} {str(value)[:60]!r}"


def tensors(place: str, returned: Any) -> dict[str, Tensor]:
    """What a hook returned, which must be tensors by name; a ContractError where it is no dict, or a value no tensor.

    `place` says where the hook is: file, line and name.
    """
    if not isinstance(returned, Mapping):
        raise ContractError(f"{place} returned {said(returned)}; expected a dict of tensors by name")
    for name, value in returned.items():
        if not isinstance(value, Tensor):
            raise ContractError(
                f"{place} returned {said(value)} for {name!r}; expected a tensor: `torch.zeros_like(leaf)`, or "
                "`leaf.new_tensor(number)`"
            )
    return dict(returned)


def exactly(place: str, returned: Any, expected: Leaves, kind: str, remedy: str) -> dict[str, Tensor]:
    """Tensors of just these names, shapes and dtypes.

    Args:
        place: Of the hook: file, line and name.
        returned: What it returned.
        expected: Tensors like those it should return.
        kind: What they are: `leaf`, `memory`.
        remedy: What to do where they are not.

    Returns:
        The same.

    Raises:
        ContractError: One is missing, not expected, or of another shape or dtype.
    """
    found = tensors(place, returned)
    for name in dict.fromkeys([*expected, *found]):
        wanted, got = (said(held[name]) if name in held else NOTHING for held in (expected, found))
        if wanted != got:
            raise ContractError(f"{place} returned {got} for {kind} {name!r}; expected {wanted}: {remedy}")
    return found
