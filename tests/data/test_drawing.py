"""Drawn fields and the source domain."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from benchmark.data.drawing import between, blurred, drawn_folder, sampled, smooth
from benchmark.data.drawn_source import draw_source
from benchmark.exact import Draws


@pytest.mark.parametrize("cells", [2, 8, 30])
def test_smooth_field_is_standardised(cells: int) -> None:
    field = np.stack([smooth(Draws(n, cells), 64, 96, cells) for n in range(60)])
    assert field.shape == (60, 64, 96)
    assert abs(field.mean()) < 0.15
    assert 0.7 < field.std() < 1.3


def test_sampling_gives_the_grid_on_its_points_and_straight_lines_between() -> None:
    grid = np.add.outer(2.0 * np.arange(6), np.arange(5.0))
    rows, columns = np.array([0.0, 2, 2.5, 3.25]), np.array([4.0, 1, 1.75, 2])
    assert sampled(grid, rows, columns) == pytest.approx(2 * rows + columns)


def test_blur_keeps_the_mean_and_has_its_radius() -> None:
    image = np.zeros((31, 31, 1))
    image[15, 15] = 1.0
    found = blurred(image, 2.0)[..., 0]
    away = np.arange(31) - 15
    assert found.sum() == pytest.approx(1)
    assert (found.sum(0) * away * away).sum() == pytest.approx(4, rel=0.05)
    np.testing.assert_allclose(found, found.T, atol=1e-15)


@dataclass(frozen=True)
class Style:
    """One number and two."""

    one: float
    two: tuple[float, float]


def test_styles_move_towards_their_mean() -> None:
    styles = (Style(1, (0, 4)), Style(2, (0, 6)), Style(6, (3, 8)))
    assert between(styles, 2, 1) == Style(6, (3, 8))
    assert between(styles, 2, 0) == between(styles, 0, 0) == Style(3, (1, 6))
    assert between(styles, 2, 0.5) == Style(4.5, (2, 7))


def test_source_is_reproducible_and_balanced() -> None:
    images, labels = draw_source(60, 32, 7)
    again, same = draw_source(60, 32, 7)
    np.testing.assert_array_equal(images, again)
    np.testing.assert_array_equal(labels, same)
    assert images.shape == (60, 32, 32, 3)
    assert (images.dtype, labels.dtype) == (np.uint8, np.int64)
    assert np.bincount(labels).tolist() == [3] * 20
    assert (draw_source(60, 32, 8)[0] != images).any()


def test_source_colour_says_little_about_its_class() -> None:
    images, labels = draw_source(800, 24, 0)
    colour = images.mean((1, 2))
    between = np.stack([colour[labels == label].mean(0) for label in range(20)]).var(0)
    # Means of forty images scatter by a fortieth of the variance even if classes do not differ.
    assert (between < 4 * colour.var(0) / 40).all()


def test_folder_is_drawn_once_and_whole(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "drawn"

    def broken() -> None:
        with drawn_folder(folder) as unfinished:
            assert unfinished is not None
            (unfinished / "a").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken()
    assert list(folder.parent.iterdir()) == []
    with drawn_folder(folder) as unfinished:
        assert unfinished is not None
        (unfinished / "a").touch()
    assert [path.name for path in folder.iterdir()] == ["a"]
    with drawn_folder(folder) as unfinished:
        assert unfinished is None
