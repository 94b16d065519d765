"""Toy slides: drawn histology in Camelyon17-WILDS' format, with its patients, for runs without a download.

Hospitals have the real hospitals' patients, slides and shares of patches. The files are read by Camelyon17's
code, which is WILDS' own.
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
from benchmark.data.dataset import Client, DataError, Licence, Option
from benchmark.data.datasets.camelyon17 import FOLDER, METADATA, RELEASE, Camelyon17
from benchmark.data.drawing import generator
from benchmark.data.drawn import Drawn
from benchmark.data.drawn_slide import draw_slide


class ToySlides(Drawn, Camelyon17):
    """Five drawn hospitals, read by Camelyon17's code."""

    name: ClassVar[str] = "toy_slides"
    title: ClassVar[str] = "Toy slides"
    clients: ClassVar[tuple[Client, ...]] = tuple(Client(c.id, f"drawn {c.name}") for c in Camelyon17.clients)
    licence: ClassVar[Licence] = Licence("apache2", "Apache-2.0", "https://www.apache.org/licenses/LICENSE-2.0")
    homepage: ClassVar[str] = "https://wilds.stanford.edu/datasets/#camelyon17"
    protocols: ClassVar[Mapping[str, str]] = {
        "patient_disjoint": "Drawn patches of the real patients, who train, validate or test as in Camelyon17-WILDS.",
    }
    # scale: share of the real number of patches; seed: of the drawing.
    options: ClassVar[Mapping[str, Option]] = {"scale": 0.003, "seed": 0}

    def check_options(self, options: Mapping[str, Option]) -> None:
        """See `Drawn.check_options`."""
        if not 0 < float(options["scale"]) <= 1:
            raise DataError(f"{self.name}: scale must lie in (0, 1], got {options['scale']}")

    def draw(self, root: Path, options: Mapping[str, Option]) -> None:
        """Write patches, metadata and the release note in WILDS' layout."""
        _draw(root, float(options["scale"]), int(options["seed"]))


def _draw(root: Path, scale: float, seed: int) -> None:
    columns = ["patient", "node", "x_coord", "y_coord", "tumor", "slide", "center", "split"]
    table = pd.DataFrame(patches(scale, seed), columns=columns)
    for patient, node, x, y, tumour, slide, hospital, _ in tqdm(
        table.itertuples(index=False), "draw", len(table), mininterval=5
    ):
        name = f"patient_{patient}_node_{node}"
        path = root / FOLDER / "patches" / name / f"patch_{name}_x_{x}_y_{y}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        of_slide = generator(seed, "toy_slides", "slide", slide)
        of_patch = generator(seed, "toy_slides", path.name)
        Image.fromarray(draw_slide(bool(tumour), hospital, of_slide, of_patch)).save(path)
    table.to_csv(root / METADATA)
    (root / RELEASE).write_text("Drawn patches in the format of Camelyon17-WILDS 1.0\n")


def patches(scale: float, seed: int) -> Iterator[tuple[str, int, int, int, int, int, int, int]]:
    """Patient, node, place, label, slide, hospital and WILDS' split of every patch."""
    for client in Camelyon17.clients:
        slides = [slide for slide in SLIDES if slide.client == client.id]
        rng = generator(seed, "toy_slides", "patches", client.id)
        count = max(4 * len(slides), round((client.images or 0) * scale))
        # Slides differ in their number of patches, and in their share of tumour as they do in reality.
        sizes = 2 + rng.multinomial(count - 2 * len(slides), rng.dirichlet(np.full(len(slides), 4.0)))
        tumours = _tumours(rng, sizes)
        for slide, size, tumour in zip(slides, sizes, tumours, strict=True):
            for step, label in enumerate(np.arange(size) < tumour):
                x, y = 1000 + 32 * (step % 100), 1000 + 32 * (step // 100)
                split = int(rng.random() < 0.1)
                yield slide.patient, slide.node, x, y, int(label), SLIDES.index(slide), int(client.id), split


def _tumours(rng: np.random.Generator, sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Tumour patches (S,) of slides of `sizes` (S,): uneven, both classes on every slide, half in all."""
    tumours = np.clip((sizes * rng.beta(1.2, 1.2, len(sizes))).round().astype(int), 1, sizes - 1)
    while (excess := int(tumours.sum() - sizes.sum() // 2)) != 0:
        step = -1 if excess > 0 else 1
        movable = np.flatnonzero((tumours + step >= 1) & (tumours + step <= sizes - 1))
        tumours[rng.choice(movable)] += step
    return tumours


DATASET = ToySlides()
