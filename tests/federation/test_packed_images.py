"""Images named by their places in a pack."""

from pathlib import Path

import numpy as np
import torch

from benchmark.federation.packed_images import PackedImages

PACK = torch.arange(6 * 2 * 2 * 3, dtype=torch.uint8).view(6, 2, 2, 3)


def test_images_are_read_by_index_and_by_slice() -> None:
    """Both count among one's own images, not among the pack's."""
    images = PackedImages(PACK, torch.tensor([5, 0, 3]))
    assert len(images) == 3
    assert torch.equal(images[torch.tensor([2, 0])], PACK[[3, 5]])
    assert torch.equal(images[1:], PACK[[0, 3]])
    assert torch.equal(PackedImages.of(PACK)[:], PACK)


def test_images_of_one_pack_are_joined_without_a_copy() -> None:
    """And those of several become a pack of their own."""
    first, second = PackedImages(PACK, torch.tensor([4, 1])), PackedImages(PACK, torch.tensor([2]))
    joined = PackedImages.joined([first, second])
    assert joined.pack is PACK
    assert torch.equal(joined[:], PACK[[4, 1, 2]])
    assert torch.equal(PackedImages.joined([first, PackedImages.of(PACK[:1].clone())])[:], PACK[[4, 1, 0]])


def test_a_memory_mapped_pack_stays_on_the_disk(tmp_path: Path) -> None:
    """What is read is a copy in memory; the pack itself is still the file."""
    np.save(tmp_path / "pack.npy", PACK.numpy())
    mapped = np.load(tmp_path / "pack.npy", mmap_mode="c")
    images = PackedImages(torch.from_numpy(mapped), torch.tensor([3]))
    mapped[3] = 7
    assert (images[:] == 7).all()
