"""Camelyon17's reader, which is WILDS' own, on two real patches and on drawn ones."""

import shutil
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

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
