"""The job that takes a kept row, or trains it: whatever fails, the old row stays whole."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from benchmark import archive
from benchmark.baselines.match import FORMAT
from benchmark.baselines.take import take
from benchmark.comparison import Places
from benchmark.files import json_bytes, read_json, sha256, write_json, write_text
from benchmark.job import run
from benchmark.methods import method_file
from benchmark.plan import Plan
from tests.federation.jobs import CONFIGURATION, Workplace, workplace
from tests.federation.small import ROOT

ROW = ("hospitals", "fedit")
CHANGES = {"rates": ["1e-1"], "rounds": 1}


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    """Three small hospitals; no test split yet."""
    return workplace(tmp_path / "place", ROOT / method_file(ROW[1]))


def with_test_split(place: Workplace) -> None:
    """The hospitals' training images in place of test images."""
    pack = place.folder / "pack"
    for end in (".npy", ".targets.npy"):
        shutil.copy(pack / f"train{end}", pack / f"test{end}")
    table = pd.read_parquet(pack / "train.parquet").assign(split="test")
    table.assign(case=table["sample"]).to_parquet(pack / "test.parquet")
    manifest = read_json(pack / "manifest.json")
    added = {name: sha256(pack / name) for name in ("test.npy", "test.targets.npy", "test.parquet")}
    write_json(pack / "manifest.json", {**manifest, "hashes": {**manifest["hashes"], **added}})


def files(results: Path) -> list[str]:
    """What reports need of the row."""
    plan = Plan.of({**CONFIGURATION, **CHANGES})
    patterns = [pattern.removeprefix(f"{plan.results}/") for pattern in plan.row_files]
    return [str(results / pattern.format(federation=ROW[0], method=ROW[1])) for pattern in patterns]


def command(place: Workplace, results: Path, kept: Path) -> list[str]:
    """The job's arguments."""
    options = place.command(results, store=place.folder / "store", **CHANGES)
    output = options.index("--output")
    own = ["--archive", str(kept), "--files", *files(results), "--results", str(results)]
    return [*own, *options[:output], *options[output + 2 :]]


def keep(place: Workplace, results: Path, *, own: bool, without: str = "\n") -> Path:
    """An archive of the row, whose images are these or others; a file of it may be left out."""
    hashes = read_json(place.folder / "pack/manifest.json")["hashes"] if own else {"train.npy": "0" * 64}
    backbone = read_json(place.folder / "backbone/backbone.json")["sha256"]
    about = {"format": FORMAT, "decides": {}, "images": hashes, "backbone": backbone}
    names = [Path(path).relative_to(results).as_posix() for path in files(results)]
    content = {name: b"kept" for name in names if without not in name}
    archive.write(path := place.folder / "row.zip", {**content, "about.json": json_bytes(about)})
    return path


def old_row(results: Path) -> Path:
    """A row that is there already, with an adapter that no training of today writes; returns its runs' folder."""
    runs = Path(Places(results.as_posix()).runs(*ROW))
    for path in (*map(Path, files(results)), runs / "lr=1e-1/seed=0/run.json", runs / "lr=1e-1/seed=0/adapters/gone/x"):
        write_text(path, "old")
    return runs


def held(folder: Path) -> dict[str, bytes]:
    """What a folder holds, by name; locks hold no result."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_a_test_that_fails_leaves_all_of_the_old_row(
    place: Workplace, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """It trained and selected meanwhile; once tests can be made, the row is replaced whole, by what the store holds."""
    results = tmp_path / "results"
    runs, kept = old_row(results), keep(place, results, own=False)
    before = held(results)
    assert run(take, command(place, results, kept)) == 1
    assert "test.npy" in capfd.readouterr().err.splitlines()[-1]
    assert list((place.folder / "store").rglob("final=*.safetensors")), "so far it came"
    assert held(results) == before

    with_test_split(place)
    assert run(take, command(place, results, kept)) == 0
    after = held(results)
    assert [name for name, content in after.items() if content == b"old"] == []
    assert before.keys() - after.keys() == {f"{runs.relative_to(results).as_posix()}/lr=1e-1/seed=0/adapters/gone/x"}
    assert read_json(runs / "lr=1e-1/seed=0/run.json")["origin"] == "store"
    assert not [path for path in results.iterdir() if path.name.startswith(".")]


def test_an_archive_that_lacks_a_file_leaves_all_of_the_old_row(
    place: Workplace, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """And a whole one replaces it, but for the runs, of which it keeps none."""
    results = tmp_path / "results"
    runs, before = old_row(results), held(results)
    assert run(take, command(place, results, keep(place, results, own=True, without="looks"))) == 1
    assert "looks.json" in capfd.readouterr().err.splitlines()[-1]
    assert held(results) == before
    assert run(take, command(place, results, keep(place, results, own=True))) == 0
    assert {Path(path).read_text(encoding="utf-8") for path in files(results)} == {"kept"}
    assert (runs / "lr=1e-1/seed=0/run.json").read_text(encoding="utf-8") == "old"
