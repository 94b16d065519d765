"""What every dataset module promises, tested for every file in `benchmark/data/datasets/`, and for the documented one.

Modules of drawn data are tested on a drawing. Those of real data read the same layouts from the drawing or from a small
folder written here; a module that is not known here is tested on the folder that `BENCHMARK_<NAME>` names.
"""

import importlib.util
import inspect
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmark.data.dataset import Dataset, Request, checked_index, find, fingerprint, names
from benchmark.data.datasets.fed_ham10000_lesions import MASKS
from benchmark.data.flamby import IMAGES
from benchmark.data.pack import pack
from benchmark.data.prepare import prepare
from benchmark.job import run
from benchmark.tasks import task as tasks
from tests.data import scanned
from tests.data.few_slides import FewSlides
from tests.federation.small import ROOT

DOCUMENT = ROOT / "docs" / "datasets.md"
Prepared = tuple[Dataset, Request]


DOCUMENTED = ("my_clinics", "my_outlines")
"""The modules that `docs/datasets.md` shows, in its order."""


def documented(name: str, folder: Path, old: str = "", new: str = "") -> Dataset:
    """One of them, with `new` in place of `old`, imported from a file."""
    code = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)[DOCUMENTED.index(name)]
    assert len(code.splitlines()) <= 42
    path = folder / f"{name}.py"
    path.write_text(code.replace(old, new) if old else code)
    spec = importlib.util.spec_from_file_location(f"benchmark.data.datasets.{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    dataset = module.DATASET
    assert isinstance(dataset, Dataset)
    return dataset


def clinics(folder: Path) -> Path:
    """A folder as the documented modules read it: three sites, five patients each."""
    rng, rows = np.random.default_rng(0), []
    for site in ("north", "south", "west"):
        for patient in range(5):
            for number in range(4):
                name = f"{site}_{patient}_{number}.png"
                Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)).save(folder / name)
                outline(folder / f"mask_{name}", rng, 255)
                rows.append((name, ("benign", "malignant")[number % 2], site, f"{site} {patient}", f"mask_{name}"))
    columns = ["image", "label", "site", "patient", "mask"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "images.csv", index=False)
    return folder


def outline(path: Path, rng: np.random.Generator, value: int, size: tuple[int, int] = (30, 40)) -> None:
    """A mask: a rectangle of this value."""
    mask = np.zeros(size, dtype=np.uint8)
    top, left = rng.integers(4, 10, 2)
    mask[top : top + 8, left : left + 12] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(path)


def vessels(folder: Path) -> Path:
    """A folder as `retinal_vessels` reads it."""
    rng, rows = np.random.default_rng(1), []
    for client in find("retinal_vessels").clients:
        for number in range(8):
            name = f"{client.name}/{number}"
            outline(folder / f"masks/{name}.png", rng, 1)
            picture = Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8))
            (folder / f"images/{client.name}").mkdir(parents=True, exist_ok=True)
            picture.save(folder / f"images/{name}.jpg")
            rows.append((client.name, name, "test" if number % 4 == 3 else "train", str(number // 2 * 2 + number % 2)))
    pd.DataFrame(rows, columns=["site", "name", "split", "patient"]).to_csv(folder / "index.csv", index=False)
    return folder


def hospital_patients() -> list[tuple[int, int, str, str | None]]:
    """Rows in FLamby's format: six clients, some lesions of two images."""
    return [
        (client, label, "test" if number % 4 == 3 else "train", f"{client}-{label}-{number // 2}")
        for client in range(6)
        for label in range(2)
        for number in range(16)
    ]


@pytest.fixture(params=[*names(), *(name for name in DOCUMENTED if name not in names())])
def prepared(
    request: pytest.FixtureRequest, tmp_path: Path, slides: Path, flamby_folder: Callable[..., Path]
) -> Prepared:
    """A dataset, and a request that it can fulfil without a network."""
    name, folder = request.param, tmp_path / "data"
    folder.mkdir()
    if name in DOCUMENTED and name not in names():
        return documented(name, folder), Request(folder, clinics(folder))
    dataset = find(name)
    if name.startswith("toy_"):
        small = {"toy_lesions": {"scale": 0.006, "side": 32}, "toy_slides": {"scale": 0.0003}}
        options = {**small, "toy_volumes": {"scale": 0.4, "side": 32}}[name]
        return dataset, Request(folder, options=options)
    if name in ("fed_isic2019", "fed_ham10000"):
        options = {"short_side": 24} if name == "fed_isic2019" else {}
        return dataset, Request(folder, flamby_folder(hospital_patients()), options)
    if name == "fed_ham10000_lesions":
        root = flamby_folder(hospital_patients())
        for image in (root / IMAGES).iterdir():
            outline(root / MASKS / f"{image.stem}_segmentation.png", np.random.default_rng(0), 255, (24, 32))
        return dataset, Request(folder, root)
    if name == "retinal_vessels":
        return dataset, Request(folder, vessels(tmp_path / "vessels"))
    drawn: dict[str, Callable[[Path], Path]] = {"fed_kits19": scanned.kits, "prostate": scanned.prostate}
    drawn |= {"fed_ixi": scanned.ixi, "fundus": scanned.fundus}
    if name in drawn:
        return dataset, Request(folder, drawn[name](tmp_path / name))
    if name == "camelyon17":
        return FewSlides(), Request(folder, slides)
    source = os.environ.get(f"BENCHMARK_{name.upper()}")
    if source is None:
        pytest.skip(f"no data of {name}: set BENCHMARK_{name.upper()} to a folder that holds it")
    return dataset, Request(folder, Path(source))


def test_it_describes_itself(prepared: Prepared) -> None:
    dataset, _ = prepared
    assert dataset.title
    assert inspect.getdoc(type(dataset))
    assert len({client.id for client in dataset.clients}) == len(dataset.clients) > 1
    assert len(set(dataset.classes)) == len(dataset.classes)
    assert dataset.task in tasks.names()
    assert dataset.protocols
    assert all(caption.endswith(".") for caption in dataset.protocols.values())
    assert dataset.licence.address.startswith("https://")
    assert dataset.homepage.startswith("https://")
    assert dataset.protocol("published") == next(iter(dataset.protocols))
    assert dataset.chosen_options({}) == dataset.options


def test_every_protocol_gives_a_sound_index(prepared: Prepared) -> None:
    dataset, request = prepared
    root = dataset.prepare(request)
    tables = {protocol: checked_index(dataset, root, protocol, 0) for protocol in dataset.protocols}
    assert len({fingerprint(table) for table in tables.values()}) == 1
    for protocol, table in tables.items():
        if dataset.task == "classification":
            assert len(dataset.classes) > 1
            assert "label" in table, "classification learns the index's column `label`"
        if dataset.task == "segmentation":
            assert all((root / path).is_file() for path in table["target"])
        assert all((root / path).is_file() for path in table["path"])
        for client, rows in table.groupby("client"):
            assert {"train", "test"} <= set(rows["split"]), (protocol, client)
        if "disjoint" in protocol:
            assert (table.groupby("group")["split"].nunique() == 1).all()
        pd.testing.assert_frame_equal(checked_index(dataset, root, protocol, 0), table)


def test_the_protocols_that_are_drawn_and_no_others_follow_the_seed(prepared: Prepared) -> None:
    """What planning relies on, which reads `drawn` and no data."""
    dataset, request = prepared
    root = dataset.prepare(request)
    assert set(dataset.drawn) <= set(dataset.protocols)
    for protocol in dataset.protocols:
        count = dataset.drawn.get(protocol)
        tables = [checked_index(dataset, root, protocol, seed) for seed in range(count or 6)]
        tested = [frozenset(table.loc[table["split"] == "test", "sample"]) for table in tables]
        assert (len(set(tested)) > 1) is (protocol in dataset.drawn), protocol
        if count is not None:
            groups = pd.concat([table.loc[table["split"] == "test", "group"].drop_duplicates() for table in tables])
            assert sorted(groups) == sorted(tables[0]["group"].unique()), "every group is tested once"
            assert checked_index(dataset, root, protocol, count).equals(tables[0])
            assert all((table.groupby("group")["split"].nunique() == 1).all() for table in tables)


def test_preparing_twice_changes_nothing(prepared: Prepared) -> None:
    dataset, request = prepared
    root = dataset.prepare(request)
    assert dataset.locate(request) == root
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert dataset.prepare(request) == root
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
    assert not dataset.fetches(request)


def test_user_folder_is_not_touched(prepared: Prepared) -> None:
    dataset, request = prepared
    if request.source is None:
        pytest.skip("it is drawn")
    before = sorted(request.source.rglob("*"))
    dataset.index(dataset.prepare(request), next(iter(dataset.protocols)), 0)
    assert sorted(request.source.rglob("*")) == before


def test_client_may_be_absent(prepared: Prepared, tmp_path: Path) -> None:
    dataset, request = prepared
    shutil.copytree(dataset.prepare(request), tmp_path / "copy")
    table = checked_index(dataset, tmp_path / "copy", "published", 0)
    gone = dataset.clients[-1].id
    for path in table.loc[table["client"] == gone, "path"]:
        (tmp_path / "copy" / path).unlink()
    rest = checked_index(dataset, tmp_path / "copy", "published", 0)
    assert set(rest["client"]) == set(table["client"]) - {gone}


def test_jobs_prepare_and_pack_it(
    prepared: Prepared, tmp_path: Path, settings: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, request = prepared
    for module in ("benchmark.data.prepare.find", "benchmark.data.pack.find"):
        monkeypatch.setattr(module, lambda _: dataset)
    source = {"source": str(request.source)} if request.source else {}
    text = settings(**source, options=dict(request.options), image_size=16)
    command = ["--dataset", dataset.name, "--settings", text, "--folder", str(request.folder)]
    assert run(prepare, [*command, "--output", str(tmp_path / "source.json")]) == 0
    job = ["--settings", text, "--source", str(tmp_path / "source.json"), "--output", str(tmp_path / "pack")]
    assert run(pack, job) == 0
    manifest = json.loads((tmp_path / "pack" / "manifest.json").read_text())
    images = np.load(tmp_path / "pack" / "train.npy", mmap_mode="r")
    assert set(manifest["clients"]) == {client.id for client in dataset.clients}
    assert images.shape[1:] == (16, 16, dataset.channels)
    assert images.std() > 1


def test_readme_leads_to_the_document() -> None:
    assert "docs/datasets.md" in (ROOT / "README.md").read_text()
