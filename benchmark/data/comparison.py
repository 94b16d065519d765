"""Job: `comparison.json`, all that the jobs know which look at more than one row.

    python -m benchmark.data.comparison --plan JSON --packs JSON --output results/NAME/comparison.json

It joins what the plan knows to the manifest of every federation, which is that of its pack without the clients that the
federation leaves out.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from benchmark.files import read_json, write_json
from benchmark.job import AnyJson, as_json, run


def of_federation(pack: Mapping[str, Any], federation: str, clients: Sequence[str] | None) -> dict[str, Any]:
    """A federation's manifest: its pack's, with the federation's name and its clients, sorted; all where None.

    A ValueError names a client that the pack does not hold.
    """
    held = pack["clients"]
    wanted = sorted(held if clients is None else clients)
    if absent := [client for client in wanted if client not in held]:
        raise ValueError(
            f"federations.{federation}.clients: {', '.join(absent)} not in its pack, which holds {', '.join(held)}"
        )
    return {**pack, "federation": federation, "clients": {client: held[client] for client in wanted}}


def describe(plan: AnyJson, packs: Annotated[dict[str, Path], as_json(dict[str, Path])], output: Path) -> None:
    """Write down which rows a comparison has, and what its federations hold.

    Args:
        plan: What the plan knows of it, as `Plan.described` says, and the clients of every federation.
        packs: The folder of every federation's pack.
        output: The file to write.
    """
    clients = plan.pop("clients")
    manifests = {
        name: of_federation(read_json(folder / "manifest.json"), name, clients[name]) for name, folder in packs.items()
    }
    write_json(output, {**plan, "manifests": manifests})


if __name__ == "__main__":
    raise SystemExit(run(describe))
