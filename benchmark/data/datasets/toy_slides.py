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

from benchmark.data.dataset import Client, DataError, Licence, Option, Request
from benchmark.data.datasets.camelyon17 import FOLDER, Camelyon17
from benchmark.data.drawing import code_of, drawn_folder, generator
from benchmark.data.drawn_slide import draw_slide

# Patients with annotated slides in every hospital: one entry per slide, ten of them.
PATIENTS = {
    "0": (4, 9, 10, 12, 15, 15, 16, 17, 17, 17),
    "1": (20, 20, 21, 22, 24, 24, 34, 36, 38, 39),
    "2": (40, 41, 42, 44, 45, 46, 46, 48, 51, 52),
    "3": (60, 61, 62, 64, 66, 67, 68, 72, 73, 75),
    "4": (80, 81, 86, 86, 87, 88, 89, 92, 96, 99),
}


class ToySlides(Camelyon17):
    """Five drawn hospitals, read by Camelyon17's code."""

    name: ClassVar[str] = "toy_slides"
    title: ClassVar[str] = "Toy slides"
    clients: ClassVar[tuple[Client, ...]] = tuple(Client(c.id, f"drawn {c.name}") for c in Camelyon17.clients)
    licence: ClassVar[Licence] = Licence("apache2", "Apache-2.0", "https://www.apache.org/licenses/LICENSE-2.0")
    homepage: ClassVar[str] = "https://wilds.stanford.edu/datasets/#camelyon17"
    protocols: ClassVar[Mapping[str, str]] = {
        "patient_disjoint": "Drawn patches; of each hospital about a fifth for testing, by whole patients.",
    }
    # scale: share of the real number of patches; seed: of the drawing.
    options: ClassVar[Mapping[str, Option]] = {"scale": 0.003, "seed": 0}

    def prepare(self, request: Request) -> Path:
        """Draw the patches into a subfolder named after the options, unless they are there."""
        chosen = self.chosen_options(request.options)
        if request.source is not None:
            raise DataError(f"{self.name}: is drawn and takes no `source`; remove `federations.{self.name}.source`")
        scale, seed = float(chosen["scale"]), int(chosen["seed"])
        if not 0 < scale <= 1:
            raise DataError(f"{self.name}: scale must lie in (0, 1], got {scale}")
        root = request.folder / f"scale={scale:g},seed={seed},code={code_of(__name__)}"
        with drawn_folder(root) as unfinished:
            if unfinished is not None:
                _draw(unfinished, scale, seed)
        self._rows(root)
        return root


def _draw(root: Path, scale: float, seed: int) -> None:
    """Write patches, metadata and the release note in WILDS' layout."""
    columns = ["patient", "node", "x_coord", "y_coord", "tumor", "slide", "center", "split"]
    table = pd.DataFrame(_patches(scale, seed), columns=columns)
    for patient, node, x, y, tumour, slide, hospital, _ in tqdm(
        table.itertuples(index=False), "draw", len(table), mininterval=5
    ):
        name = f"patient_{patient}_node_{node}"
        path = root / FOLDER / "patches" / name / f"patch_{name}_x_{x}_y_{y}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        of_slide = generator(seed, "toy_slides", "slide", slide)
        of_patch = generator(seed, "toy_slides", path.name)
        Image.fromarray(draw_slide(bool(tumour), hospital, of_slide, of_patch)).save(path)
    table.to_csv(root / FOLDER / "metadata.csv")
    # WILDS takes a folder for complete when this file is there.
    (root / FOLDER / "RELEASE_v1.0.txt").write_text("Drawn patches in the format of Camelyon17-WILDS 1.0\n")


def _patches(scale: float, seed: int) -> Iterator[tuple[str, int, int, int, int, int, int, int]]:
    """Patient, node, place, label, slide, hospital and WILDS' split of every patch."""
    for client in Camelyon17.clients:
        patients = PATIENTS[client.id]
        rng = generator(seed, "toy_slides", "patches", client.id)
        count = max(4 * len(patients), round((client.images or 0) * scale))
        # Slides differ in their number of patches, and in their share of tumour as they do in reality.
        sizes = 2 + rng.multinomial(count - 2 * len(patients), rng.dirichlet(np.full(len(patients), 4.0)))
        tumours = _tumours(rng, sizes)
        for number, patient in enumerate(patients):
            node = patients[:number].count(patient)
            labels = np.arange(sizes[number]) < tumours[number]
            for step, tumour in enumerate(labels):
                x, y = 1000 + 32 * (step % 100), 1000 + 32 * (step // 100)
                split = int(rng.random() < 0.1)
                slide = 10 * int(client.id) + number
                yield f"{patient:03d}", node, x, y, int(tumour), slide, int(client.id), split


def _tumours(rng: np.random.Generator, sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Tumour patches (S,) of slides of `sizes` (S,): uneven, both classes on every slide, half in all."""
    tumours = np.clip((sizes * rng.beta(1.2, 1.2, len(sizes))).round().astype(int), 1, sizes - 1)
    while (excess := int(tumours.sum() - sizes.sum() // 2)) != 0:
        step = -1 if excess > 0 else 1
        movable = np.flatnonzero((tumours + step >= 1) & (tumours + step <= sizes - 1))
        tumours[rng.choice(movable)] += step
    return tumours


DATASET = ToySlides()
