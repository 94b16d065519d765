"""What a comparison's last run was given on its command line, so that `status` and `publish` speak of the same one."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark.files import read_json, write_json

NAME = "command.json"
"""The file's name in the folder of the results."""


def write(results: str, configfiles: Sequence[Path], settings: Mapping[str, Any]) -> None:
    """Note what Snakemake was given: its configuration files, and the settings that replace theirs."""
    write_json(
        Path(results, NAME),
        {
            "configfiles": [os.path.relpath(path) for path in configfiles],
            "config": [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in settings.items()],
        },
    )


def settings(results: str, configfile: Path) -> tuple[str, ...]:
    """The settings, each `key=value`, that a configuration's last run was given; none where there was no run."""
    try:
        noted = read_json(Path(results, NAME))
        if noted["configfiles"] == [os.path.relpath(configfile)]:
            return tuple(map(str, noted["config"]))
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return ()
