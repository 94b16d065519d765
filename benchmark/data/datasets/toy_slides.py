"""Toy slides: drawn histology in Camelyon17-WILDS' format, with its patients, for runs without a download.

Hospitals have the real hospitals' patients, slides and shares of patches; more patients who validate or test where that
is asked for (`held`). The files are read by Camelyon17's code.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image
from tqdm import tqdm

from benchmark.data.camelyon17_slides import SLIDES
from benchmark.data.dataset import Client, DataError, Option
from benchmark.data.datasets.camelyon17 import FOLDER, METADATA, RELEASE, Camelyon17
from benchmark.data.drawn import Drawn
from benchmark.data.drawn_slide import SIDE, draw_slide
from benchmark.exact import Draws, exp

Patch = tuple[str, int, int, int, int, int, int, int]

DIGITS = 3
"""Of a patient's number. A further drawn patient, who stands for the same one, has a digit more before them."""


class ToySlides(Drawn, Camelyon17):
    """Five drawn hospitals, read by Camelyon17's code."""

    name: ClassVar[str] = "toy_slides"
    title: ClassVar[str] = "Toy slides"
    clients: ClassVar[tuple[Client, ...]] = tuple(Client(c.id, f"drawn {c.name}") for c in Camelyon17.clients)
    homepage: ClassVar[str] = "https://wilds.stanford.edu/datasets/#camelyon17"
    protocols: ClassVar[Mapping[str, str]] = {
        "patient_disjoint": "Drawn patches of the real patients, who train, validate or test as in Camelyon17-WILDS.",
        "patient_folds": "Drawn patches of the real patients, dealt to four folds per hospital, of which one is "
        "tested; the four together test every patient once.",
    }
    # scale: share of the real number of patches; held: how many drawn patients stand for each who validates or tests,
    # since training alone costs much, and scores of few patients are unsure; styles: see `draw_slide`; side: height and
    # width in pixels; seed: of the drawing.
    options: ClassVar[Mapping[str, Option]] = {"scale": 0.003, "held": 1, "styles": 1.0, "side": SIDE, "seed": 0}

    def check_options(self, options: Mapping[str, Option]) -> None:
        """See `Drawn.check_options`."""
        scale, styles, held, side = (options[name] for name in ("scale", "styles", "held", "side"))
        if not (0 < float(scale) <= 1 and 0 <= float(styles) <= 1 and 1 <= int(held) <= 10) or int(side) < 32:
            raise DataError(
                f"{self.name}: scale must lie in (0, 1], styles in [0, 1], held from 1 to 10 and side be 32 or more; "
                f"got {scale}, {styles}, {held} and {side}"
            )

    def splits(self, patients: "pd.Series[str]") -> "pd.Series[str]":
        """See `Camelyon17.splits`; further drawn patients are where the real one is whom they stand for."""
        return super().splits(patients.str[-DIGITS:])

    def draw(self, root: Path, options: Mapping[str, Option]) -> None:
        """Write patches, metadata and the release note in WILDS' layout."""
        seed = int(options["seed"])
        rows = patches(float(options["scale"]), int(options["held"]), seed)
        _draw(root, rows, float(options["styles"]), int(options["side"]), seed)


def _draw(root: Path, rows: Iterator[Patch], styles: float, side: int, seed: int) -> None:
    columns = ["patient", "node", "x_coord", "y_coord", "tumor", "slide", "center", "split"]
    table = pd.DataFrame(rows, columns=columns)
    for patient, node, x, y, tumour, slide, hospital, _ in tqdm(
        table.itertuples(index=False), "draw", len(table), mininterval=5
    ):
        name = f"patient_{patient}_node_{node}"
        path = root / FOLDER / "patches" / name / f"patch_{name}_x_{x}_y_{y}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        of_slide = Draws(seed, "toy_slides", "slide", slide, *([patient] if len(patient) > DIGITS else []))
        of_patch = Draws(seed, "toy_slides", path.name)
        Image.fromarray(draw_slide(bool(tumour), hospital, of_slide, of_patch, side, styles)).save(path)
    table.to_csv(root / METADATA)
    (root / RELEASE).write_text("Drawn patches in the format of Camelyon17-WILDS 1.0\n")


def patches(scale: float, held: int, seed: int) -> Iterator[Patch]:
    """Patient, node, place, label, slide, hospital and WILDS' split of every patch; see `ToySlides.options`."""
    for client in Camelyon17.clients:
        slides = [slide for slide in SLIDES if slide.client == client.id]
        draws = Draws(seed, "toy_slides", "patches", client.id)
        count = max(4 * len(slides), round((client.images or 0) * scale))
        # Slides differ in their number of patches, and in their share of tumour as they do in reality.
        weight = np.add.accumulate(exp(draws.normal(0, 0.5, len(slides))))
        until = np.rint((count - 2 * len(slides)) * (weight / weight[-1])).astype(np.int64)
        sizes = 2 + np.diff(until, prepend=0)
        patients = [
            [slide.patient, *(f"{number}{slide.patient}" for number in range(1, held) if slide.split != "train")]
            for slide in slides
        ]
        repeated = np.repeat(sizes, [len(names) for names in patients])
        drawn = [(slide, name) for slide, names in zip(slides, patients, strict=True) for name in names]
        for (slide, patient), size, tumour in zip(drawn, repeated, _tumours(draws, repeated), strict=True):
            for step, label in enumerate(np.arange(size) < tumour):
                x, y = 1000 + 32 * (step % 100), 1000 + 32 * (step // 100)
                split = int(draws.happens(0.1))
                yield patient, slide.node, x, y, int(label), SLIDES.index(slide), int(client.id), split


def _tumours(draws: Draws, sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Tumour patches (S,) of slides of `sizes` (S,): uneven, both classes on every slide, half in all."""
    tumours = np.clip(np.rint(sizes * draws.random(len(sizes))).astype(np.int64), 1, sizes - 1)
    while (excess := int(tumours.sum() - sizes.sum() // 2)) != 0:
        step = -1 if excess > 0 else 1
        movable = np.flatnonzero((tumours + step >= 1) & (tumours + step <= sizes - 1))
        tumours[movable[draws.below(len(movable))]] += step
    return tumours


DATASET = ToySlides()
