"""Images named by their rows."""

from pathlib import Path

import numpy as np
import torch

from benchmark.federation.rows import Rows

PACK = torch.arange(6 * 2 * 2 * 3, dtype=torch.uint8).view(6, 2, 2, 3)


def test_rows_are_read_by_index_and_by_slice() -> None:
    """Both count among one's own rows, not among the pack's."""
    rows = Rows(PACK, torch.tensor([5, 0, 3]))
    assert len(rows) == 3
    assert torch.equal(rows[torch.tensor([2, 0])], PACK[[3, 5]])
    assert torch.equal(rows[1:], PACK[[0, 3]])
    assert torch.equal(Rows.of(PACK)[:], PACK)


def test_rows_of_one_pack_are_joined_without_a_copy() -> None:
    """And those of several become a pack of their own."""
    first, second = Rows(PACK, torch.tensor([4, 1])), Rows(PACK, torch.tensor([2]))
    joined = Rows.joined([first, second])
    assert joined.pack is PACK
    assert torch.equal(joined[:], PACK[[4, 1, 2]])
    assert torch.equal(Rows.joined([first, Rows.of(PACK[:1].clone())])[:], PACK[[4, 1, 0]])


def test_a_memory_mapped_pack_stays_on_the_disk(tmp_path: Path) -> None:
    """What is read is a copy in memory; the pack itself is still the file."""
    np.save(tmp_path / "pack.npy", PACK.numpy())
    mapped = np.load(tmp_path / "pack.npy", mmap_mode="c")
    rows = Rows(torch.from_numpy(mapped), torch.tensor([3]))
    mapped[3] = 7
    assert (rows[:] == 7).all()
