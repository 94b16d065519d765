"""The federations that a configuration means: without each of their clients, and with each draw of their split.

In place of one that `leave_one_out` names stands one for each of its clients, who is its outside; in place of one with
several `draws` stands one for each of them. Both may be asked of one federation: each client is left out of all draws.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from benchmark.config import Config, FederationSettings
from benchmark.errors import nearest


def faults(config: Config) -> list[str]:
    """A line for each federation that cannot be expanded, or whose name another takes."""
    return [*_not_left_out(config)] or [*_not_drawn(config)]


def expanded(config: Config) -> Config:
    """The configuration with all federations that it means, and none that stands for others.

    Those without one client have the same images, packed once: `clients` and `outside` alone differ. Draws differ in
    their `split_seed`.
    """
    found = {draw: own for name, one in _left(config).items() for draw, own in _draws(name, one)}
    return config.model_copy(update={"federations": found, "leave_one_out": ()})


def family(federation: str, outside: Iterable[str]) -> str:
    """What a federation is without one of these clients, as its name says; itself where that says nothing of it."""
    ends = (_without("", client) for client in outside)
    return next((federation.removesuffix(end) for end in ends if federation.endswith(end)), federation)


def _left(config: Config) -> dict[str, FederationSettings]:
    """One federation for each client that is left out, and all others."""
    found: dict[str, FederationSettings] = {}
    for name, settings in config.federations.items():
        for own in settings.clients or () if name in config.leave_one_out else ():
            changes = {
                "dataset": settings.dataset or name,
                "clients": tuple(other for other in settings.clients or () if other != own),
                "outside": (own, *settings.outside),
            }
            found[_without(name, own)] = settings.model_copy(update=changes)
        if name not in config.leave_one_out:
            found[name] = settings
    return found


def _draws(name: str, settings: FederationSettings) -> Iterator[tuple[str, FederationSettings]]:
    """One federation for each draw, by name; itself where there is one."""
    if settings.draws == 1:
        yield name, settings
        return
    for number in range(settings.draws):
        own = {"dataset": settings.dataset or name, "draws": 1, "draw_of": name}
        yield (
            f"{name}_draw{number + 1}",
            settings.model_copy(update={**own, "split_seed": settings.split_seed + number}),
        )


def _without(federation: str, client: str) -> str:
    """What a federation without this client is called: a name as any other."""
    return f"{federation}_without_{re.sub(r'[^a-z0-9]+', '_', client.lower()).strip('_')}"


def _not_left_out(config: Config) -> Iterator[str]:
    for name in config.leave_one_out:
        place, settings = f"leave_one_out: {name}", config.federations.get(name)
        if settings is None:
            yield f"leave_one_out: there is no federation {name}{nearest(name, list(config.federations))}"
        elif settings.clients is None or len(set(settings.clients)) < 2:
            # Planning reads no data, so that it does not know which clients there are.
            yield f"{place} needs two or more `clients`: name them under federations.{name}"
        elif twice := [
            new for new, number in Counter(_without(name, own) for own in settings.clients).items() if number > 1
        ]:
            yield f"{place}: two of its clients would both be called {twice[0]}; write a federation for each instead"
        elif taken := sorted({_without(name, own) for own in settings.clients} & set(config.federations)):
            yield f"{place}: there is a federation {taken[0]} already; give that one another name"


def _not_drawn(config: Config) -> Iterator[str]:
    left, found = _left(config), dict[str, FederationSettings]()
    for name, settings in left.items():
        if settings.draw_of and settings.draws > 1:
            yield (
                f"federations: {name} is one draw of {settings.draw_of}, and cannot be drawn itself; leave out `draws`"
            )
            return
        drawn = dict(_draws(name, settings))
        if taken := [draw for draw in drawn if draw in found or (draw in left and draw != name)]:
            yield f"federations: {taken[0]} is a draw of {name}, and a federation of its own too; rename that one"
        found |= drawn
    for name, own in found.items():
        first = next(other for other in found.values() if other.draw_of == own.draw_of)
        if own.draw_of and own != first.model_copy(update={"split_seed": own.split_seed}):
            yield f"federations: {name}: draws of {own.draw_of} may differ in nothing but their `split_seed`"
        if own.draw_of in found:
            yield f"federations: {own.draw_of} is a federation, and {name} says that it is a draw of it; rename one"
