"""Job: bring a federation's dataset onto this machine, verify it, and say where it lies."""

from pathlib import Path
from typing import Annotated

from benchmark.config import AccessSettings, FederationSettings
from benchmark.data.dataset import DataError, Dataset, Request, checked_index, find, fingerprint
from benchmark.data.parallel import cores
from benchmark.files import write_json
from benchmark.job import as_json, run

Federation = Annotated[FederationSettings, as_json(FederationSettings)]
"""A federation's settings, which a job is given as JSON."""
Access = Annotated[AccessSettings, as_json(AccessSettings)]
"""How data may be fetched, likewise."""


def request(
    dataset: Dataset, settings: FederationSettings, access: AccessSettings, folder: Path, threads: int = 1
) -> Request:
    """What a federation's settings ask of its dataset, which may be stored in `folder`.

    A DataError names a protocol, client or option that does not exist, or a `source`.
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
    dataset: str,
    settings: Federation,
    folder: Path,
    output: Path,
    access: Access = AccessSettings(),  # noqa: B008
    threads: int | None = None,
) -> None:
    """Bring a dataset onto this machine, verify it, and write `output`, which exists only once the data is complete.

    Args:
        dataset: The dataset's name.
        settings: The federation's settings.
        folder: Where the dataset may be stored.
        output: The JSON file to write: `dataset`, `root`, `samples`, `clients`, `fingerprint` and `licence`.
        access: How data may be fetched.
        threads: How many threads may work on it; as many as there are cores where none are given.
    """
    chosen = find(dataset)
    root = chosen.prepare(request(chosen, settings, access, folder, threads or cores()))
    table = checked_index(chosen, root, settings.protocol, settings.split_seed)
    found = sorted(set(table["client"]))
    if missing := [f"{client.id} ({client.name})" for client in chosen.clients if client.id not in found]:
        print(f"{chosen.name}: goes without clients {', '.join(missing)}: {root} holds no image of theirs")
    write_json(
        output,
        {
            "dataset": chosen.name,
            "root": str(root.resolve()),
            "samples": len(table),
            "clients": found,
            "fingerprint": fingerprint(table),
            "licence": {
                "name": chosen.licence.name,
                "title": chosen.licence.title,
                "address": chosen.licence.address,
            },
        },
    )


if __name__ == "__main__":
    raise SystemExit(run(prepare))
