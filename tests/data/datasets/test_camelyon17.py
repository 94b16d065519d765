"""Camelyon17's reader, which is WILDS' own, on two real patches and on drawn ones."""

import hashlib
import json
import shutil
import tarfile
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmark.data import camelyon17_hub
from benchmark.data.dataset import DataError, Request, checked_index
from benchmark.data.datasets.camelyon17 import ADDRESS, DATASET, FOLDER, METADATA, RELEASE, SIZE, VERSION
from benchmark.data.pack import with_validation
from benchmark.data.picture import decode
from tests.data.few_slides import FewSlides
from tests.data.server import Server, serve


def test_real_patches_in_wilds_layout(shared: Path, tmp_path: Path) -> None:
    patches = [("004", 4, 3328, 21792, 1, 0, "tumor.png"), ("020", 2, 64, 96, 0, 10, "non_tumor.png")]
    rows = []
    for patient, node, x, y, tumour, slide, file in patches:
        name = f"patient_{patient}_node_{node}"
        path = tmp_path / FOLDER / "patches" / name / f"patch_{name}_x_{x}_y_{y}.png"
        path.parent.mkdir(parents=True)
        shutil.copyfile(shared / "camelyon17_wilds_2patches" / file, path)
        rows.append((patient, node, x, y, tumour, slide, slide // 10, 0))
    columns = ["patient", "node", "x_coord", "y_coord", "tumor", "slide", "center", "split"]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / FOLDER / "metadata.csv")
    (tmp_path / FOLDER / "RELEASE_v1.0.txt").touch()

    table = checked_index(DATASET, tmp_path, "published", 0).set_index("client")
    assert table["label"].to_dict() == {"0": 1, "1": 0}
    assert table["group"].to_dict() == {"0": "004", "1": "020"}
    image = decode(tmp_path / table.loc["0", "path"], 96, "crop")
    assert image.shape == (96, 96, 3)
    assert image.std() > 10
    # Two patches are no Camelyon17, wherever they lie.
    for source in (tmp_path, tmp_path / FOLDER):
        with pytest.raises(DataError, match=r"lists 1 patches of hospital 0, 1 with tumour, expected 59436 and 29718"):
            DATASET.prepare(Request(tmp_path / "new", source))


def test_patients_stand_on_one_side(slides: Path) -> None:
    table = checked_index(DATASET, slides, "patient_disjoint", 0)
    assert (table.groupby("group")["split"].nunique() == 1).all()
    for _, rows in table.groupby("client"):
        cells = rows.groupby("split")["label"].nunique()
        assert cells.to_dict() == {"train": 2, "validation": 2, "test": 2}
    # The seed of the configuration decides nothing: the assignment is committed.
    other = checked_index(DATASET, slides, "patient_disjoint", 7)
    pd.testing.assert_frame_equal(table, other)


def test_packed_splits_are_the_committed_ones(slides: Path) -> None:
    table = checked_index(DATASET, slides, "patient_disjoint", 0)
    pd.testing.assert_frame_equal(with_validation(table, table["label"].to_numpy(), 0.15, 3), table)


def test_missing_patch_and_missing_hospital(slides: Path, tmp_path: Path) -> None:
    root = tmp_path / "copy"
    shutil.copytree(slides, root)
    table = DATASET.index(root, "patient_disjoint", 0)
    for path in table.loc[table["client"] == "3", "path"]:
        (root / path).unlink()
    assert sorted(set(DATASET.index(root, "patient_disjoint", 0)["client"])) == ["0", "1", "2", "4"]
    (root / table["path"][0]).unlink()
    with pytest.raises(DataError, match="1 of the 40 images of client 0 are missing"):
        DATASET.prepare(Request(tmp_path, root))


def test_folder_that_is_not_wilds(tmp_path: Path) -> None:
    source = tmp_path / "copy"
    source.mkdir()
    with pytest.raises(DataError, match=rf"holds no {FOLDER}/metadata\.csv"):
        DATASET.prepare(Request(tmp_path / "new", source))
    (source / FOLDER).mkdir()
    (source / METADATA).write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"holds no .*RELEASE_v1\.0\.txt, which WILDS writes"):
        DATASET.prepare(Request(tmp_path / "new", source))
    (source / RELEASE).touch()
    with pytest.raises(DataError, match="not WILDS' metadata"):
        DATASET.prepare(Request(tmp_path / "new", source))


def test_copy_of_the_users_own_wherever_it_lies(slides: Path, tmp_path: Path) -> None:
    """`source`, WILDS' folder itself, our folder, or the folder that all datasets share."""
    dataset = FewSlides()
    for source in (slides, slides / FOLDER):
        assert dataset.prepare(Request(tmp_path / "new", source)) == slides
    shutil.copytree(slides / FOLDER, tmp_path / "data" / FOLDER)
    assert dataset.prepare(Request(tmp_path / "data" / "camelyon17")) == tmp_path / "data"
    assert dataset.prepare(Request(tmp_path / "data")) == tmp_path / "data"
    assert dataset.fetches(Request(tmp_path / "elsewhere" / "camelyon17"))


def changed(slides: Path, root: Path, **columns: object) -> Path:
    """A copy whose metadata says something else."""
    shutil.copytree(slides, root)
    metadata = pd.read_csv(root / METADATA, index_col=0, dtype={"patient": str})
    metadata.assign(**columns).to_csv(root / METADATA)
    return root


def test_totals_that_are_not_the_published_ones(slides: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="40 patches of hospital 0, 20 with tumour, expected 59436 and 29718"):
        DATASET.prepare(Request(tmp_path, slides))
    labels = pd.read_csv(slides / METADATA)["tumor"].to_numpy(copy=True)
    labels[np.flatnonzero(labels == 0)[0]] = 1
    root = changed(slides, tmp_path / "copy", tumor=labels)
    with pytest.raises(DataError, match="40 patches of hospital 0, 21 with tumour, expected 40 and 20"):
        FewSlides().prepare(Request(tmp_path, root))


def test_split_without_a_class_is_refused(slides: Path, tmp_path: Path) -> None:
    """Hospital 1 validates with one patient; here all of its patches are tumour, and the counts are right."""
    metadata = pd.read_csv(slides / METADATA, dtype={"patient": str})
    labels = metadata["tumor"].to_numpy(copy=True)
    mine, train = metadata["patient"] == "039", metadata["patient"].isin(["020", "021", "022", "024", "036"])
    flipped = int((labels[mine] == 0).sum())
    labels[mine] = 1
    labels[np.flatnonzero(train & (labels == 1))[:flipped]] = 0
    root = changed(slides, tmp_path / "copy", tumor=labels)
    assert labels[metadata["center"] == 1].sum() == 20
    with pytest.raises(DataError, match="hospital 1 has no normal patch for validation"):
        FewSlides().prepare(Request(tmp_path, root))


@pytest.fixture
def wilds_host(slides: Path, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """WILDS' host as it is known: it is down. A mirror has the archive."""
    with tarfile.open(tmp_path / "archive.tar.gz", "w:gz") as archive:
        for path in sorted((slides / FOLDER).iterdir()):
            archive.add(path, path.name)
    content = (tmp_path / "archive.tar.gz").read_bytes()
    server.answers["/mirror"] = serve(content, cuts=1)
    monkeypatch.setattr("benchmark.data.datasets.camelyon17.ADDRESS", "http://127.0.0.1:9/")
    monkeypatch.setattr("benchmark.data.datasets.camelyon17.SIZE", len(content))
    monkeypatch.setattr("benchmark.data.download.time.sleep", lambda _: None)
    return server


def test_mirror_takes_over(slides: Path, wilds_host: Server, tmp_path: Path) -> None:
    dataset, folder = FewSlides(), tmp_path / "data" / "camelyon17"
    wanted = Request(folder, mirrors=(wilds_host.address("/absent"), wilds_host.address("/mirror")))
    assert dataset.prepare(wanted) == folder
    assert [path for path, _ in wilds_host.asked] == ["/absent", "/mirror", "/mirror"]
    assert sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")) == [FOLDER]
    for path in (slides / FOLDER).rglob("*"):
        if path.is_file():
            assert (folder / path.relative_to(slides)).read_bytes() == path.read_bytes()
    # A second run needs no network.
    assert dataset.prepare(Request(folder)) == folder


def test_the_archive_is_the_one_that_wilds_knows() -> None:
    from wilds.datasets.camelyon17_dataset import Camelyon17Dataset

    assert Camelyon17Dataset._versions_dict[VERSION] == {"download_url": ADDRESS, "compressed_size": SIZE}


def test_failed_download_says_what_to_do(wilds_host: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"refused.*camelyon17\.mirrors.*camelyon17\.source") as error:
        DATASET.prepare(Request(tmp_path / "camelyon17"))
    assert "\n" not in str(error.value)


def test_patient_that_nobody_knows(slides: Path, tmp_path: Path) -> None:
    metadata = pd.read_csv(slides / METADATA, dtype={"patient": str})
    root = changed(slides, tmp_path / "copy", patient=metadata["patient"].replace("004", "005"))
    folder = root / FOLDER / "patches"
    (folder / "patient_004_node_4").rename(folder / "patient_005_node_4")
    for path in (folder / "patient_005_node_4").iterdir():
        path.rename(path.with_name(path.name.replace("patient_004", "patient_005")))
    with pytest.raises(DataError, match="Camelyon17-WILDS has no patient 005"):
        DATASET.index(root, "patient_disjoint", 0)


def test_rows_are_those_of_wilds_own_reader(slides: Path) -> None:
    from wilds.datasets.camelyon17_dataset import Camelyon17Dataset

    reader = Camelyon17Dataset(root_dir=str(slides))
    table = DATASET.index(slides, "patient_disjoint", 0)
    assert table["path"].tolist() == [f"{FOLDER}/{name}" for name in reader._input_array]
    np.testing.assert_array_equal(table["label"], reader.y_array.numpy())
    np.testing.assert_array_equal(table["client"].astype(int), reader.metadata_array[:, 0].numpy())
    metadata = pd.read_csv(slides / METADATA, dtype={"patient": str})
    np.testing.assert_array_equal(table["group"], metadata["patient"])
    row = len(table) // 2
    np.testing.assert_array_equal(np.asarray(reader[row][0]), decode(slides / table["path"][row], 96, "crop"))


# The copy on the hub, by the hub's own client, from a server on this machine.


def hub_copy(server: Server, slides: Path, changes: Mapping[str, Any] | None = None) -> None:
    """What the hub answers: two Parquet files of a row for each patch, as lists of files and as files."""
    metadata = pd.read_csv(slides / METADATA, index_col=0, dtype={"patient": str})
    parts = {"train-00000-of-00001": metadata["split"] == 0, "validation-00000-of-00001": metadata["split"] == 1}
    listed, base = [], f"/datasets/{camelyon17_hub.REPOSITORY}/resolve/{camelyon17_hub.REVISION}/data"
    for name, chosen in parts.items():
        rows = metadata[chosen]
        images = [{"bytes": patch(slides, row).read_bytes(), "path": None} for row in rows.to_dict("records")]
        own = {"image": images, "patient": rows["patient"].astype(int)}
        own |= {column: [value] * len(rows) for column, value in (changes or {}).items()}
        table = rows.drop(columns="split").assign(**own)
        table.rename(columns={"tumor": "label"}).to_parquet(slides.parent / f"{name}.parquet", row_group_size=16)
        content = (slides.parent / f"{name}.parquet").read_bytes()
        server.answers[f"{base}/{name}.parquet"] = serve(content, cuts=1)
        pointer = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
        listed.append(
            {"type": "file", "oid": "0" * 40, "size": len(content), "path": f"data/{name}.parquet", "lfs": pointer}
        )
    tree = f"/api/datasets/{camelyon17_hub.REPOSITORY}/tree/{camelyon17_hub.REVISION}/data?recursive=true&expand=false"
    server.answers[tree] = serve(json.dumps(listed).encode(), kind="application/json")


def patch(root: Path, row: Mapping[Hashable, Any]) -> Path:
    """Where WILDS has a patch."""
    slide = f"patient_{row['patient']}_node_{row['node']}"
    return root / FOLDER / "patches" / slide / f"patch_{slide}_x_{row['x_coord']}_y_{row['y_coord']}.png"


@pytest.fixture
def wilds_is_down(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setattr("benchmark.data.datasets.camelyon17.ADDRESS", "http://127.0.0.1:9/")
    monkeypatch.setattr("benchmark.data.hub.ENDPOINT", server.address(""))
    monkeypatch.setattr("benchmark.data.download.time.sleep", lambda _: None)
    return server


@pytest.fixture
def own_slides(slides: Path, tmp_path: Path) -> Path:
    """A copy of the drawn slides in which two patches are real ones, where there are any; some validate, by WILDS."""
    root = tmp_path / "slides"
    shutil.copytree(slides, root)
    metadata = pd.read_csv(root / METADATA, index_col=0, dtype={"patient": str})
    metadata["split"] = [int(number % 3 == 0) for number in range(len(metadata))]
    metadata.to_csv(root / METADATA)
    return root


def test_the_copy_on_the_hub_takes_over_where_wilds_is_down(
    own_slides: Path, wilds_is_down: Server, tmp_path: Path, shared: Path
) -> None:
    """Files and metadata are those of WILDS' folder, to the byte, real patches among them; nothing else is left."""
    metadata = pd.read_csv(own_slides / METADATA, index_col=0, dtype={"patient": str})
    for label, name in enumerate(("non_tumor.png", "tumor.png")):
        row = metadata[metadata["tumor"] == label].iloc[0]
        shutil.copyfile(shared / "camelyon17_wilds_2patches" / name, patch(own_slides, row.to_dict()))
    hub_copy(wilds_is_down, own_slides)
    dataset, folder = FewSlides(), tmp_path / "data" / "camelyon17"
    assert dataset.prepare(Request(folder)) == folder
    assert sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")) == [FOLDER]
    files = {path.relative_to(own_slides) for path in (own_slides / FOLDER).rglob("*.png")}
    assert {path.relative_to(folder) for path in (folder / FOLDER).rglob("*.png")} == files
    for path in files:
        assert (folder / path).read_bytes() == (own_slides / path).read_bytes()
    keys = ["patient", "node", "x_coord", "y_coord"]
    found = pd.read_csv(folder / METADATA, index_col=0, dtype={"patient": str}).sort_values(keys, ignore_index=True)
    pd.testing.assert_frame_equal(found[list(metadata)], metadata.sort_values(keys, ignore_index=True))
    index = [checked_index(dataset, root, "published", 0) for root in (folder, own_slides)]
    pd.testing.assert_frame_equal(*index)
    asked = len(wilds_is_down.asked)
    assert dataset.prepare(Request(folder)) == folder
    assert len(wilds_is_down.asked) == asked, "a second run needs no network"


def test_a_copy_that_is_interrupted_goes_on(own_slides: Path, wilds_is_down: Server, tmp_path: Path) -> None:
    """With the file that it had come to: the first one is not fetched again."""
    hub_copy(wilds_is_down, own_slides)
    second = next(path for path in wilds_is_down.answers if "validation" in path)
    answer = wilds_is_down.answers.pop(second)
    dataset, folder = FewSlides(), tmp_path / "camelyon17"
    with pytest.raises(DataError, match=r"refused.*the server answers 404.*camelyon17\.mirrors.*camelyon17\.source"):
        dataset.prepare(Request(folder))
    wilds_is_down.answers[second] = answer
    wilds_is_down.asked.clear()
    assert dataset.prepare(Request(folder)) == folder
    assert [path for path, _ in wilds_is_down.asked if "train" in path] == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"image": {"bytes": b"JFIF", "path": None}}, "is no PNG file"),
        ({"node": "left"}, "train-00000-of-00001.parquet is not as expected: invalid literal for int.*'left'"),
        ({"tumor": 1}, "40 patches of hospital 0, 40 with tumour, expected 40 and 20"),
        ({"x_coord": 7, "y_coord": 7}, "holds 204 patches, expected 204, each once"),
    ],
)
def test_a_copy_that_is_not_wilds_is_refused(
    own_slides: Path, wilds_is_down: Server, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    """In one line."""
    hub_copy(wilds_is_down, own_slides, changes)
    with pytest.raises(DataError, match=said) as error:
        FewSlides().prepare(Request(tmp_path / "camelyon17"))
    assert "\n" not in str(error.value)
