"""Toy lesions: drawn dermoscopy in Fed-ISIC2019's format, with its label counts, for runs without a download.

Every client has the real client's share of every class, so that the label shift and the sizes are the real
ones. The files are read by Fed-ISIC2019's code.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from benchmark.data.dataset import Client, DataError, Licence, Option
from benchmark.data.datasets.fed_isic2019 import CLASSES, SPLIT_FILES, FedIsic2019
from benchmark.data.drawing import generator
from benchmark.data.drawn import Drawn
from benchmark.data.drawn_lesion import draw_lesion
from benchmark.data.flamby import IMAGES, METADATA

# Images per class (MEL NV BCC AK BKL DF VASC SCC) of every client in FLamby's split: training, then test.
COUNTS = {
    "0": ((2279, 3363, 2245, 606, 923, 97, 87, 330), (578, 843, 564, 131, 215, 27, 24, 101)),
    "1": ((20, 2977, 2, 0, 96, 23, 45, 0), (4, 743, 0, 0, 28, 7, 9, 0)),
    "2": ((533, 1470, 174, 20, 379, 40, 64, 11), (147, 362, 37, 1, 96, 11, 18, 0)),
    "3": ((276, 649, 223, 86, 406, 20, 3, 144), (66, 154, 73, 23, 84, 10, 0, 42)),
    "4": ((166, 349, 0, 0, 140, 0, 0, 0), (49, 66, 0, 0, 49, 0, 0, 0)),
    "5": ((58, 276, 5, 0, 6, 4, 2, 0), (9, 74, 0, 0, 4, 0, 1, 0)),
}
# Share of lesions with one, two and three photographs: at site 1 every image is a lesion of its own, as in
# HAM10000.
PHOTOGRAPHS = {"1": (1.0, 0.0, 0.0)}
USUAL = (0.58, 0.27, 0.15)


class ToyLesions(Drawn, FedIsic2019):
    """Six drawn sites, read by Fed-ISIC2019's code."""

    name: ClassVar[str] = "toy_lesions"
    title: ClassVar[str] = "Toy lesions"
    clients: ClassVar[tuple[Client, ...]] = tuple(Client(c.id, f"drawn {c.name}") for c in FedIsic2019.clients)
    licence: ClassVar[Licence] = Licence("apache2", "Apache-2.0", "https://www.apache.org/licenses/LICENSE-2.0")
    homepage: ClassVar[str] = "https://github.com/owkin/FLamby"
    protocols: ClassVar[Mapping[str, str]] = {
        "flamby": "Drawn images with the label counts of FLamby's split. As there, images of one lesion can "
        "be on both sides.",
        "lesion_disjoint": "Drawn images; per site a fifth for testing, stratified by class, no lesion on both sides.",
    }
    # scale: share of the real number of images; side: height in pixels; seed: of the drawing.
    options: ClassVar[Mapping[str, Option]] = {"scale": 0.05, "side": 96, "seed": 0}

    def check_options(self, options: Mapping[str, Option]) -> None:
        """See `Drawn.check_options`."""
        scale, side = float(options["scale"]), int(options["side"])
        if not 0 < scale <= 1 or side < 32:
            raise DataError(f"{self.name}: scale must lie in (0, 1] and side be 32 or more, got {scale} and {side}")

    def draw(self, root: Path, options: Mapping[str, Option]) -> None:
        """Write images, split file and metadata in FLamby's layout."""
        _draw(root, float(options["scale"]), int(options["side"]), int(options["seed"]))


def scaled(counts: Sequence[int], scale: float) -> list[int]:
    """Numbers of images at a scale; a class that is there keeps at least one."""
    return [max(1, round(count * scale)) if count else 0 for count in counts]


def _draw(root: Path, scale: float, side: int, seed: int) -> None:
    table = pd.DataFrame(_images(scale, seed), columns=["image", "target", "center", "fold", "lesion_id"])
    (root / IMAGES).mkdir(parents=True)
    for image, label, site, _, lesion in tqdm(table.itertuples(index=False), "draw", len(table), mininterval=5):
        look, view = generator(seed, "toy_lesions", lesion), generator(seed, "toy_lesions", image)
        picture = Image.fromarray(draw_lesion(label, site, look, view, side))
        picture.save(root / IMAGES / f"{image}.jpg", quality=90)
    one_hot = {name: (table["target"] == number).astype(float) for number, name in enumerate((*CLASSES, "UNK"))}
    split = pd.DataFrame({"image": table["image"], **one_hot, "target": table["target"], "center": table["center"]})
    split["fold"] = table["fold"]
    split["fold2"] = table["fold"] + "_" + table["center"].astype(str)
    split.to_csv(root / SPLIT_FILES[0], index=False)
    table[["image", "lesion_id"]].to_csv(root / METADATA, index=False)


def _images(scale: float, seed: int) -> Iterator[tuple[str, int, int, str, str]]:
    """Name, class, site, fold and lesion of every image."""
    number = lesion = 0
    for client, (train, test) in COUNTS.items():
        for label, (training, testing) in enumerate(zip(scaled(train, scale), scaled(test, scale), strict=True)):
            rng = generator(seed, "toy_lesions", "lesions", client, label)
            folds = np.array(["train"] * training + ["test"] * testing)
            rng.shuffle(folds)
            left = 0
            for fold in folds:
                if left == 0:
                    lesion += 1
                    left = 1 + int(rng.choice(3, p=PHOTOGRAPHS.get(client, USUAL)))
                left -= 1
                yield f"TOY_{number:07d}", label, int(client), str(fold), f"TOY_LESION_{lesion:07d}"
                number += 1


DATASET = ToyLesions()
