"""`REPRODUCE.md`: the commands, and what keeps them from being enough."""

from typing import Any

import pytest

from benchmark.plan import Plan
from benchmark.publishing.reproduce import text

COMMIT = "0123456789abcdef"


def written(commit: str = COMMIT, trained: str = COMMIT, reference: Any = (), **changes: Any) -> str:
    """The text for a small configuration with these changes."""
    values = {"name": "small", "federations": {"toy_lesions": {}}, "methods": ["fedit"], "rates": ["1e-3"], "rounds": 1}
    runs = {
        "commits": {trained: 2},
        "devices": {"A GPU": 2},
        "origins": {"trained": 2},
        "versions": {"torch": {"2": 2}},
    }
    manifest = {"title": "Toy", "licence": {"title": "CC0"}, "homepage": "https://example.org"}
    about = {"commit": commit, "runs": runs, "reference": list(reference)}
    return text(Plan.of({**values, **changes}), about, {"toy_lesions": manifest})


def test_commands_versions_and_data_are_there() -> None:
    said = written()
    assert f"git checkout {COMMIT}\ncp -R PUBLICATION/methods/. methods/\n" in said
    assert "--configfile PUBLICATION/config.yaml\n" in said
    assert "| torch | 2 |" in said
    assert "| toy_lesions | Toy; CC0; https://example.org |" in said
    assert "Warning" not in said


@pytest.mark.parametrize("where", ["commit", "trained"])
def test_uncommitted_changes_are_said_loudly(where: str) -> None:
    """Whether the results or the publication were made with them; the command names the commit alone."""
    said = written(**{where: f"{COMMIT}+changes"})
    assert f"> **Warning: uncommitted changes.** `{COMMIT}+changes`" in said
    assert f"git checkout {COMMIT}\n" in said


def test_what_the_user_must_give_is_named() -> None:
    said = written(backbone={"weights": "mine.safetensors"}, licences_accepted=["isic2019"], local_files="/home/me")
    assert "--config local_files=FOLDER_OF_YOUR_FILES licences_accepted='[isic2019]'" in said
    assert "/home/me" not in said


def test_rows_from_the_reference_are_listed() -> None:
    row = {"method": "fedit", "federation": "toy_lesions", "commit": COMMIT, "device": "Far GPU"}
    assert f"* fedit on toy_lesions: commit `{COMMIT}`, Far GPU" in written(reference=[row])
    assert "Reference rows" not in written()
