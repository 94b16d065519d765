"""Which sides of images a network can take, told without loading it: by its name and its arguments alone."""

import re
from collections.abc import Mapping
from typing import Any


def unit(network: str, name: str, arguments: Mapping[str, Any]) -> tuple[int, str] | None:
    """What the side of an image must be a multiple of.

    Args:
        network: The network's module.
        name: The variant's name.
        arguments: What the configuration changes of it.

    Returns:
        A number of pixels, and what needs it, in words that follow it; None where that is not known from these.
    """
    if network == "sam":
        return (32, "which TinyViT needs") if name == "mobile_sam" else (16, "which the grid of SAM needs")
    if network == "unet" and isinstance(levels := arguments.get("levels", 4), int) and levels >= 1:
        return 1 << (levels - 1), f"since {levels} levels halve images {levels - 1} times"
    if network == "vit":
        named = re.search(r"_patch([1-9]\d*)", name)
        patch = arguments.get("patch_size", int(named[1]) if named else None)
        return (patch, f"the side of a patch of {name}") if isinstance(patch, int) and patch >= 1 else None
    return None


def uncovered(side: int, unit: int, by: str) -> str:
    """What is wrong with an image's side that is no multiple of a number of pixels, and those next to it; else ""."""
    near = " or ".join(str(unit * n) for n in (side // unit, side // unit + 1) if n)
    return f"image_size: {side} is no multiple of {unit}, {by}; set it to {near}" if side % unit else ""
