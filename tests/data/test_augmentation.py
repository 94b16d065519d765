"""Augmentation against numpy, one image at a time."""

import numpy as np
import pytest
import torch

from benchmark.data.augmentation import augment, draws, to_float
from benchmark.settings import AugmentationSettings

STILL = AugmentationSettings(flip=False, rotate=False, brightness=0, contrast=0)


def images(count: int = 64, side: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, side, side, 3), generator=generator, dtype=torch.uint8)


def drawn(count: int = 64) -> torch.Tensor:
    return torch.rand(count, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_to_float_moves_channels_and_scales() -> None:
    batch = images(2)
    np.testing.assert_allclose(to_float(batch), batch.numpy().transpose(0, 3, 1, 2) / 255, rtol=1e-6)
    assert to_float(batch, torch.float64).dtype == torch.float64
    torch.testing.assert_close(to_float(to_float(batch).permute(0, 2, 3, 1)), to_float(batch))


def test_nothing_asked_nothing_done() -> None:
    torch.testing.assert_close(augment(images(), STILL, drawn()), to_float(images()), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("flip", "rotate"), [(True, False), (False, True), (True, True)])
def test_flips_and_turns_are_numpys(flip: bool, rotate: bool) -> None:
    settings = AugmentationSettings(flip=flip, rotate=rotate, brightness=0, contrast=0)
    out = augment(images(), settings, drawn(), torch.float64).numpy()
    cases = zip(images().numpy() / 255, drawn().numpy(), out, strict=True)
    for image, (mirrored, upside_down, turned, _, _), result in cases:
        wanted = image[:, ::-1] if flip and mirrored < 0.5 else image
        wanted = wanted[::-1] if flip and upside_down < 0.5 else wanted
        turns = (0, 2, 1, 3)[int(4 * turned)] if rotate else 0
        np.testing.assert_allclose(result, np.rot90(wanted, turns).transpose(2, 0, 1), atol=1e-12)


def test_brightness_and_contrast_are_the_formula() -> None:
    settings = AugmentationSettings(flip=False, rotate=False, brightness=0.2, contrast=0.5)
    out = augment(images(), settings, drawn(), torch.float64).numpy()
    for image, draw, result in zip(images().numpy() / 255, 2 * drawn().numpy() - 1, out, strict=True):
        wanted = image.mean() + (image - image.mean()) * (1 + 0.5 * draw[4]) + 0.2 * draw[3]
        np.testing.assert_allclose(result, wanted.clip(0, 1).transpose(2, 0, 1), atol=1e-12)


def test_images_are_changed_alike_however_they_are_batched() -> None:
    """Five numbers each from one generator: all at once, or batch by batch."""
    generator, settings = torch.Generator().manual_seed(1), AugmentationSettings()
    whole = augment(images(), settings, drawn())
    parts = [augment(batch, settings, draws(len(batch), generator)) for batch in images().split(24)]
    # A mean over other images' neighbours may round otherwise.
    torch.testing.assert_close(torch.cat(parts), whole, rtol=0, atol=1e-6)
    assert torch.equal(generator.get_state(), after_draws(64).get_state())


def after_draws(count: int) -> torch.Generator:
    generator = torch.Generator().manual_seed(1)
    torch.rand(count, 5, generator=generator, dtype=torch.float64)
    return generator


def test_images_need_not_be_square_unless_turned() -> None:
    batch = images()[:, :4]
    assert augment(batch, AugmentationSettings(rotate=False), drawn()).shape == (64, 3, 4, 6)
    with pytest.raises(ValueError, match=r"4 x 6 .*augmentation.rotate: false"):
        augment(batch, AugmentationSettings(), drawn())


def test_default_stays_in_range() -> None:
    out = augment(images(), AugmentationSettings(), drawn())
    assert out.dtype == torch.float32
    assert 0 <= out.min() <= out.max() <= 1
