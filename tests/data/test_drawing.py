"""Drawn fields and the source domain."""

from pathlib import Path

import numpy as np
import pytest

from benchmark.data.drawing import draw_source, drawn_folder, generator, smooth


def test_generator_depends_on_every_part_of_its_key() -> None:
    keys = [(0, "a", 1), (1, "a", 1), (0, "b", 1), (0, "a", 2), (0, "a1")]
    first = [generator(*key).random() for key in keys]
    assert len(set(first)) == len(keys)
    assert first == [generator(*key).random() for key in keys]


@pytest.mark.parametrize("cells", [2, 8, 30])
def test_smooth_field_is_standardised(cells: int) -> None:
    field = np.stack([smooth(generator(n, cells), 64, 96, cells) for n in range(60)])
    assert field.dtype == np.float32
    assert field.shape == (60, 64, 96)
    assert abs(field.mean()) < 0.15
    assert 0.7 < field.std() < 1.3


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
