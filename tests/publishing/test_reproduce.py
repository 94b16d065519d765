"""`REPRODUCE.md`: the commands, and what keeps them from being enough."""

from typing import Any

import pytest
import yaml

from benchmark.plan import Plan
from benchmark.publishing.gather import configuration
from benchmark.publishing.reproduce import text

COMMIT = "0123456789abcdef"


def written(
    commit: str = COMMIT, trained: str = COMMIT, reference: Any = (), uncommitted: Any = None, **changes: Any
) -> str:
    """The text for a small configuration with these changes."""
    values = {"name": "small", "federations": {"toy_lesions": {}}, "methods": ["fedit"], "rates": ["1e-3"], "rounds": 1}
    runs = {
        "commits": {trained: 2},
        "devices": {"A GPU": 2},
        "origins": {"trained": 2},
        "versions": {"torch": {"2": 2}},
    }
    manifest = {
        **{"title": "Toy", "licence": {"title": "CC0"}, "homepage": "https://example.org", "protocol": "by_patient"},
        "source": {"fingerprint": "f1", "samples": 9},
    }
    about = {
        **{"commit": commit, "runs": runs, "reference": list(reference), "uncommitted": uncommitted or {}},
        "federations": {"toy_lesions": {"dataset": "toy_lesions", "protocol": "by_patient", "fingerprint": "f1"}},
        "backbone": {
            "name": "vit",
            "origin": {"weights": "file", "source": "x", "source_sha256": "5e"},
            "sha256": "a0",
        },
    }
    return text(Plan.of({**values, **changes}), about, {"toy_lesions": manifest})


def test_commands_versions_and_data_are_there() -> None:
    said = written()
    assert f"git checkout {COMMIT}\ncp -R PUBLICATION/project/. .\n" in said
    assert "--configfile PUBLICATION/config.yaml\n" in said
    assert "| torch | 2 |" in said
    assert "| toy_lesions | Toy; CC0; https://example.org; split `by_patient`; index `f1` |" in said
    assert "| Backbone | vit; x; SHA-256 `a0` |" in said
    assert "Warning" not in said


@pytest.mark.parametrize("where", ["commit", "trained"])
def test_uncommitted_changes_are_said_loudly(where: str) -> None:
    """Whether the results or the publication were made with them; the command names the commit alone."""
    said = written(**{where: f"{COMMIT}+changes"})
    assert f"> **Warning: uncommitted changes at `{COMMIT}+changes`.** Files that were not as the commit has" in said
    assert f"git checkout {COMMIT}\n" in said


def test_every_file_that_is_not_the_commits_is_named() -> None:
    """New files too, of which git says nothing in a commit's name; what was deleted is deleted."""
    said = written(
        uncommitted={"methods/mine.py": "new", "benchmark/device.py": "changed", "benchmark/x.py": "deleted"}
    )
    assert (
        "**Warning: uncommitted changes.** Files that were not as the commit has them: `methods/mine.py` (new), "
        in said
    )
    assert "`benchmark/device.py` (changed)" in said
    assert "cp -R PUBLICATION/project/. .\nrm -f benchmark/x.py\n" in said


def test_without_a_commit_the_publication_holds_the_code() -> None:
    said = written(commit="unknown")
    assert "The code ran outside a repository: `project/` holds all of it." in said
    assert "# in an empty folder\ncp -R PUBLICATION/project/. .\n" in said


def test_what_the_user_must_give_is_named() -> None:
    copy = {"toy_lesions": {"source": "/home/me/clinics"}}
    given = {"licences_accepted": ["isic2019"], "local_files": "/home/me", "federations": copy}
    said = written(backbone={"weights": "w/mine.safetensors"}, **given)
    assert "--config local_files=FOLDER_OF_YOUR_FILES licences_accepted='[isic2019]'" in said
    assert "/home/me" not in said
    assert "* `clinics`: images of toy_lesions; index `f1`\n* `w/mine.safetensors`: weights; SHA-256 `5e`\n" in said


def test_folders_of_one_name_are_two() -> None:
    """In the configuration that is published: neither dataset is read as the other."""
    own = {"toy_lesions": {"source": "/a/images"}, "toy_slides": {"source": "/b/images"}}
    values = {"name": "small", "federations": own, "methods": ["fedit"], "rates": ["1e-3"], "rounds": 1}
    manifests = {name: {"protocol": "by_patient"} for name in own}
    published = yaml.safe_load(configuration(Plan.of(values), manifests, {}))["federations"]
    assert {name: federation["source"] for name, federation in published.items()} == {
        "toy_lesions": "images",
        "toy_slides": "images-2",
    }


def test_the_commit_of_weights_from_the_hub_is_published() -> None:
    """Whether it was asked for or was the newest: the published configuration asks for it."""
    values = {"name": "small", "federations": {"toy_lesions": {}}, "rates": ["1e-3"], "rounds": 1}
    manifests, came = {"toy_lesions": {"protocol": "by_patient"}}, {"weights": "hub", "revision": "ab" * 20}
    published = yaml.safe_load(configuration(Plan.of({**values, "backbone": {"weights": "hub"}}), manifests, came))
    assert Plan.of(published).config.backbone.revision == "ab" * 20
    drawn = yaml.safe_load(configuration(Plan.of({**values, "backbone": {"weights": "drawn"}}), manifests, {}))
    assert Plan.of(drawn).config.backbone.revision == ""


def test_rows_from_the_reference_are_listed() -> None:
    row = {"method": "fedit", "federation": "toy_lesions", "commit": COMMIT, "device": "Far GPU"}
    assert f"* fedit on toy_lesions: commit `{COMMIT}`, Far GPU" in written(reference=[row])
    assert "Reference rows" not in written()
