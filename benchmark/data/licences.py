"""Job: stop before anything is downloaded whose licence the user has not accepted.

    python -m benchmark.data.licences --settings JSON

It runs before every other job, so that nobody waits for one archive to learn that another needs consent.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark.config import AccessSettings, FederationSettings
from benchmark.data.dataset import DataError, find
from benchmark.data.prepare import request, run


def check(folders: Mapping[str, Mapping[str, Any]], access: AccessSettings) -> None:
    """Ask every dataset whether it would be downloaded, and if so, whether its licence is accepted.

    Args:
        folders: By folder of the data: the `dataset`, and its `federation`'s settings.
        access: The licences that the user accepts.

    Raises:
        DataError: Licences that have not been accepted, each with its address.
    """
    faults = []
    for folder, entry in folders.items():
        dataset = find(entry["dataset"])
        try:
            wanted = request(dataset, FederationSettings.model_validate(entry["federation"]), access, Path(folder))
            if dataset.fetches(wanted):
                dataset.require_licence(wanted)
        except DataError as error:
            faults.append(str(error))
    if faults:
        raise DataError("; ".join(faults))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Check that licences are accepted before anything is downloaded.")
    parser.add_argument("--settings", required=True, type=json.loads, help="JSON: folders, licences_accepted")
    settings = parser.parse_args(arguments).settings
    access = AccessSettings(licences_accepted=tuple(settings["licences_accepted"]))
    return run(lambda: check(settings["folders"], access))


if __name__ == "__main__":
    sys.exit(main())
