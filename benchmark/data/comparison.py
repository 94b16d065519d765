"""Job: `comparison.json`, all that the jobs know which look at more than one row.

It joins what the plan knows to the manifest of every federation, which is that of its pack without the clients that the
federation leaves out, and those that it names as its outside apart.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from benchmark.files import read_json, write_json
from benchmark.job import AnyJson, as_json, run


def of_federation(
    pack: Mapping[str, Any], federation: str, clients: Sequence[str] | None, outside: Sequence[str] = ()
) -> dict[str, Any]:
    """A federation's manifest: its pack's, with the federation's name, its `clients` and those `outside`, each sorted.

    All clients take part where none are given. A ValueError says that the pack does not hold one.
    """
    held, parts = pack["clients"], dict[str, dict[str, Any]]()
    for part, names in (("clients", held if clients is None else clients), ("outside", outside)):
        if absent := [client for client in sorted(names) if client not in held]:
            raise ValueError(
                f"federations.{federation}.{part}: {', '.join(absent)} not in its pack, which holds {', '.join(held)}"
            )
        parts[part] = {client: held[client] for client in sorted(names)}
    return {**pack, "federation": federation, **parts}


def describe(plan: AnyJson, packs: Annotated[dict[str, Path], as_json(dict[str, Path])], output: Path) -> None:
    """Write down which rows a comparison has, and what its federations hold.

    Args:
        plan: What the plan knows of it, as `Plan.described` says, with every federation's clients and outside.
        packs: The folder of every federation's pack.
        output: The file to write.
    """
    clients, outside = plan.pop("clients"), plan.pop("outside")
    manifests = {
        name: of_federation(read_json(folder / "manifest.json"), name, clients[name], outside[name])
        for name, folder in packs.items()
    }
    write_json(output, {**plan, "manifests": manifests})


if __name__ == "__main__":
    raise SystemExit(run(describe))
