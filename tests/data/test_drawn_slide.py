"""Drawn patches: what is equal, and what differs."""

import numpy as np
import pytest

from benchmark.data.drawn_slide import HOSPITALS, draw_slide
from benchmark.exact import Draws


def patch(tumour: bool = False, hospital: int = 0, slide: int = 0, number: int = 0) -> np.ndarray:
    return draw_slide(tumour, hospital, Draws("slide", slide), Draws("patch", number), 96)


@pytest.mark.parametrize("hospital", range(len(HOSPITALS)))
@pytest.mark.parametrize("tumour", [False, True])
def test_patch_is_reproducible(tumour: bool, hospital: int) -> None:
    image = patch(tumour, hospital)
    assert image.shape == (96, 96, 3)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, patch(tumour, hospital))
    assert (image != patch(tumour, hospital, slide=1)).any()
    assert (image != patch(tumour, hospital, number=1)).any()


def test_hospitals_stain_differently() -> None:
    means = np.stack([[patch(hospital=h, slide=n, number=n).mean((0, 1)) for n in range(10)] for h in range(5)])
    assert means.mean(1).std(0).max() > means.std(1).mean(0).max() * 0.5
