"""Drawn shapes with masks: what a small SAM is pretrained on, offline. Integers alone, so equal on every machine."""

import numpy as np
import numpy.typing as npt

CLASSES = 3
"""Of the masks: nothing, the larger shape, and the smaller one, which may lie on it."""


def draw_shapes(count: int, size: int, seed: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Images of an ellipse or rectangle and a smaller one, in any colours, on a shaded and noisy ground.

    Returns images (count, size, size, 3) and masks (count, size, size), whose values are below `CLASSES`. The size is
    16 pixels or more.
    """
    source = np.random.Generator(np.random.PCG64(seed))
    images = np.empty((count, size, size, 3), np.uint8)
    masks = np.zeros((count, size, size), np.uint8)
    rows, columns = np.mgrid[:size, :size]
    for image, mask in zip(images, masks, strict=True):
        slope = source.integers(-60, 61, 2)
        shade = (slope[0] * rows + slope[1] * columns) // size
        canvas = source.integers(40, 216, 3) + shade[..., None]
        for label, (least, most) in ((1, (size // 6, size // 3)), (2, (size // 12, size // 7))):
            height, width = (int(own) for own in source.integers(max(least, 2), max(most, 3), 2))
            row, column = (int(own) for own in source.integers(size // 4, size - size // 4, 2))
            down, across = rows - row, columns - column
            inside = (abs(down) <= height) & (abs(across) <= width)
            if source.integers(2):
                inside = (down * width) ** 2 + (across * height) ** 2 <= (height * width) ** 2
            canvas = np.where(inside[..., None], source.integers(20, 236, 3) + shade[..., None], canvas)
            mask[inside] = label
        image[:] = np.clip(canvas + source.integers(-18, 19, canvas.shape), 0, 255)
    return images, masks
