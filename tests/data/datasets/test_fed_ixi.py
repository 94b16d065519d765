"""Fed-IXI: hospitals from folders' names, FLamby's table, and the archive as Mendeley packs it."""

import hashlib
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmark.data import flamby
from benchmark.data.dataset import DataError, Request, checked_index, find
from benchmark.data.datasets import fed_ixi
from tests.data.scanned import ixi, volume
from tests.data.server import Server, serve

DATASET = find("fed_ixi")


@pytest.fixture(autouse=True)
def without_flamby(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table comes from the folder, whether FLamby is installed or not."""
    monkeypatch.setattr(flamby, "installed", lambda _: None)


def test_hospital_and_split_are_flambys(tmp_path: Path) -> None:
    root = DATASET.prepare(Request(tmp_path / "data", ixi(tmp_path / "own")))
    table = checked_index(DATASET, root, "published", 0)
    cases = table.drop_duplicates("case").set_index("case")
    assert cases.groupby(["client", "split"]).size().to_dict() == {
        (client, split): count for client in "012" for split, count in (("train", 3), ("test", 1))
    }
    assert cases.loc["IXI105-HH-0803", ["client", "split"]].tolist() == ["1", "test"]
    first = table[table["sample"] == "IXI002-Guys-0800/000"].iloc[0]
    labels = volume(2)[1].clip(max=1)[:, ::-1, 0].T
    np.testing.assert_array_equal(np.asarray(Image.open(root / first["target"])), labels)


def test_folder_and_table_must_agree(tmp_path: Path) -> None:
    own = ixi(tmp_path / "own")
    folder = own / "IXI_sample/IXI002-Guys-0800"
    for name in ("IXI002-HH-0800", "IXI777-Guys-0800", "IXIabc-Guys-0800"):
        folder.rename(folder.with_name(name))
        with pytest.raises(DataError, match=f"holds {name}, which FLamby's metadata_tiny.csv lacks or has of another"):
            DATASET.prepare(Request(tmp_path / "data", own))
        folder.with_name(name).rename(folder)
    for file in (folder / "T1").iterdir():
        file.unlink()
    with pytest.raises(DataError, match=r"1 volumes of client 0 are missing in .*: IXI002-Guys; complete the copy"):
        DATASET.prepare(Request(tmp_path / "data", own))
    table = own / "metadata_tiny.csv"
    table.write_text(table.read_text().replace("\n3,", "\n2,"))
    with pytest.raises(DataError, match="Patient ID must be a number, each once"):
        DATASET.prepare(Request(tmp_path / "data", own))


def test_the_archive_is_fetched_unpacked_and_counted(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mendeley's own address fails; the mirror's archive lacks a patient first, and is whole then."""
    own = ixi(tmp_path / "own")
    table = (own / "metadata_tiny.csv").read_bytes()
    server.answers[f"/{fed_ixi.PACKAGED}"] = serve(table)
    monkeypatch.setattr(fed_ixi, "ADDRESS", server.address("/moved.zip"))
    monkeypatch.setattr("benchmark.data.flamby.ADDRESS", server.address(""))
    monkeypatch.setattr(fed_ixi, "METADATA_HASH", hashlib.sha256(table).hexdigest())
    monkeypatch.setattr("benchmark.data.download.time.sleep", lambda _: None)

    def archive(leave: str) -> bytes:
        with zipfile.ZipFile(tmp_path / "archive.zip", "w") as zipped:
            for file in sorted(own.rglob("*.nii.gz")):
                if leave not in str(file):
                    zipped.write(file, f"IXI Sample Dataset/7kd5wj7v7p-1/{file.relative_to(own)}")
        return (tmp_path / "archive.zip").read_bytes()

    with pytest.raises(DataError, match="read the licence at https://brain-development"):
        DATASET.prepare(Request(tmp_path / "data"))
    request = Request(tmp_path / "data", licences_accepted=("ixi",), mirrors=(server.address("/ixi.zip"),))
    with pytest.raises(DataError, match=r"moved\.zip: the server answers 404 .*; or name another|moved\.zip.*mirrors"):
        DATASET.prepare(request)
    server.answers["/ixi.zip"] = serve(archive("IXI103-HH"))
    with pytest.raises(DataError, match=r"1 volumes of client 1 are missing in .*: IXI103-HH"):
        DATASET.prepare(request)
    assert DATASET.fetches(request), "an archive that lacks patients is not taken for the data"
    (tmp_path / "data/IXI_sample.zip").unlink()
    server.answers["/ixi.zip"] = serve(archive("nothing"))
    root = DATASET.prepare(request)
    assert not DATASET.fetches(request)
    ours, theirs = (
        checked_index(DATASET, place, "published", 0) for place in (root, DATASET.prepare(Request(tmp_path / "b", own)))
    )
    pd.testing.assert_frame_equal(ours, theirs)
