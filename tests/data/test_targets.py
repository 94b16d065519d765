"""Targets that are pictures, and cases of several samples: packed, split and opened like labels are."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from PIL import Image

from benchmark.data import pack as packing
from benchmark.data import prepare as preparing
from benchmark.data.dataset import Client, Dataset, Licence, Request
from benchmark.data.packed import open_test, open_training
from benchmark.job import run
from benchmark.plan import Plan
from benchmark.tasks import task as tasks
from benchmark.tasks.classification import Classification

SIZE = 16


class Outline(Classification):
    """A stand-in for a task whose target is a mask: splits keep images with and without an object in proportion."""

    name = "outline"

    def target(self, row: Mapping[str, Any], root: Path, fit: Callable[[Image.Image], npt.NDArray[Any]]) -> Any:
        with Image.open(root / row["mask"]) as mask:
            return fit(mask)

    def strata(self, targets: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        return targets.reshape(len(targets), -1).any(axis=1).astype(np.int64)


class Volumes(Dataset):
    """Two sites of ten grey volumes of three slices each; every second volume shows a square."""

    name: ClassVar[str] = "volumes"
    title: ClassVar[str] = "Volumes"
    clients: ClassVar[tuple[Client, ...]] = (Client("0", "north"), Client("1", "south"))
    classes: ClassVar[tuple[str, ...]] = ()
    licence: ClassVar[Licence] = Licence("mine", "mine", "https://example.org")
    homepage: ClassVar[str] = "https://example.org"
    protocols: ClassVar[Mapping[str, str]] = {"own": "Two volumes of each site for testing."}
    task: ClassVar[str] = "outline"
    channels: ClassVar[int] = 1

    def prepare(self, request: Request) -> Path:
        request.folder.mkdir(parents=True, exist_ok=True)
        for case in range(20):
            for slice in range(3):
                pixels = np.zeros((24, 32), dtype=np.uint8)
                pixels[8:16, 8 + slice : 20] = 255 * (case % 2)
                Image.fromarray(pixels).save(request.folder / f"{case:02}-{slice}.png")
                Image.fromarray(pixels // 255).save(request.folder / f"{case:02}-{slice}-mask.png")
        return request.folder

    def index(self, root: Path, protocol: str, split_seed: int) -> pd.DataFrame:
        rows = [(f"{case:02}-{slice}", case) for case in range(20) for slice in range(3)]
        table = pd.DataFrame(rows, columns=["sample", "case"])
        return pd.DataFrame(
            {
                "sample": table["sample"],
                "client": (table["case"] // 10).astype(str),
                "group": table["case"].astype(str),
                "case": table["case"].map("volume {:02}".format),
                "split": np.where(table["case"] % 10 < 2, "test", "train"),
                "path": table["sample"] + ".png",
                "mask": table["sample"] + "-mask.png",
            }
        )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Prepares and packs the volumes; returns the exit status of the second job."""
    monkeypatch.setattr(tasks, "find", lambda _: Outline)
    for module in (preparing, packing):
        monkeypatch.setattr(module, "find", lambda _: Volumes())

    def both() -> int:
        settings = json.dumps({"image_size": SIZE, "validation": 0.25})
        source = str(tmp_path / "source.json")
        data = ["--dataset", "volumes", "--settings", settings, "--folder", str(tmp_path / "data")]
        assert run(preparing.prepare, [*data, "--output", source]) == 0
        return run(packing.pack, ["--settings", settings, "--source", source, "--output", str(tmp_path / "pack")])

    return both


def test_masks_lie_on_their_images_and_volumes_stay_whole(folder: Callable[[], int], tmp_path: Path) -> None:
    assert folder() == 0
    training, test = open_training(tmp_path / "pack"), open_test(tmp_path / "pack")
    for split, images in ((training, 48), (test, 12)):
        assert split.images.shape == (images, SIZE, SIZE, 1)
        assert split.targets.shape == (images, SIZE, SIZE)
        assert split.targets.dtype == np.uint8
        assert set(np.unique(split.targets)) == {0, 1}
        # An image shows its own mask; only the edges are blurred.
        assert (np.abs(split.images[..., 0] / 255.0 - split.targets).mean(axis=(1, 2)) < 0.1).all()
        assert (split.table.groupby("case")[["client", "split"]].nunique() == 1).all(axis=None)
        assert "mask" not in split.table
    manifest = json.loads((tmp_path / "pack/manifest.json").read_text())
    for client in manifest["clients"].values():
        # A quarter of eight training volumes, half of them with a square, as without.
        assert client["counts"] == {"train": [9, 9], "validation": [3, 3], "test": [3, 3]}
        assert client["cases"] == {"train": 6, "validation": 2, "test": 2}
    cases = pd.read_parquet(tmp_path / "pack/test.cases.parquet")
    assert list(cases) == ["case", "client", "group", "samples"]
    assert cases["case"].tolist() == ["volume 00", "volume 01", "volume 10", "volume 11"]
    assert cases["samples"].tolist() == [3, 3, 3, 3]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mask": "absent.png"}, "60 of 60 targets cannot be used: 00-0 ([Errno 2] No such file or directory: '"),
        ({}, "index() returned no column 'mask', which outline learns"),
    ],
)
def test_a_target_that_cannot_be_made_is_named(
    folder: Callable[[], int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: dict[str, str],
    message: str,
) -> None:
    whole = Volumes.index

    def index(*given: Any) -> pd.DataFrame:
        table = whole(*given)
        return table.assign(**change) if change else table.drop(columns="mask")

    monkeypatch.setattr(Volumes, "index", index)
    assert folder() == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("pack: volumes: ")
    assert message in said


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        (("05-0",), "the target of 05-0 cannot be used: has 24 x 30 pixels, and its image DATA/05-0.png 32 x 24; "),
        (("00-1", "05-0", "11-2"), "3 of 60 targets cannot be used: 00-1 (has 24 x 30 pixels, and its image "),
        (("00-1", "05-0", "11-2", "19-0"), "4 of 60 targets cannot be used: 00-1 ("),
    ],
)
def test_all_targets_that_cannot_be_made_are_counted_in_one_run(
    folder: Callable[[], int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    masks: tuple[str, ...],
    message: str,
) -> None:
    """Those of test images too (00, 11), and three of them are named."""
    whole = Volumes.prepare

    def prepare(self: Volumes, request: Request) -> Path:
        root = whole(self, request)
        for name in masks:
            Image.new("L", (24, 30)).save(root / f"{name}-mask.png")
        return root

    monkeypatch.setattr(Volumes, "prepare", prepare)
    assert folder() == 1
    said = capsys.readouterr().err.splitlines()[-1].replace(str(tmp_path / "data"), "DATA")
    assert said.startswith(f"pack: volumes: {message}")
    assert [name for name in masks if f"DATA/{name}.png" in said] == list(masks[:3])
    assert list((tmp_path / "pack").iterdir()) == []


def test_targets_of_several_shapes_are_refused(
    folder: Callable[[], int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Outline, "target", lambda self, row, *_: np.zeros(1 + (row["sample"] == "05-1")))
    assert folder() == 1
    assert "all must be of one shape and dtype, but there are float64 (1,), float64 (2,)" in capsys.readouterr().err


def test_the_plan_knows_tasks_without_importing_datasets() -> None:
    """A pack's inputs name its task's module; FLamby's lesions say nothing of it, and inherit it."""
    plan = Plan.of({"name": "a", "federations": {"fed_ham10000": {}}, "rates": ["1e-3"], "rounds": 1})
    assert plan.task("fed_ham10000") == "classification"
    sources = plan.sources("benchmark.data.pack", dataset="fed_ham10000", tasks=["classification"])
    assert {"benchmark/tasks/classification.py", "benchmark/data/datasets/fed_isic2019.py"} <= set(sources)
