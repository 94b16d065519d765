"""The job that prepares a dataset: its file, and its errors of one line."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.data.dataset import checked_index, find, fingerprint
from benchmark.data.prepare import prepare
from benchmark.job import run


def arguments(tmp_path: Path, settings: str, dataset: str = "toy_lesions") -> list[str]:
    command = ["--dataset", dataset, "--settings", settings]
    return [*command, "--folder", str(tmp_path / "data"), "--output", str(tmp_path / "out" / "source.json")]


def test_writes_what_lies_where(
    tmp_path: Path, settings: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"scale": 0.001, "side": 32}
    job = arguments(tmp_path, settings(dataset="toy_lesions", options=options))
    assert run(prepare, job) == 0
    written = json.loads((tmp_path / "out" / "source.json").read_text())
    table = checked_index(find("toy_lesions"), Path(written["root"]), "flamby", 0)
    assert set(written) == {"dataset", "root", "samples", "clients", "fingerprint", "licence"}
    assert written["dataset"] == "toy_lesions"
    assert written["samples"] == len(table)
    assert written["clients"] == list("012345")
    assert written["fingerprint"] == fingerprint(table)
    # A second run finds the drawing, and says the same.
    before = (tmp_path / "out" / "source.json").read_bytes()
    assert run(prepare, job) == 0
    assert (tmp_path / "out" / "source.json").read_bytes() == before


def test_missing_clients_are_reported(
    tmp_path: Path,
    settings: Callable[..., str],
    flamby_folder: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [(client, 0, "train", None) for client in (0, 1, 1, 5)]
    root = flamby_folder(rows)
    for name in ("ISIC_0000001", "ISIC_0000002"):
        (root / "ISIC_2019_Training_Input_preprocessed" / f"{name}.jpg").unlink()
    assert (
        run(prepare, arguments(tmp_path, settings(source=str(root), options={"short_side": 24}), "fed_isic2019")) == 0
    )
    assert json.loads((tmp_path / "out" / "source.json").read_text())["clients"] == ["0", "5"]
    assert "goes without clients 1 (vidir_molemax), 2 (vidir_modern)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("federation", "given", "message"),
    [
        ("toy_lesion", {}, "no dataset 'toy_lesion'; there are: camelyon17"),
        ("toy_lesions", {"protocol": "fancy"}, "no protocol 'fancy'; there are: flamby, lesion_disjoint"),
        ("toy_lesions", {"options": {"scail": 1}}, "no option 'scail'; there are: scale, evenness, styles, side, seed"),
        ("toy_lesions", {"options": {"scale": 2.0}}, "scale must lie in (0, 1]"),
        ("toy_lesions", {"clients": ["9"]}, "no client 9; there are: 0, 1, 2, 3, 4, 5"),
        ("toy_lesions", {"source": "/nowhere"}, "`source` is /nowhere, but there is no such folder"),
        ("fed_isic2019", {}, "https://challenge.isic-archive.com/data/#2019"),
        ("fed_isic2019", {}, "add 'isic2019' to `licences_accepted`"),
        ("fed_ham10000", {}, "set `federations.fed_ham10000.source`"),
    ],
)
def test_expected_errors_are_one_line(
    tmp_path: Path,
    settings: Callable[..., str],
    capsys: pytest.CaptureFixture[str],
    federation: str,
    given: dict[str, object],
    message: str,
) -> None:
    assert run(prepare, arguments(tmp_path, settings(**given), federation)) == 1
    said = capsys.readouterr().err
    assert message in said
    assert said.startswith("prepare: ")
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Invalid JSON"),
        ("3", "Input should be an object"),
        ('{"image_size": 3}', "image_size: Input should be greater than or equal to 16"),
        ('{"imagesize": 48}', "imagesize: Extra inputs are not permitted"),
    ],
)
def test_settings_that_are_none(tmp_path: Path, text: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(prepare, arguments(tmp_path, text))
    assert ended.value.code == 2
    assert message in " ".join(capsys.readouterr().err.replace("\u2502", " ").split())
