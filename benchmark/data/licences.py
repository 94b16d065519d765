"""Job: stop before anything is downloaded whose licence the user has not accepted.

It runs before every other job, so that nobody waits for one archive to learn that another needs consent.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from benchmark.config import FederationSettings
from benchmark.data.dataset import DataError, find
from benchmark.data.prepare import Access, request
from benchmark.job import as_json, run


def check(
    folders: Annotated[Mapping[str, FederationSettings], as_json(dict[str, FederationSettings])], access: Access
) -> None:
    """Stop where a dataset would be downloaded whose licence is not accepted, with the address of each.

    Args:
        folders: By folder of the data: the settings of its federation, which name the dataset.
        access: The licences that the user accepts.
    """
    faults = []
    for folder, settings in folders.items():
        dataset = find(str(settings.dataset))
        try:
            wanted = request(dataset, settings, access, Path(folder))
            if dataset.fetches(wanted):
                dataset.require_licence(wanted)
        except DataError as error:
            faults.append(str(error))
    if faults:
        raise DataError("; ".join(faults))


if __name__ == "__main__":
    raise SystemExit(run(check))
