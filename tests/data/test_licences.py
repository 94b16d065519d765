"""Licences are asked for before anything is fetched."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark.data.licences import check
from benchmark.job import run
from benchmark.plan import Plan


def job(tmp_path: Path, federations: dict[str, Any], accepted: list[str]) -> list[str]:
    values = {"name": "mine", "federations": federations, "rates": ["1e-3"], "rounds": 1}
    plan = Plan.of({**values, "data_root": str(tmp_path / "data"), "licences_accepted": accepted})
    return ["--folders", plan.wanted, "--access", plan.accepted]


def test_every_licence_that_is_lacking_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(check, job(tmp_path, {"camelyon17": {}, "fed_isic2019": {}, "toy_slides": {}}, [])) == 1
    said = capsys.readouterr().err
    assert said.startswith("licences: fed_isic2019: read the licence at https://challenge.isic-archive.com/data/")
    assert "add 'isic2019' to `licences_accepted`" in said
    assert said.count("\n") == 1


def test_accepted_licences(tmp_path: Path) -> None:
    assert run(check, job(tmp_path, {"camelyon17": {}, "fed_isic2019": {}}, ["isic2019"])) == 0


def test_copy_of_the_users_own_needs_no_consent(flamby_folder: Callable[..., Path], tmp_path: Path) -> None:
    root = flamby_folder([(client, 0, "train", None) for client in range(6)])
    assert run(check, job(tmp_path, {"fed_isic2019": {"source": str(root)}}, [])) == 0


def test_source_that_does_not_exist_is_found_as_early(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(check, job(tmp_path, {"fed_isic2019": {"source": "/nowhere"}}, [])) == 1
    assert "`source` is /nowhere, but there is no such folder" in capsys.readouterr().err
