"""Toy lesions: drawn dermoscopy in Fed-ISIC2019's format, with its label counts, for runs without a download.

Clients have the real clients' shares of images and of every class; with `evenness` both are milder, for runs with few
images, in which a rare class would have one image. The files are read by Fed-ISIC2019's code.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from benchmark.data.dataset import Client, DataError, Option
from benchmark.data.datasets.fed_isic2019 import CLASSES, SPLIT_FILES, FedIsic2019
from benchmark.data.drawn import Drawn
from benchmark.data.drawn_lesion import draw_lesion
from benchmark.data.flamby import IMAGES, METADATA
from benchmark.exact import Draws, power

# Images per class (MEL NV BCC AK BKL DF VASC SCC) of every client in FLamby's split: training, then test.
COUNTS = {
    "0": ((2279, 3363, 2245, 606, 923, 97, 87, 330), (578, 843, 564, 131, 215, 27, 24, 101)),
    "1": ((20, 2977, 2, 0, 96, 23, 45, 0), (4, 743, 0, 0, 28, 7, 9, 0)),
    "2": ((533, 1470, 174, 20, 379, 40, 64, 11), (147, 362, 37, 1, 96, 11, 18, 0)),
    "3": ((276, 649, 223, 86, 406, 20, 3, 144), (66, 154, 73, 23, 84, 10, 0, 42)),
    "4": ((166, 349, 0, 0, 140, 0, 0, 0), (49, 66, 0, 0, 49, 0, 0, 0)),
    "5": ((58, 276, 5, 0, 6, 4, 2, 0), (9, 74, 0, 0, 4, 0, 1, 0)),
}
Counts = Mapping[str, tuple[list[int], list[int]]]
# Share of lesions with one, two and three photographs: at site 1 every image is a lesion of its own, as in
# HAM10000.
PHOTOGRAPHS = {"1": (1.0, 0.0, 0.0)}
USUAL = (0.58, 0.27, 0.15)


class ToyLesions(Drawn, FedIsic2019):
    """Six drawn sites, read by Fed-ISIC2019's code."""

    name: ClassVar[str] = "toy_lesions"
    title: ClassVar[str] = "Toy lesions"
    clients: ClassVar[tuple[Client, ...]] = tuple(Client(c.id, f"drawn {c.name}") for c in FedIsic2019.clients)
    homepage: ClassVar[str] = "https://github.com/owkin/FLamby"
    protocols: ClassVar[Mapping[str, str]] = {
        "flamby": "Drawn images with the label counts of FLamby's split. As there, images of one lesion can "
        "be on both sides.",
        "lesion_disjoint": "Drawn images; per site a fifth for testing, stratified by class, no lesion on both sides.",
    }
    # scale: share of the real number of images; evenness: 0 for the real counts of classes and clients, towards 1 for
    # counts ever more alike; styles: see `draw_lesion`; side: height in pixels; seed: of the drawing.
    options: ClassVar[Mapping[str, Option]] = {"scale": 0.05, "evenness": 0.0, "styles": 1.0, "side": 96, "seed": 0}

    def check_options(self, options: Mapping[str, Option]) -> None:
        """See `Drawn.check_options`."""
        scale, evenness, styles = (float(options[name]) for name in ("scale", "evenness", "styles"))
        if not (0 < scale <= 1 and 0 <= evenness < 1 and 0 <= styles <= 1) or int(options["side"]) < 32:
            raise DataError(
                f"{self.name}: scale must lie in (0, 1], evenness in [0, 1), styles in [0, 1], and side be 32 or more; "
                f"got {scale}, {evenness}, {styles} and {options['side']}"
            )

    def draw(self, root: Path, options: Mapping[str, Option]) -> None:
        """Write images, split file and metadata in FLamby's layout."""
        counts = scaled(float(options["scale"]), float(options["evenness"]))
        _draw(root, counts, float(options["styles"]), int(options["side"]), int(options["seed"]))


def scaled(scale: float, evenness: float = 0.0) -> Counts:
    """Numbers of images like `COUNTS`, `scale` times as many in all; a class that is there keeps at least one.

    Each number n becomes n^(1 - evenness), before all are brought to the scale.
    """
    real = np.array(list(COUNTS.values()), dtype=np.float64)  # (clients, folds, classes)
    even = np.where(real > 0, power(np.maximum(real, 1), 1 - evenness), 0) if evenness else real
    wanted = even * (scale * int(real.sum()) / math.fsum(even.flat))
    found = np.where(real > 0, np.maximum(1, np.rint(wanted)), 0).astype(np.int64).tolist()
    return dict(zip(COUNTS, found, strict=True))


def _draw(root: Path, counts: Counts, styles: float, side: int, seed: int) -> None:
    table = pd.DataFrame(_images(counts, seed), columns=["image", "target", "center", "fold", "lesion_id"])
    (root / IMAGES).mkdir(parents=True)
    for image, label, site, _, lesion in tqdm(table.itertuples(index=False), "draw", len(table), mininterval=5):
        look, view = Draws(seed, "toy_lesions", lesion), Draws(seed, "toy_lesions", image)
        picture = Image.fromarray(draw_lesion(label, site, look, view, side, styles))
        picture.save(root / IMAGES / f"{image}.jpg", quality=90)
    one_hot = {name: (table["target"] == number).astype(float) for number, name in enumerate((*CLASSES, "UNK"))}
    split = pd.DataFrame({"image": table["image"], **one_hot, "target": table["target"], "center": table["center"]})
    split["fold"] = table["fold"]
    split["fold2"] = table["fold"] + "_" + table["center"].astype(str)
    split.to_csv(root / SPLIT_FILES[0], index=False)
    table[["image", "lesion_id"]].to_csv(root / METADATA, index=False)


def _images(counts: Counts, seed: int) -> Iterator[tuple[str, int, int, str, str]]:
    """Name, class, site, fold and lesion of every image."""
    number = lesion = 0
    for client, folds in counts.items():
        for label, (training, testing) in enumerate(zip(*folds, strict=True)):
            draws = Draws(seed, "toy_lesions", "lesions", client, label)
            sides = ["train"] * training + ["test"] * testing
            left = 0
            for place in draws.shuffled(len(sides)):
                if left == 0:
                    lesion += 1
                    left = _photographs(draws, *PHOTOGRAPHS.get(client, USUAL))
                left -= 1
                yield f"TOY_{number:07d}", label, int(client), sides[place], f"TOY_LESION_{lesion:07d}"
                number += 1


def _photographs(draws: Draws, one: float, two: float, _three: float) -> int:
    """How many photographs there are of a lesion, given the shares of lesions with one, two and three."""
    chance = float(draws.random())
    return 1 if chance < one else 2 if chance < one + two else 3


DATASET = ToyLesions()
