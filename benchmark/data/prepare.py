"""Job: bring a federation's dataset onto this machine, verify it, and say where it lies.

python -m benchmark.data.prepare --federation NAME --settings JSON --folder DIR --output DIR/source.json
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from benchmark.config import AccessSettings, FederationSettings
from benchmark.data.dataset import DataError, Dataset, Request, checked_index, find, fingerprint
from benchmark.data.parallel import cores
from benchmark.errors import one_line
from benchmark.files import read_json, write_json


def request(
    dataset: Dataset, settings: FederationSettings, access: AccessSettings, folder: Path, threads: int = 1
) -> Request:
    """What a federation's settings ask of its dataset.

    Args:
        dataset: The dataset.
        settings: The federation's settings.
        access: How data may be fetched.
        folder: Where the dataset may be stored.
        threads: How many threads may work on it.

    Returns:
        The request.

    Raises:
        DataError: A protocol, client or option does not exist, or `source` does not.
    """
    dataset.protocol(settings.protocol)
    dataset.chosen_options(settings.options)
    known = [client.id for client in dataset.clients]
    if unknown := [client for client in settings.clients or () if client not in known]:
        raise DataError(f"{dataset.name}: there is no client {', '.join(unknown)}; there are: {', '.join(known)}")
    source = Path(settings.source).expanduser() if settings.source else None
    if source is not None and not source.is_dir():
        raise DataError(f"{dataset.name}: `source` is {source}, but there is no such folder")
    return Request(
        folder, source, settings.options, access.licences_accepted, settings.split_seed, access.mirrors, threads
    )


def prepare(
    federation: str,
    settings: FederationSettings,
    access: AccessSettings,
    folder: Path,
    output: Path,
    threads: int = 1,
) -> None:
    """Prepare a dataset and write `output`, which exists only once the data is complete.

    Args:
        federation: Its name in the configuration; the dataset's name where the settings give none.
        settings: The federation's settings.
        access: How data may be fetched.
        folder: Where the dataset may be stored.
        output: The JSON file to write: `dataset`, `root`, `samples`, `clients`, `fingerprint` and `licence`.
        threads: How many threads may work on it.

    Raises:
        DataError: The data cannot be had, or is not complete.
    """
    dataset = find(settings.dataset or federation)
    root = dataset.prepare(request(dataset, settings, access, folder, threads))
    table = checked_index(dataset, root, settings.protocol, settings.split_seed)
    found = sorted(set(table["client"]))
    if missing := [f"{client.id} ({client.name})" for client in dataset.clients if client.id not in found]:
        print(f"{dataset.name}: goes without clients {', '.join(missing)}: {root} holds no image of theirs")
    write_json(
        output,
        {
            "dataset": dataset.name,
            "root": str(root.resolve()),
            "samples": len(table),
            "clients": found,
            "fingerprint": fingerprint(table),
            "licence": {
                "name": dataset.licence.name,
                "title": dataset.licence.title,
                "address": dataset.licence.address,
            },
        },
    )


def read_settings(text: str) -> dict[str, Any]:
    """The jobs' `--settings`: JSON, or the path of a JSON file.

    Args:
        text: What the command line gives.

    Returns:
        `federation`, the validated settings, and what else the JSON holds.

    Raises:
        DataError: It is no JSON, or the federation's settings are not valid.
    """
    try:
        values = json.loads(text) if text.lstrip().startswith("{") else read_json(Path(text))
        return {**values, "federation": FederationSettings.model_validate(values["federation"])}
    except ValidationError as error:
        fault = error.errors()[0]
        raise DataError(f"--settings: {'.'.join(map(str, fault['loc']))}: {fault['msg']}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"--settings: {error}") from None


def run(job: Callable[[], None]) -> int:
    """Run a job; an expected error is one line on stderr and exit status 1."""
    try:
        job()
    except (DataError, OSError) as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 1
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Bring a dataset onto this machine and verify it.")
    parser.add_argument("--federation", required=True, help="its name in the configuration")
    parser.add_argument("--settings", required=True, help="JSON: federation; or a file of it")
    parser.add_argument(
        "--access",
        default=AccessSettings(),
        type=AccessSettings.model_validate_json,
        help="JSON: licences_accepted, mirrors",
    )
    parser.add_argument("--folder", required=True, type=Path, help="where the dataset may be stored")
    parser.add_argument("--output", required=True, type=Path, help="the JSON file to write")
    parser.add_argument("--threads", type=int, default=cores(), help="files worked on at the same time")
    given = parser.parse_args(arguments)

    def job() -> None:
        settings = read_settings(given.settings)["federation"]
        prepare(given.federation, settings, given.access, given.folder, given.output, given.threads)

    return run(job)


if __name__ == "__main__":
    sys.exit(main())
