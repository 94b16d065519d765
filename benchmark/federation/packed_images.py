"""Images that belong together: a pack's, named by their places in it and read when they are asked for, or encoded."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class PackedImages:
    """Some of a pack's images. A memory-mapped pack stays on the disk, and no client has a copy of a resident one.

    Attributes:
        pack: All images, shape (N, size, size, 3) where they are in colour, (N, size, size, 1) where grey; uint8.
        own: Which of them these are, shape (n,), int64, on the same device.
        beside: Of each image of the pack, those that are its channels, (N, O), int64, on the same device: grey slices
            and their neighbours. None where an image is what the pack holds.
        encoded: Whether `pack` holds what a network's frozen part made of images, (N, side, side, D) floating point.
    """

    pack: Tensor
    own: Tensor
    beside: Tensor | None = None
    encoded: bool = False

    @classmethod
    def of(cls, images: Tensor) -> "PackedImages":
        """All of these images (n, size, size, 3)."""
        return cls(images, torch.arange(len(images), device=images.device))

    @classmethod
    def joined(cls, parts: Sequence["PackedImages"]) -> "PackedImages":
        """One after the other; parts of one pack are not copied."""
        first = parts[0]
        if all(part.pack is first.pack and part.beside is first.beside for part in parts):
            return replace(first, own=torch.cat([part.own for part in parts]))
        return cls.of(torch.cat([part[:] for part in parts]))

    @property
    def channels(self) -> int:
        """Of an image."""
        return self.pack.shape[-1] if self.beside is None else self.beside.shape[1]

    def only(self, chosen: Tensor) -> "PackedImages":
        """Some of these images, by their numbers among them."""
        return replace(self, own=self.own[chosen.to(self.own.device)])

    def __len__(self) -> int:
        return len(self.own)

    def __getitem__(self, chosen: Tensor | slice) -> Tensor:
        """Some of these images, (k, size, size, channels), uint8."""
        places = self.own[chosen]
        if self.beside is None:
            return self.pack[places]
        # In memory channel by channel, as grey images are: what is computed of equal channels rounds as of a grey one.
        return self.pack[self.beside[places]].squeeze(-1).movedim(1, -1)
