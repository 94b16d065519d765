"""Which rows are taken from the reference: decided from files alone, federation by federation."""

import re
from pathlib import Path
from typing import Any

import pytest

from benchmark import archive
from benchmark.baselines.match import FORMAT, fault, other
from benchmark.files import json_bytes, write_json
from benchmark.plan import Plan

CONFIGURATION: dict[str, Any] = {
    "name": "small",
    "federations": {"toy_lesions": {}, "toy_slides": {}},
    "methods": ["fedit", "local"],
    "rates": ["1e-3", "1e-2"],
    "rounds": 2,
    "baselines": "reference",
}


def plan(**changes: Any) -> Plan:
    """A plan with rows from the reference where they fit."""
    return Plan.of({**CONFIGURATION, **changes})


def keep(federation: str, method: str, **changes: Any) -> None:
    """Keep a row of empty files, decided as the configuration with these changes decides it."""
    made = plan(**changes)
    files = [path.format(federation=federation, method=method) for path in made.row_files]
    about = {"format": FORMAT, "decides": made.baselines.hashes(federation, method), "images": {}, "backbone": ""}
    content = {file.removeprefix(f"{made.results}/"): b"" for file in files}
    path = Path(made.kept.format(federation=federation, method=method))
    archive.write(path, {**content, "about.json": json_bytes(about)})


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_split_is_each_federations_own() -> None:
    """What matches in paths is one of the two, for every row and every file."""
    keep("toy_lesions", "fedit")
    keep("toy_slides", "local")
    made = plan()
    assert made.baselines.taken == [("toy_lesions", "fedit"), ("toy_slides", "local")]
    for row in made.rows:
        for pattern in made.row_files:
            path = pattern.format(federation=row[0], method=row[1])
            folder = re.escape(pattern.partition("{")[0])
            taken, trained = (re.match(f"{folder}(?:{w})/", path) for w in (made.where_referenced, made.where_trained))
            assert (bool(taken), bool(trained)) == (row in made.baselines.taken, row not in made.baselines.taken)
    assert made.every_trained("{federation}/{method}") == ["toy_lesions/local", "toy_slides/fedit"]
    assert made.appendix == [
        "results/small/appendix/toy_lesions/local.csv",
        "results/small/appendix/toy_slides/fedit.csv",
    ]


def test_without_the_setting_nothing_is_taken_and_nothing_said() -> None:
    keep("toy_lesions", "fedit")
    made = plan(baselines="train")
    assert (made.baselines.taken, made.baselines.announcement, made.where_referenced) == ([], [], "(?!)")


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"rounds": 3}, "protocol"),
        ({"rates": ["1e-3"]}, "protocol"),
        ({"selection": {"last_rounds": 2}}, "protocol"),
        ({"backbone": {"weights": "drawn"}}, "protocol"),
        ({"federations": {"toy_lesions": {"image_size": 64}, "toy_slides": {}}}, "protocol"),
        ({"federations": {"toy_lesions": {"options": {"scale": 0.5}}, "toy_slides": {}}}, "protocol"),
        ({"method_settings": {"fedopal_w": {"strength": 0.5}}, "methods": ["fedopal_w"]}, "method"),
    ],
)
def test_a_setting_that_decides_a_row_is_noticed(changes: dict[str, Any], what: str) -> None:
    """By its name, with both hashes."""
    method = changes.get("methods", ["fedit"])[0]
    keep("toy_lesions", method, methods=[method])
    made = plan(**changes)
    assert ("toy_lesions", method) not in made.baselines.taken
    (said,) = (
        line for line in made.baselines.announcement if f" {method} on toy_lesions is trained: the {what} " in line
    )
    path = f"results/reference/small/rows/toy_lesions/{method}.zip"
    assert re.search(rf"has changed since {path} \([0-9a-f]{{6}} != [0-9a-f]{{6}}\)$", said)


def test_what_decides_nothing_is_no_matter() -> None:
    """Where files lie, how jobs run."""
    keep("toy_lesions", "fedit")
    own = plan(device="cpu", lanes=1, local_files="/elsewhere", licences_accepted=["isic2019"], appendix=False)
    assert own.baselines.taken == [("toy_lesions", "fedit")]


def test_an_archive_that_is_no_row_is_named() -> None:
    path = Path("results/reference/small/rows/toy_lesions/fedit.zip")
    keep("toy_lesions", "fedit")
    hashes = plan().baselines.hashes("toy_lesions", "fedit")
    assert fault(path, hashes, ["about.json", "overlap.csv"]) == f"{path} lacks overlap.csv"
    archive.write(path, {"about.json": json_bytes({"format": 0})})
    assert "made by another version" in fault(path, hashes, [])
    path.write_bytes(b"")
    assert "damaged" in fault(path, hashes, [])
    assert fault(Path("absent.zip"), hashes, []) == "there is no absent.zip"


def test_what_a_row_was_made_from_is_compared_as_soon_as_it_is_here() -> None:
    """Which job makes the row does not change with it: that job takes the row or trains it."""
    keep("toy_lesions", "fedit")
    taken = "baselines=reference: fedit on toy_lesions is taken from the reference"
    assert plan().baselines.announcement[0] == taken
    made = plan()
    write_json(Path(made.backbone) / "backbone.json", {"sha256": ""})
    pack = Path("results/packs") / made.pack("toy_lesions") / "manifest.json"
    write_json(pack, {"hashes": {}})
    assert plan().baselines.announcement[0] == taken
    write_json(pack, {"hashes": {"test.npy": "a" * 64}})
    assert plan().baselines.announcement[0] == (
        "baselines=reference: fedit on toy_lesions is trained: results/reference/small/rows/toy_lesions/fedit.zip was "
        "made from other images: test.npy was absent, and is aaaaaa here"
    )
    assert plan().baselines.taken == [("toy_lesions", "fedit")]


def test_images_and_weights_are_compared_when_a_row_is_taken() -> None:
    kept = {"images": {"train.npy": "a" * 64, "test.npy": "b" * 64}, "backbone": "c" * 64}
    assert other(kept, kept["images"], "c" * 64) == ""
    assert other(kept, {**kept["images"], "test.npy": "d" * 64}, "c" * 64) == (
        "other images: test.npy was bbbbbb, and is dddddd here"
    )
    assert other(kept, kept["images"], "e" * 64) == "other weights: the backbone was cccccc, and is eeeeee here"
