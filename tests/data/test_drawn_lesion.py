"""Drawn lesions: what is equal, and what differs."""

import numpy as np
import pytest

from benchmark.data.drawn_lesion import ABSORPTION, LOOK, LOOKS, SITES, draw_lesion
from benchmark.exact import Draws


def lesion(label: int = 1, site: int = 0, look: int = 0, view: int = 0) -> np.ndarray:
    return draw_lesion(label, site, Draws("look", look), Draws("view", view), 48)


def test_tables_fit_each_other() -> None:
    assert LOOKS.shape == (8, len(LOOK))
    assert ABSORPTION.shape == (3, 3)
    assert len(SITES) == 6


@pytest.mark.parametrize("site", range(6))
def test_image_is_reproducible(site: int) -> None:
    image = lesion(site=site)
    assert image.shape == (48, 64, 3)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, lesion(site=site))
    assert (image != lesion(site=site, view=1)).any()
    assert (image != lesion(site=site, look=1)).any()


def test_lesion_is_darker_than_its_surroundings() -> None:
    images = np.stack([lesion(label=1, site=1, look=n, view=n) for n in range(20)]).astype(float)
    assert images[:, 16:32, 24:40].mean() < images[:, :, :8].mean() - 20


def test_sites_differ_in_colour_more_than_their_images_do() -> None:
    means = np.stack([[lesion(look=n, view=n, site=site).mean((0, 1)) for n in range(12)] for site in (1, 2, 3, 5)])
    assert means.mean(1).std(0).mean() > 0.5 * means.std(1).mean()
