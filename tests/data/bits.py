"""Hashes of all that the project draws: `python -m tests.data.bits` prints them, and with `--write` keeps them."""

import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmark import exact
from benchmark.config import FederationSettings
from benchmark.data import augmentation
from benchmark.data.changes import NUMBERS, changed
from benchmark.data.drawn_shapes import draw_shapes
from benchmark.data.drawn_source import draw_source
from benchmark.data.pack import pack
from benchmark.data.prepare import prepare
from benchmark.draws import generator, initial
from benchmark.files import read_json
from benchmark.leaf import Leaf
from benchmark.models import lora, unet
from benchmark.models.heads import Linear
from benchmark.settings import AugmentationSettings

KEPT = Path(__file__).with_name("bits.json")
FEDERATIONS: dict[str, dict[str, Any]] = {
    "toy_lesions": {
        "protocol": "lesion_disjoint",
        "options": {"scale": 0.008, "evenness": 0.5, "styles": 0.4, "side": 48},
    },
    "toy_volumes": {"options": {"scale": 0.1, "side": 48}},
    "toy_slides": {"options": {"scale": 0.0005, "side": 48}},
}


def arithmetic() -> Iterator[tuple[str, Any]]:
    """Elementary functions on many values."""
    values = exact.Draws("values").random(20000)
    yield "exp", exact.exp(60 * values - 30)
    yield "log", exact.log(1e-300 + 1e6 * values * values * values)
    yield "power", exact.power(values + 1e-9, 0.8)
    yield "circle", np.stack(exact.circle(10 * values - 5))
    yield "normal", exact.Draws("values").normal(0, 1, 20001)


def training() -> Iterator[tuple[str, Any]]:
    """What a run draws: first values of leaves, orders of images, their random numbers, and further changes."""
    sites = [lora.Site("blocks.0.attn.q", 0, 96, 96)]
    leaves: list[Leaf] = [*Linear(96, 8, 0.02).leaves("head"), *Linear(7, 3, 0.02).leaves("odd")]
    leaves += [leaf for kind in ("kaiming", "gaussian") for leaf in lora.leaves(kind, sites, 4, kind)]
    for leaf in leaves:
        for dtype in (torch.float64, torch.float32):
            yield f"{leaf.name} {dtype}", initial(leaf, 0, dtype).numpy()
    yield "order", torch.randperm(1000, generator=generator(0, "order")).numpy()
    yield "changes", augmentation.draws(1000, generator(0, "changes")).numpy()
    further = AugmentationSettings(turn=15, gamma=(0.5, 3.5), erase=(0.02, 0.05), others=10)
    levels = torch.randint(256, (200, 33, 40, 3), generator=generator(0, "levels"), dtype=torch.uint8)
    drawn = torch.rand(200, NUMBERS, generator=generator(0, "further changes"), dtype=torch.float64)
    yield "further changes", changed(levels, further, drawn).numpy()
    yield "further changes of labels", changed(levels, further, drawn, labels=True).numpy()
    yield "dropout", torch.randint(2**62, (1000,), generator=generator(0, "dropout")).numpy()


def networks() -> Iterator[tuple[str, Any]]:
    """What networks begin with that are not pretrained, and what a small SAM is pretrained on."""
    for norm in ("batch", "group"):
        body = unet.build({"channels": 8, "levels": 3, "norm": norm}, seed=1)
        weights = [values.flatten() for _, values in sorted(body.state_dict().items())]
        yield f"unet {norm}", torch.cat([values.float() for values in weights]).numpy()
    yield from zip(("shapes", "shapes masks"), draw_shapes(40, 64, 0), strict=True)


def packs(folder: Path) -> Iterator[tuple[str, str]]:
    """Of each federation the arrays' hashes and the tables, drawn, read and packed as in a comparison."""
    for name, settings in FEDERATIONS.items():
        made = FederationSettings(image_size=48, **settings)
        prepare(name, made, folder / name, folder / name / "source.json", threads=1)
        pack(made, folder / name / "source.json", folder / f"{name}-pack", threads=1)
        hashes = read_json(folder / f"{name}-pack/manifest.json")["hashes"]
        for file in sorted(hashes):
            if file.endswith(".npy"):
                yield f"{name} {file}", hashes[file]
            else:  # How a table is written depends on the library's version.
                table = pd.read_parquet(folder / f"{name}-pack" / file).to_csv(index=False)
                yield f"{name} {file}", hashlib.sha256(table.encode()).hexdigest()


def found() -> dict[str, str]:
    """All hashes, by what they are of."""
    source = zip(("source images", "source labels"), draw_source(60, 48, 0), strict=True)
    arrays = [*arithmetic(), *training(), *networks(), *source]
    hashes = {name: hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest() for name, array in arrays}
    with tempfile.TemporaryDirectory() as folder:
        return {**hashes, **dict(packs(Path(folder)))}


if __name__ == "__main__":
    text = json.dumps(found(), indent=1) + "\n"
    if "--write" in sys.argv:
        KEPT.write_text(text, encoding="utf-8")
    print(text, end="")
