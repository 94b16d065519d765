"""The user's client draws, changes and starts as the engine does: a comparison compares the same work."""

import pytest
import torch

from benchmark.data.augmentation import augment
from benchmark.draws import generator
from benchmark.tasks.segmentation import Segmentation
from benchmarks.user import KeyedOrder, lit, mask_loss, moved
from benchmarks.workload import AUGMENTATION


def test_images_are_changed_alike_one_by_one_and_in_batches() -> None:
    """All sixteen mirrorings and turns occur among two hundred draws."""
    images = torch.randint(0, 256, (200, 12, 12, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    draws = torch.rand(200, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = augment(images, AUGMENTATION, draws)
    found = torch.stack(
        [
            lit(moved(image.permute(2, 0, 1), own.tolist()), own.tolist())
            for image, own in zip(images, draws, strict=True)
        ]
    )
    assert (found - expected).abs().max() < 1e-6


def test_masks_are_moved_as_images_are_and_scored_by_the_tasks_loss() -> None:
    """A mask that is its image's first channel stays it; the loss written by hand is the task's."""
    images = torch.randint(0, 3, (50, 1, 12, 12), generator=torch.Generator().manual_seed(0))
    draws = torch.rand(50, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    task = Segmentation(("background", "organ", "lesion"))
    _, masks = task.augment(images.movedim(1, -1), images[:, 0], AUGMENTATION, draws, torch.float64)
    found = torch.stack([moved(image, own.tolist())[0] for image, own in zip(images, draws, strict=True)])
    assert torch.equal(found, masks)
    logits = torch.randn(50, 3, 12, 12, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    assert mask_loss(logits, masks) == pytest.approx(float(task.loss(logits, masks, {})), abs=1e-12)


def test_order_and_draws_are_the_engines() -> None:
    """The same numbers whether they are drawn for all images at once or batch by batch."""
    order = KeyedOrder(21, "north", 3)
    order.round = 2
    numbers, draws = zip(*order, strict=True)
    key = (3, "north", "round 2 pass 0")
    assert list(numbers) == torch.randperm(21, generator=generator(*key, "order")).tolist()
    source = generator(*key, "augmentation")
    batches = [torch.rand(count, 5, generator=source, dtype=torch.float64) for count in (8, 8, 5)]
    assert torch.equal(torch.stack(draws), torch.cat(batches))
