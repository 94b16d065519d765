"""Job: stop before anything is downloaded whose licence the user has not accepted.

    python -m benchmark.data.licences --federations JSON --accepted NAME ... --output FILE

Every job that may download comes after this one, so that nobody waits for one archive to learn that another needs
consent.
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
from benchmark.files import write_json


def check(federations: Mapping[str, Mapping[str, Any]], accepted: Sequence[str]) -> dict[str, str]:
    """Ask every dataset whether it would be downloaded, and if so, whether its licence is accepted.

    Args:
        federations: By folder of the data, `dataset` and `settings`, the federation's.
        accepted: Short names of the licences that the user accepts.

    Returns:
        The licence of every dataset, by the folder of its data.

    Raises:
        DataError: Licences that have not been accepted, each with its address.
    """
    faults, licences = [], {}
    for folder, entry in federations.items():
        dataset = find(entry["dataset"])
        settings = FederationSettings.model_validate(entry["settings"])
        wanted = request(dataset, settings, AccessSettings(licences_accepted=tuple(accepted)), Path(folder))
        if dataset.fetches(wanted):
            try:
                dataset.require_licence(wanted)
            except DataError as error:
                faults.append(str(error))
        licences[folder] = dataset.licence.name
    if faults:
        raise DataError("; ".join(faults))
    return licences


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Check that licences are accepted before anything is downloaded.")
    parser.add_argument("--federations", required=True, type=json.loads, help="JSON: by folder, dataset and settings")
    parser.add_argument("--accepted", nargs="*", default=[], help="short names of the licences that are accepted")
    parser.add_argument("--output", required=True, type=Path, help="the JSON file to write: licences by folder")
    given = parser.parse_args(arguments)
    return run(lambda: write_json(given.output, check(given.federations, given.accepted)))


if __name__ == "__main__":
    sys.exit(main())
