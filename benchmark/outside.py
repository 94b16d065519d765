"""Federations with an outside: clients that take no part, for whom a model is tried all the same."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from benchmark.config import Config, FederationSettings
from benchmark.errors import nearest


def faults(config: Config) -> Iterator[str]:
    """A line for each entry of `leave_one_out` that cannot be expanded."""
    for name in config.leave_one_out:
        place, settings = f"leave_one_out: {name}", config.federations.get(name)
        if settings is None:
            yield f"leave_one_out: there is no federation {name}{nearest(name, list(config.federations))}"
        elif settings.clients is None or len(set(settings.clients)) < 2:
            # Planning reads no data, so that it does not know which clients there are.
            yield f"{place} needs two or more `clients`: name them under federations.{name}"
        elif twice := [
            new for new, number in Counter(_name(name, own) for own in settings.clients).items() if number > 1
        ]:
            yield f"{place}: two of its clients would both be called {twice[0]}; write a federation for each instead"
        elif taken := sorted({_name(name, own) for own in settings.clients} & set(config.federations)):
            yield f"{place}: there is a federation {taken[0]} already; give that one another name"


def expanded(config: Config) -> Config:
    """The configuration with one federation for each left-out client, in place of those that `leave_one_out` names.

    All of them have the same images, packed once: `clients` and `outside` alone differ.
    """
    found: dict[str, FederationSettings] = {}
    for name, settings in config.federations.items():
        if name not in config.leave_one_out:
            found[name] = settings
            continue
        clients = settings.clients or ()
        for own in clients:
            found[_name(name, own)] = settings.model_copy(
                update={
                    "dataset": settings.dataset or name,
                    "clients": tuple(other for other in clients if other != own),
                    "outside": (own, *settings.outside),
                }
            )
    return config.model_copy(update={"federations": found, "leave_one_out": ()})


def family(federation: str, outside: Iterable[str]) -> str:
    """What a federation is without one of these clients, as its name says; itself where that says nothing of it."""
    ends = (_name("", client) for client in outside)
    return next((federation.removesuffix(end) for end in ends if federation.endswith(end)), federation)


def _name(federation: str, client: str) -> str:
    """What a federation without this client is called: a name as any other."""
    return f"{federation}_without_{re.sub(r'[^a-z0-9]+', '_', client.lower()).strip('_')}"
