"""`REPRODUCE.md`: the commands and versions that a publication's numbers were made with."""

from collections.abc import Mapping
from typing import Any

from benchmark.plan import Plan


def text(plan: Plan, provenance: Mapping[str, Any], manifests: Mapping[str, Mapping[str, Any]]) -> str:
    """The file's text.

    Args:
        plan: The configuration's plan.
        provenance: The content of `provenance.json`.
        manifests: The datasets' manifests, by federation.

    Returns:
        Markdown.
    """
    commit, runs = provenance["commit"], provenance["runs"]
    parts = [
        f"# {plan.config.title or plan.config.name}",
        "How to get these numbers again. `PUBLICATION` is the folder of this file.",
        *_warnings(commit, list(runs["commits"])),
        "## Commands",
        _commands(plan, commit),
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
        _table({name: _source(manifest) for name, manifest in manifests.items()}),
        "## Checking this publication",
        "```bash\nsha256sum -c SHA256SUMS                  # in this folder: no file has changed\n"
        "python -m benchmark verify PUBLICATION   # in the project: and the leaderboard follows from the clients\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _warnings(commit: str, trained: list[str]) -> list[str]:
    """What keeps the commands from giving these numbers, as loudly as Markdown can."""
    changed = sorted({name for name in (commit, *trained) if name.endswith("+changes")})
    unknown = "unknown" in (commit, *trained)
    found = []
    if changed:
        found.append(
            f"> **Warning: uncommitted changes.** {', '.join(f'`{name}`' for name in changed)}: tracked files differed"
            " from the commit. The commands below do not include these changes. `methods/` holds the method files as"
            " they were; nothing holds the rest."
        )
    if unknown:
        found.append(
            "> **Warning: unknown commit.** The code ran outside a repository; `methods/` is all that is kept."
        )
    return found


def _commands(plan: Plan, commit: str) -> str:
    config = plan.config
    settings = []
    if config.backbone.weights not in ("hub", "drawn") or any(f.source for f in config.federations.values()):
        settings.append("local_files=FOLDER_OF_YOUR_FILES")
    if config.licences_accepted:
        settings.append(f"licences_accepted='[{', '.join(config.licences_accepted)}]'")
    given = f" --config {' '.join(settings)}" if settings else ""
    return "\n".join(
        [
            "```bash",
            "# in a clone of the project",
            f"git checkout {commit.removesuffix('+changes')}",
            "cp -R PUBLICATION/methods/. methods/",
            "python3 -m venv .venv && . .venv/bin/activate",
            "pip install -r PUBLICATION/requirements.lock",
            f"snakemake --cores 8 all --configfile PUBLICATION/config.yaml{given}",
            "```",
        ]
    )


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
    return f"{manifest['title']}; {licensed}; {manifest.get('homepage') or 'no address'}"


def _table(rows: Mapping[str, str]) -> str:
    lines = [f"| {name} | {value} |".replace("\n", " ") for name, value in rows.items()]
    return "\n".join(["| | |", "| :--- | :--- |", *lines])
