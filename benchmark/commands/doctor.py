"""What of a configuration's data and weights is on this machine."""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import pandas as pd

from benchmark.commands.configured import Command, Given
from benchmark.config import AccessSettings
from benchmark.data.dataset import DataError, Dataset, Request, checked_index, find, fingerprint, some
from benchmark.data.prepare import request
from benchmark.disk import readable, used
from benchmark.errors import one_line
from benchmark.files import read_json, sha256
from benchmark.plan import Plan
from benchmark.settings import BackboneSettings

_ORIGINS = {"hub": "its hub", "drawn": "the project itself"}
"""Where weights are from that are no file of the user's, by `backbone.weights`."""

State = Literal["present", "unverified", "partial", "missing"]


@dataclass(frozen=True)
class Finding:
    """One dataset or backbone.

    Attributes:
        name: The folder of a dataset's data, or the backbone's name.
        state: `present`: complete and verified. `unverified`: complete by its files' names, but no job has checked it.
            `partial`: some of it is there. `missing`: nothing is.
        images: How many images are there, `?` where that cannot be told, and how many there should be; or what they are
            yet to be made of; "" for a backbone.
        size: Bytes on disk.
        licence: Its short title, and whether it still has to be accepted.
        note: What is lacking, or where it lies.
        mend: The command that brings or verifies it; "" where there is nothing to do.
    """

    name: str
    state: State
    images: str
    size: int
    licence: str
    note: str
    mend: str


def doctor(given: Given) -> int:
    """What of a configuration's data and weights is on this machine, and what to do about the rest.

    Nothing is fetched or changed; the exit status is 1 where a run would have to bring something first.
    """
    plan = given.plan
    findings = [_dataset(plan, folder, federation, given) for folder, federation in plan.folders.items()]
    findings.append(_backbone(plan, given))
    print(_report(findings))
    return int(any(finding.state in ("missing", "partial") for finding in findings))


def _report(findings: Sequence[Finding]) -> str:
    """The findings as a table of text, each with its note and the command that mends it."""
    columns = ("name", "state", "images", "on disk", "licence")
    rows = [(f.name, f.state, f.images, readable(f.size) if f.size else "nothing", f.licence) for f in findings]
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(columns, widths, strict=True)).rstrip()]
    for finding, row in zip(findings, rows, strict=True):
        lines.append("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        lines += [f"    {finding.note}"] if finding.note else []
        lines += [f"    mend: {finding.mend}"] if finding.mend else []
    return "\n".join(lines)


def _dataset(plan: Plan, folder: str, federation: str, command: Command) -> Finding:
    settings, place = plan.located(federation), Path(plan.config.data_root) / folder
    dataset, clients = find(plan.dataset(federation)), settings.clients
    access = AccessSettings(licences_accepted=plan.config.licences_accepted)
    try:
        wanted = request(dataset, settings, access, place)
        root = dataset.locate(wanted)
    except DataError as error:
        return Finding(folder, "missing", "", 0, dataset.licence.title, str(error), "")
    licence, accept = _licence(dataset, wanted)
    mend = command.to(place / "source.json", *accept)
    expected = sum(c.images or 0 for c in dataset.clients if clients is None or c.id in clients)
    if root is None:
        remains = dataset.remains(wanted)
        return Finding(
            folder, "partial" if remains else "missing", _of(0, expected), used(place), licence, remains, mend
        )
    fewer = [said for client, said in dataset.incomplete(wanted).items() if clients is None or client in clients]
    lacking = partial(_lacking, dataset, clients, root, fewer)
    if raw := dataset.raw(wanted):
        note = lacking(raw.clients)
        said = "; ".join(filter(None, [note or str(root), raw.wait, dataset.remains(wanted)]))
        return Finding(folder, "partial" if note else "unverified", raw.files, used(root), licence, said, mend)
    try:
        table = checked_index(dataset, root, settings.protocol, settings.split_seed)
    except DataError as error:
        note = "; ".join(filter(None, [str(error), dataset.remains(wanted)]))
        return Finding(folder, "partial", _of("?", expected), used(root), licence, note, mend)
    held = table[table["client"].isin(clients)] if clients is not None else table
    size = sum(os.path.getsize(root / path) for path in held["path"])
    if note := lacking(held["client"]):
        state: State = "partial"
    else:
        state = "present" if _verified(place / "source.json", root, table) else "unverified"
        note = str(root)
    return Finding(folder, state, _of(len(held), expected), size, licence, note, "" if state == "present" else mend)


def _lacking(
    dataset: Dataset, clients: Sequence[str] | None, root: Path, fewer: Sequence[str], held: Iterable[str]
) -> str:
    """Which of the wanted clients have no image, where these have some, or not all patients; "" where none lacks."""
    there = set(held)
    absent = [c.id for c in dataset.clients if c.id not in there and c.id in (clients or [c.id])]
    lack = [f"no image of clients {some(absent, 99)}; a run goes without them"] if absent else []
    lack += [f"{', '.join(fewer)}; a run goes without the others"] if fewer else []
    return f"{root}: {'; '.join(lack)}" if lack else ""


def _backbone(plan: Plan, command: Command) -> Finding:
    weights, about = Path(plan.backbone) / "model.safetensors", Path(plan.backbone) / "backbone.json"
    name, mend, licence = plan.config.backbone.name, command.to(weights), _backbone_licence(plan)
    if not weights.is_file() or not about.is_file():
        if weights.is_file():
            return Finding(name, "partial", "", used(weights.parent), licence, f"{about} is not there", mend)
        given = str(json.loads(plan.fetching())["weights"])
        if given in _ORIGINS:
            return Finding(name, "missing", "", 0, licence, f"from {_ORIGINS[given]}", mend)
        if not Path(given).is_file():
            note = f"`backbone.weights` is {given}, but there is no such file; give its path, relative to `local_files`"
            return Finding(name, "missing", "", 0, licence, note, "")
        size, fault = Path(given).stat().st_size, _unusable(plan)
        if fault:
            return Finding(name, "partial", "", size, licence, fault, "")
        return Finding(name, "unverified", "", size, licence, given, mend)
    try:
        sound = read_json(about)["sha256"] == sha256(weights)
    except (ValueError, KeyError, TypeError):
        sound = False
    return Finding(
        name,
        "present" if sound else "partial",
        "",
        weights.stat().st_size,
        licence,
        str(weights) if sound else f"{weights}: does not match the hash in {about.name}; delete both",
        "" if sound else f"rm -r {weights.parent} && {mend}",
    )


def _unusable(plan: Plan) -> str:
    """Why the file that `backbone.weights` names is no checkpoint of the backbone; "" where it is one."""
    from benchmark.models.network import find  # It brings torch: seconds that other rows do without.

    try:
        find(plan.config.backbone.network).fetch(BackboneSettings.model_validate_json(plan.fetching()))
    except (OSError, ValueError) as error:
        return one_line(error, 400)
    return ""


def _backbone_licence(plan: Plan) -> str:
    """What timm says of its own weights; a file's licence is its owner's to know."""
    if plan.config.backbone.weights == "drawn":
        return "Apache-2.0"
    if plan.config.backbone.weights != "hub":
        return "your file's"
    if plan.config.backbone.network != "vit":
        return "see the model's card"
    import timm  # It brings torch: seconds that other rows do without.

    try:
        return str(timm.get_pretrained_cfg(plan.config.backbone.name).license or "see the model's card")
    except (RuntimeError, AttributeError):
        return "see the model's card"


def _licence(dataset: Dataset, wanted: Request) -> tuple[str, list[str]]:
    """The licence for the table, and the setting that accepts it where that is still to be done."""
    title = dataset.licence.title
    if dataset.licence.must_be_accepted and dataset.licence.name in wanted.licences_accepted:
        return f"{title} (accepted)", []
    if not dataset.licence.must_be_accepted or not dataset.fetches(wanted):
        return title, []
    accepted = ", ".join([*wanted.licences_accepted, dataset.licence.name])
    return f"{title} (not accepted: read {dataset.licence.address})", [f"licences_accepted=[{accepted}]"]


def _verified(file: Path, root: Path, table: pd.DataFrame) -> bool:
    """Whether the job that prepares data has checked this very data."""
    try:
        found = read_json(file)
        return Path(found["root"]) == root.resolve() and bool(found["fingerprint"] == fingerprint(table))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _of(found: int | str, expected: int) -> str:
    return f"{found} of {expected}" if expected else str(found)
