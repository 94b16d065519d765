"""Images of a pack that belong together: named by their rows, and read when they are asked for."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Rows:
    """Some of a pack's images. A memory-mapped pack stays on the disk, and no client has a copy of a resident one.

    Attributes:
        pack: All images, shape (N, size, size, 3), uint8.
        own: Which of them these are, shape (n,), int64, on the same device.
    """

    pack: Tensor
    own: Tensor

    @classmethod
    def of(cls, images: Tensor) -> "Rows":
        """All of these images (n, size, size, 3)."""
        return cls(images, torch.arange(len(images), device=images.device))

    @classmethod
    def joined(cls, parts: Sequence["Rows"]) -> "Rows":
        """One after the other; parts of one pack are not copied."""
        if all(part.pack is parts[0].pack for part in parts):
            return cls(parts[0].pack, torch.cat([part.own for part in parts]))
        return cls.of(torch.cat([part[:] for part in parts]))

    def __len__(self) -> int:
        return len(self.own)

    def __getitem__(self, chosen: Tensor | slice) -> Tensor:
        """Some of these images, (k, size, size, 3), uint8."""
        return self.pack[self.own[chosen]]
