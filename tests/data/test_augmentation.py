"""Augmentation against numpy, one image at a time."""

import numpy as np
import pytest
import torch

from benchmark.config import AugmentationSettings
from benchmark.data.augmentation import augment, to_float

STILL = AugmentationSettings(flip=False, rotate=False, brightness=0, contrast=0)


def images(count: int = 64, side: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, side, side, 3), generator=generator, dtype=torch.uint8)


def seeded(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_to_float_moves_channels_and_scales() -> None:
    batch = images(2)
    np.testing.assert_allclose(to_float(batch), batch.numpy().transpose(0, 3, 1, 2) / 255, rtol=1e-6)
    assert to_float(batch, torch.float64).dtype == torch.float64
    torch.testing.assert_close(to_float(to_float(batch).permute(0, 2, 3, 1)), to_float(batch))


def test_nothing_asked_nothing_done() -> None:
    torch.testing.assert_close(augment(images(), STILL, seeded()), to_float(images()), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("flip", "rotate"), [(True, False), (False, True), (True, True)])
def test_flips_and_turns_are_numpys(flip: bool, rotate: bool) -> None:
    settings = AugmentationSettings(flip=flip, rotate=rotate, brightness=0, contrast=0)
    out = augment(images(), settings, seeded(), torch.float64).numpy()
    draws = torch.rand(64, 5, generator=seeded(), dtype=torch.float64).numpy()
    for image, (mirrored, upside_down, turned, _, _), result in zip(images().numpy() / 255, draws, out, strict=True):
        wanted = image[:, ::-1] if flip and mirrored < 0.5 else image
        wanted = wanted[::-1] if flip and upside_down < 0.5 else wanted
        turns = (0, 2, 1, 3)[int(4 * turned)] if rotate else 0
        np.testing.assert_allclose(result, np.rot90(wanted, turns).transpose(2, 0, 1), atol=1e-12)


def test_brightness_and_contrast_are_the_formula() -> None:
    settings = AugmentationSettings(flip=False, rotate=False, brightness=0.2, contrast=0.5)
    out = augment(images(), settings, seeded(), torch.float64).numpy()
    draws = 2 * torch.rand(64, 5, generator=seeded(), dtype=torch.float64).numpy() - 1
    for image, draw, result in zip(images().numpy() / 255, draws, out, strict=True):
        wanted = image.mean() + (image - image.mean()) * (1 + 0.5 * draw[4]) + 0.2 * draw[3]
        np.testing.assert_allclose(result, wanted.clip(0, 1).transpose(2, 0, 1), atol=1e-12)


@pytest.mark.parametrize("settings", [STILL, AugmentationSettings()])
def test_generator_advances_alike_whatever_the_settings(settings: AugmentationSettings) -> None:
    generator, other = seeded(), seeded()
    augment(images(7), settings, generator)
    torch.rand(7, 5, generator=other, dtype=torch.float64)
    assert torch.equal(generator.get_state(), other.get_state())


def test_images_need_not_be_square_unless_turned() -> None:
    batch = images()[:, :4]
    assert augment(batch, AugmentationSettings(rotate=False), seeded()).shape == (64, 3, 4, 6)
    with pytest.raises(ValueError, match=r"4 x 6 .*augmentation.rotate: false"):
        augment(batch, AugmentationSettings(), seeded())


def test_default_stays_in_range() -> None:
    out = augment(images(), AugmentationSettings(), seeded())
    assert out.dtype == torch.float32
    assert 0 <= out.min() <= out.max() <= 1
