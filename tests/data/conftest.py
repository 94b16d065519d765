"""Small data for the tests: drawn once, and the real data where a developer has it."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmark.data.dataset import Request, find
from benchmark.data.datasets.fed_isic2019 import CLASSES
from benchmark.data.flamby import IMAGES
from tests.data.server import Server, running


@pytest.fixture(scope="session")
def lesions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small drawing of toy lesions."""
    folder = tmp_path_factory.mktemp("toy_lesions")
    return find("toy_lesions").prepare(Request(folder, None, {"scale": 0.006, "side": 48}, (), 0))


@pytest.fixture(scope="session")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small drawing of toy slides."""
    return find("toy_slides").prepare(Request(tmp_path_factory.mktemp("toy_slides"), None, {"scale": 0.0003}, (), 0))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data; the test is skipped where there is none."""
    default = Path(__file__).parents[2].parent / "shared" / "data"
    folder = Path(os.environ.get("BENCHMARK_SHARED_DATA", default))
    if not folder.is_dir():
        pytest.skip("no real data: set BENCHMARK_SHARED_DATA to a folder that holds it")
    return folder


@pytest.fixture
def flamby_folder(tmp_path: Path) -> Callable[..., Path]:
    """Writes a folder in FLamby's layout: `rows` of (client, label, fold, lesion or None)."""

    def write(rows: list[tuple[int, int, str, str | None]]) -> Path:
        root = tmp_path / "flamby"
        (root / IMAGES).mkdir(parents=True)
        names = [f"ISIC_{number:07d}" for number in range(len(rows))]
        for number, name in enumerate(names):
            gray = np.full((24, 32, 3), (number * 37) % 256, dtype=np.uint8)
            Image.fromarray(gray).save(root / IMAGES / f"{name}.jpg")
        table = pd.DataFrame({"image": names})
        for label, name in enumerate((*CLASSES, "UNK")):
            table[name] = [float(row[1] == label) for row in rows]
        table["target"], table["center"] = [row[1] for row in rows], [row[0] for row in rows]
        table["fold"] = [row[2] for row in rows]
        table.to_csv(root / "train_test_split", index=False)
        known = pd.DataFrame({"image": names, "lesion_id": [row[3] for row in rows]})
        known.to_csv(root / "ISIC_2019_Training_Metadata.csv", index=False)
        return root

    return write


@pytest.fixture
def settings() -> Callable[..., str]:
    """The jobs' `--settings` as text."""

    def text(**federation: object) -> str:
        return json.dumps(federation)

    return text


@pytest.fixture
def server() -> Iterator[Server]:
    """A server on this machine."""
    with running() as started:
        yield started
