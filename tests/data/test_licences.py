"""Licences are asked for before anything is fetched."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.data.licences import main


def job(tmp_path: Path, datasets: dict[str, dict[str, object]], accepted: list[str]) -> list[str]:
    federations = {
        str(tmp_path / "data" / name): {"dataset": name, "settings": settings} for name, settings in datasets.items()
    }
    command = ["--federations", json.dumps(federations), "--accepted", *accepted]
    return [*command, "--output", str(tmp_path / "licences.json")]


def test_every_licence_that_is_lacking_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(job(tmp_path, {"camelyon17": {}, "fed_isic2019": {}, "toy_slides": {}}, [])) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: fed_isic2019: read the licence at https://challenge.isic-archive.com/data/")
    assert "add 'isic2019' to `licences_accepted`" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "licences.json").exists()


def test_accepted_licences(tmp_path: Path) -> None:
    assert main(job(tmp_path, {"camelyon17": {}, "fed_isic2019": {}}, ["isic2019"])) == 0
    licences = json.loads((tmp_path / "licences.json").read_text())
    assert {Path(folder).name: name for folder, name in licences.items()} == {
        "camelyon17": "cc0",
        "fed_isic2019": "isic2019",
    }


def test_copy_of_the_users_own_needs_no_consent(flamby_folder: Callable[..., Path], tmp_path: Path) -> None:
    root = flamby_folder([(client, 0, "train", None) for client in range(6)])
    assert main(job(tmp_path, {"fed_isic2019": {"source": str(root)}}, [])) == 0
