"""Job: a federation's manifest, from the manifest of the pack it uses.

    python -m benchmark.data.manifest --pack FILE --federation NAME --clients JSON --output FILE

A federation may leave clients of its dataset out; its manifest describes those that take part.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmark.files import read_json, write_json


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; 0 where the manifest was written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", required=True, type=Path, help="the pack's manifest")
    parser.add_argument("--federation", required=True)
    parser.add_argument("--clients", required=True, type=json.loads, help="a list of clients, or null for all")
    parser.add_argument("--output", required=True, type=Path)
    arguments = parser.parse_args(argv)
    manifest = read_json(arguments.pack)
    held = manifest["clients"]
    wanted = sorted(held if arguments.clients is None else arguments.clients)
    if absent := [client for client in wanted if client not in held]:
        print(
            f"federations.{arguments.federation}.clients: {', '.join(absent)} not in {arguments.pack}; "
            f"it holds {', '.join(held)}",
            file=sys.stderr,
        )
        return 1
    manifest["federation"] = arguments.federation
    manifest["clients"] = {client: held[client] for client in wanted}
    write_json(arguments.output, manifest)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
