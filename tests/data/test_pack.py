"""The job that packs images: arrays, tables, manifest, and what it refuses."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmark.data import pack as module
from benchmark.data.dataset import checked_index, find
from benchmark.data.flamby import IMAGES
from benchmark.data.pack import pack
from benchmark.data.packed import open_test, open_training
from benchmark.data.parallel import in_batches
from benchmark.data.picture import decode
from benchmark.data.prepare import prepare
from benchmark.files import sha256
from benchmark.job import run
from tests.data.scanned import prostate


@pytest.fixture
def packed(tmp_path: Path, settings: Callable[..., str]) -> Callable[..., int]:
    """Prepares and packs a folder in FLamby's layout; returns the exit status of the second job."""

    def both(root: Path, **federation: object) -> int:
        text = settings(
            dataset="fed_isic2019", source=str(root), options={"short_side": 24}, image_size=16, **federation
        )
        command = ["--dataset", "fed_isic2019", "--settings", text, "--folder", str(tmp_path / "data")]
        assert run(prepare, [*command, "--output", str(tmp_path / "source.json")]) == 0
        source = ["--settings", text, "--source", str(tmp_path / "source.json")]
        return run(pack, [*source, "--output", str(tmp_path / "pack")])

    return both


def few(client: int, labels: list[int] | None = None) -> list[tuple[int, int, str, str | None]]:
    """Ten training images and two for testing."""
    rows = [(client, label, "train", f"{client}-{n}") for n, label in enumerate(labels or [0, 1] * 5)]
    return [*rows, (client, 0, "test", None), (client, 1, "test", None)]


def many() -> pd.DataFrame:
    """An index: 90 training images of client a in groups of three, 40 of client b in groups of two, tests of both."""
    rows = [("a", "train", f"a{n // 3}", n // 3 % 3) for n in range(90)]
    rows += [("b", "train", f"b{n // 2}", n // 2 % 2) for n in range(40)]
    rows += [(client, "test", f"{client}t{n}", 0) for client in "ab" for n in range(50)]
    table = pd.DataFrame(rows, columns=["client", "split", "group", "label"])
    return table.assign(sample=[str(n) for n in range(len(table))])


def test_fewer_training_images_are_whole_groups_with_classes_in_proportion() -> None:
    whole = many()
    table = module.fewer(whole, 45, 0)
    trained = table[table["split"] == "train"]
    assert table["split"].eq("test").sum() == 100
    assert trained["client"].value_counts().to_dict() == {"a": 45, "b": 40}, "b has fewer than that"
    assert set(trained["group"].value_counts()) == {2, 3}
    assert trained.loc[trained["client"] == "a", "label"].value_counts().to_dict() == {0: 15, 1: 15, 2: 15}
    shuffled = module.fewer(whole.sample(frac=1, random_state=0), 45, 0)
    assert set(shuffled["sample"]) == set(table["sample"]), "the order of rows decides nothing"
    assert set(module.fewer(whole, 45, 1)["sample"]) != set(table["sample"]), "the seed does"
    pd.testing.assert_frame_equal(module.fewer(whole, None, 0), whole)


def test_fewer_images_leave_something_of_each_part() -> None:
    """A validation part of the dataset's own becomes smaller as the training part does, and a single group stays."""
    whole = many()
    whole.loc[60:89, "split"] = "validation"
    kinds = module.fewer(whole, 45, 0).groupby("client")["split"].value_counts()
    assert kinds["a", "train"] == pytest.approx(30, abs=3), "of 60, in groups of three"
    assert kinds["a", "validation"] == pytest.approx(15, abs=3), "of 30"
    whole.loc[60:89, "group"] = "one"
    kinds = module.fewer(whole, 45, 0).groupby("client")["split"].value_counts()
    assert kinds["a", "validation"] == 30


def test_a_pack_of_fewer_training_images_says_so(
    packed: Callable[..., int], flamby_folder: Callable[..., Path], tmp_path: Path
) -> None:
    assert (
        packed(flamby_folder([row for client in (1, 2) for row in few(client, [0, 1] * 15)]), training_images=10) == 0
    )
    manifest = json.loads((tmp_path / "pack/manifest.json").read_text())
    counts = manifest["clients"]["1"]["counts"]
    assert sum(counts["train"]) + sum(counts["validation"]) == 10
    assert sum(counts["test"]) == 2
    assert manifest["caption"].endswith("Of each client about 10 images are trained and validated on.")


def test_toy_lesions_end_to_end(lesions: Path, tmp_path: Path, settings: Callable[..., str]) -> None:
    options = {"scale": 0.006, "side": 48}
    text = settings(dataset="toy_lesions", options=options, image_size=24, validation=0.2)
    command = ["--dataset", "toy_lesions", "--settings", text, "--folder", str(lesions.parent)]
    assert run(prepare, [*command, "--output", str(tmp_path / "source.json")]) == 0
    job = ["--settings", text, "--source", str(tmp_path / "source.json"), "--output", str(tmp_path / "pack")]
    assert run(pack, job) == 0
    folder = tmp_path / "pack"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["group_name"] == "lesions"
    training, test = open_training(folder), open_test(folder)
    index = checked_index(find("toy_lesions"), lesions, "flamby", 0).set_index("sample")

    for split, allowed in ((training, {"train", "validation"}), (test, {"test"})):
        assert split.images.shape == (len(split.table), 24, 24, 3)
        assert set(split.table["split"]) == allowed
        assert list(split.table) == ["sample", "client", "label", "group", "split", "case"]
        np.testing.assert_array_equal(split.targets, split.table["label"])
        assert split.targets.dtype == np.int64
        pd.testing.assert_frame_equal(split.table, split.table.sort_values(["client", "sample"]))
        row = len(split.table) // 2
        path = lesions / index.loc[split.table["sample"][row], "path"]
        np.testing.assert_array_equal(split.images[row], decode(path, 24, "crop"))
    assert sorted([*training.table["sample"], *test.table["sample"]]) == sorted(index.index)

    both = pd.concat([training.table, test.table])
    for client, entry in manifest["clients"].items():
        for split in ("train", "validation", "test"):
            rows = both[(both["client"] == client) & (both["split"] == split)]
            assert entry["counts"][split] == [int((rows["label"] == c).sum()) for c in range(8)]
            assert entry["groups"][split] == rows["group"].nunique()
            assert entry["cases"][split] == len(rows)
        groups = [
            set(both[(both["client"] == client) & (both["split"] == s)]["group"]) for s in ("train", "validation")
        ]
        assert not groups[0] & groups[1]
    files = {
        f"{split}{end}" for split in ("train", "test") for end in (".npy", ".targets.npy", ".parquet", ".cases.parquet")
    }
    assert manifest["hashes"] == {name: sha256(folder / name) for name in files}
    assert {path.name for path in folder.iterdir()} == files | {"manifest.json"}
    assert manifest["pack_format"] == 2
    assert manifest["protocol"] == "flamby"
    assert str(tmp_path) not in (folder / "manifest.json").read_text()

    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert run(pack, job) == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first


def test_broken_images_are_all_named(
    flamby_folder: Callable[..., Path],
    packed: Callable[..., int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = flamby_folder(few(0))
    for name in ("ISIC_0000003", "ISIC_0000007", "ISIC_0000011"):
        path = root / IMAGES / f"{name}.jpg"
        path.write_bytes(path.read_bytes()[:-10])
    assert packed(root) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert "3 images below" in said
    assert all(name in said for name in ("ISIC_0000003", "ISIC_0000007", "ISIC_0000011"))
    assert "fetch them again" in said
    assert list((tmp_path / "pack").iterdir()) == []


def test_rare_cells_are_recorded_as_they_are(
    flamby_folder: Callable[..., Path], packed: Callable[..., int], tmp_path: Path
) -> None:
    labels = [0] * 9 + [5]
    assert packed(flamby_folder([*few(2, labels), *few(4)])) == 0
    manifest = json.loads((tmp_path / "pack" / "manifest.json").read_text())
    counts = manifest["clients"]["2"]["counts"]
    assert counts["train"][5] == 1
    assert counts["validation"][5] == 0
    assert counts["test"] == [1, 1, 0, 0, 0, 0, 0, 0]
    assert manifest["missing_clients"] == ["0", "1", "3", "5"]


def test_client_without_test_images_is_refused(
    flamby_folder: Callable[..., Path], packed: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    root = flamby_folder([*few(0), *few(1)[:-2]])
    assert packed(root) == 1
    assert "client 1 has 10 images, none for test" in capsys.readouterr().err
    # Nothing stands in the way of the others.
    assert packed(root, clients=["0"]) == 0


def test_client_of_one_lesion_has_no_validation(
    flamby_folder: Callable[..., Path], packed: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [*few(0), *[(1, 0, "train", "same")] * 5, (1, 0, "test", None)]
    assert packed(flamby_folder(rows)) == 1
    assert "client 1 has 6 images, none for validation" in capsys.readouterr().err


def test_chosen_client_must_be_there(
    flamby_folder: Callable[..., Path], packed: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert packed(flamby_folder(few(0)), clients=["0", "3"]) == 1
    assert "no images of client 3; there are: 0" in capsys.readouterr().err


def test_data_that_changed_since_is_refused(
    flamby_folder: Callable[..., Path],
    packed: Callable[..., int],
    tmp_path: Path,
    settings: Callable[..., str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = flamby_folder(few(0))
    assert packed(root) == 0
    text = (root / "train_test_split").read_text().splitlines()
    (root / "train_test_split").write_text("\n".join(text[:-1]) + "\n")
    job = ["--settings", settings(image_size=16), "--source", str(tmp_path / "source.json")]
    assert run(pack, [*job, "--output", str(tmp_path / "pack")]) == 1
    assert "has changed since it was prepared" in capsys.readouterr().err


def test_absent_source_is_one_line(
    tmp_path: Path, settings: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    job = ["--settings", settings(), "--source", str(tmp_path / "none.json"), "--output", str(tmp_path)]
    assert run(pack, job) == 1
    assert "none.json" in capsys.readouterr().err


def test_batches_bound_memory_and_change_nothing(
    lesions: Path, tmp_path: Path, settings: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the number of threads and of images held at a time, the files are equal to the bit, and hashed."""
    text = settings(dataset="toy_lesions", options={"scale": 0.006, "side": 48}, image_size=24, validation=0.2)
    command = ["--dataset", "toy_lesions", "--settings", text, "--folder", str(lesions.parent)]
    assert run(prepare, [*command, "--output", str(tmp_path / "source.json")]) == 0
    held: list[int] = []

    def spied(*arguments: Any) -> Iterator[list[Any]]:
        for images in in_batches(*arguments):
            held.append(len(images))
            yield images

    monkeypatch.setattr(module, "in_batches", spied)
    packs = []
    for threads, images in ((1, 1000), (3, 4)):
        monkeypatch.setattr(module, "BATCH", images * 3 * 24 * 24)
        held.clear()
        job = ["--settings", text, "--source", str(tmp_path / "source.json"), "--threads", str(threads)]
        assert run(pack, [*job, "--output", str(tmp_path / f"pack{threads}")]) == 0
        assert max(held) <= images
        packs.append({path.name: sha256(path) for path in (tmp_path / f"pack{threads}").iterdir()})
    assert packs[0] == packs[1]


def test_disk_that_is_too_small_is_found_before_decoding(
    flamby_folder: Callable[..., Path],
    packed: Callable[..., int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    usage = shutil.disk_usage("/")._replace(free=100)
    monkeypatch.setattr("benchmark.disk.shutil.disk_usage", lambda _: usage)
    assert packed(flamby_folder(few(0))) == 1
    assert "the pack of fed_isic2019 needs" in capsys.readouterr().err
    assert list((tmp_path / "pack").iterdir()) == []


def test_maps_of_labels_count_in_the_room_that_a_pack_needs(
    settings: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """54 grey slices of 16 x 16 pixels, and as many bytes of labels."""
    own = ["--settings", settings(dataset="prostate", source=str(prostate(tmp_path / "own")), image_size=16)]
    source = tmp_path / "source.json"
    given = ["--dataset", "prostate", *own, "--folder", str(tmp_path / "data"), "--output", str(source)]
    assert run(prepare, given) == 0
    usage = shutil.disk_usage("/")._replace(free=20_000)
    monkeypatch.setattr("benchmark.disk.shutil.disk_usage", lambda _: usage)
    assert run(pack, [*own, "--source", str(source), "--output", str(tmp_path / "pack")]) == 1
    assert "the pack of prostate needs 27.6 kB, but only 20 kB are free" in capsys.readouterr().err


def test_validation_is_cut_for_clients_that_have_none() -> None:
    """One client says itself what validates; of the other, a part of the training images does."""
    rows = [("0", "train"), ("0", "validation"), ("0", "test")] + [("1", "train")] * 10 + [("1", "test")]
    table = pd.DataFrame(rows, columns=["client", "split"])
    table["group"] = [str(number) for number in range(len(rows))]
    found = module.with_validation(table, np.zeros(len(rows), dtype=np.int64), 0.2, 0)
    pd.testing.assert_series_equal(found["split"][:3], table["split"][:3])
    counts = found.loc[found["client"] == "1", "split"].value_counts()
    assert counts.to_dict() == {"train": 8, "validation": 2, "test": 1}
