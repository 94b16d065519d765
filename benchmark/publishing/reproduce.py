"""`REPRODUCE.md`: the commands and versions that a publication's numbers were made with."""

import shlex
from collections.abc import Mapping
from typing import Any

from benchmark.plan import Plan
from benchmark.publishing import own


def text(plan: Plan, provenance: Mapping[str, Any], manifests: Mapping[str, Mapping[str, Any]]) -> str:
    """The file's text, in Markdown."""
    commit, runs = provenance["commit"], provenance["runs"]
    parts = [
        f"# {plan.config.title or plan.config.name}",
        "How to get these numbers again. `PUBLICATION` is the folder of this file.",
        *_warnings(commit, list(runs["commits"]), provenance["uncommitted"]),
        "## Commands",
        _commands(plan, commit, provenance["uncommitted"]),
        "The same hardware and versions give the same numbers; others give numbers that differ by rounding, and by what"
        " rounding does to training.",
        "## Versions and hardware",
        _table(
            {
                "Published at commit": commit,
                "Trained at commit": _counted(runs["commits"]),
                "Hardware": _counted(runs["devices"]),
                "Origin of the runs": _counted(runs["origins"]),
                **{name: _counted(values) for name, values in runs["versions"].items()},
            }
        ),
        "All packages with their versions are in `requirements.lock`.",
        *_reference(provenance["reference"]),
        "## Data",
        _table(
            {
                **{name: _source(manifest) for name, manifest in manifests.items()},
                "Backbone": _backbone(provenance["backbone"]),
            }
        ),
        *_files(plan, provenance),
        "## Checking this publication",
        "```bash\nsha256sum -c SHA256SUMS                  # in this folder: no file has changed\n"
        "python -m benchmark verify PUBLICATION   # in the project: and the leaderboard follows from the clients\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _warnings(commit: str, trained: list[str], uncommitted: Mapping[str, str] | None) -> list[str]:
    """What a clone alone does not have, as loudly as Markdown can."""
    changed = sorted({name for name in (commit, *trained) if name.endswith("+changes")})
    found = []
    if changed or uncommitted:
        listed = ", ".join(f"`{path}` ({word})" for path, word in (uncommitted or {}).items()) or "none is left now"
        at = f" at {', '.join(f'`{name}`' for name in changed)}" if changed else ""
        found.append(
            f"> **Warning: uncommitted changes{at}.** Files that were not as the commit has them: {listed}. `project/`"
            " holds them as they were when this was published, and the commands below copy them over the clone."
        )
    if "unknown" in (commit, *trained):
        held = "`project/` holds all of it" if commit == "unknown" else "the code was not compared with a commit's"
        found.append(f"> **Warning: unknown commit.** The code ran outside a repository: {held}.")
    return found


def _commands(plan: Plan, commit: str, uncommitted: Mapping[str, str] | None) -> str:
    config = plan.config
    settings = []
    if _local(plan):
        settings.append("local_files=FOLDER_OF_YOUR_FILES")
    if config.licences_accepted:
        settings.append(f"licences_accepted='[{', '.join(config.licences_accepted)}]'")
    given = f" --config {' '.join(settings)}" if settings else ""
    return "\n".join(
        [
            "```bash",
            *(
                ["# in an empty folder"]
                if commit == "unknown"
                else ["# in a clone of the project", f"git checkout {commit.removesuffix('+changes')}"]
            ),
            "cp -R PUBLICATION/project/. .",
            *(f"rm -f {shlex.quote(path)}" for path, word in (uncommitted or {}).items() if word == "deleted"),
            "python3 -m venv .venv && . .venv/bin/activate",
            "pip install -r PUBLICATION/requirements.lock",
            f"snakemake --cores 8 all --configfile PUBLICATION/config.yaml{given}",
            "```",
        ]
    )


def _local(plan: Plan) -> dict[str, str]:
    """What whoever reproduces it must give: names of the user's files below `local_files`, and what they are."""
    config, places = plan.config, own.given(plan.config)
    found = {places[f.source]: f"images of {name}" for name, f in config.federations.items() if f.source}
    if config.backbone.weights in places:
        found[places[config.backbone.weights]] = "weights"
    return found


def _files(plan: Plan, provenance: Mapping[str, Any]) -> list[str]:
    """The user's own files, with what tells them from others."""
    hashes = {f"images of {name}": f"index `{held['fingerprint']}`" for name, held in provenance["federations"].items()}
    hashes["weights"] = f"SHA-256 `{provenance['backbone']['origin'].get('source_sha256')}`"
    listed = [f"* `{name}`: {what}; {hashes[what]}" for name, what in _local(plan).items()]
    return ["`FOLDER_OF_YOUR_FILES` holds what this publication cannot:", "\n".join(listed)] if listed else []


def _backbone(about: Mapping[str, Any]) -> str:
    origin = about["origin"]
    revision = f" at revision {origin['revision']}" if origin.get("revision") else ""
    return f"{about['name']}; {origin.get('source') or origin['weights']}{revision}; SHA-256 `{about['sha256']}`"


def _reference(rows: list[Mapping[str, str]]) -> list[str]:
    """Rows that were not trained for this publication."""
    if not rows:
        return []
    said = (
        "Taken from the reference and not trained again; the commands do the same while `results/reference/` has them:"
    )
    listed = [f"* {row['method']} on {row['federation']}: commit `{row['commit']}`, {row['device']}" for row in rows]
    return ["## Reference rows", said, "\n".join(listed)]


def _counted(values: Mapping[str, int]) -> str:
    return ", ".join(name if len(values) == 1 else f"{name} ({n} runs)" for name, n in sorted(values.items()))


def _source(manifest: Mapping[str, Any]) -> str:
    licence = manifest.get("licence") or {}
    licensed = licence.get("title") or licence.get("name") or "licence not stated"
    split = f"split `{manifest['protocol']}`; index `{manifest['source']['fingerprint']}`"
    return f"{manifest['title']}; {licensed}; {manifest.get('homepage') or 'no address'}; {split}"


def _table(rows: Mapping[str, str]) -> str:
    lines = [f"| {name} | {value} |".replace("\n", " ") for name, value in rows.items()]
    return "\n".join(["| | |", "| :--- | :--- |", *lines])
