"""Which methods there are: the files of `methods/` and of its folders, found by their names without being run.

A file in a folder belongs to the group of the folder's name. A file in `methods/` itself is the user's own. Files and
folders that begin with an underscore or a dot are passed over.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

from benchmark.config import ConfigError
from benchmark.errors import nearest
from benchmark.sources import ROOT


@dataclass(frozen=True)
class Methods:
    """All methods of a project.

    Attributes:
        files: Where each method's file stands, by the method's name: `methods/fedopal/fedit.py`.
        groups: Names of the methods of each group, by the group's name.
        own: Names of the methods that belong to no group: the user's own.
    """

    files: dict[str, str]
    groups: dict[str, list[str]]
    own: list[str]

    def chosen(self, named: Sequence[str] | None, own: Sequence[str] | None) -> list[str]:
        """The methods that a configuration runs: those that it names, and the user's own.

        Names of groups and of methods are given, every group where None; and the user's own, all of them where None.
        The order in which they are named decides nothing.
        """
        named = list(self.groups) if named is None else named
        members = [method for name in named for method in self.groups.get(name, [name])]
        return sorted({*members, *(self.own if own is None else own)})

    def unknown(self, named: Iterable[str], own: Iterable[str], settings: Iterable[str]) -> list[str]:
        """A line for every name of what does not exist, in a configuration's `methods`, `own` and `method_settings`."""
        asked = (
            ("methods: there is no method or group {}", named, [*self.files, *self.groups]),
            ("own: there is no methods/{}.py", own, self.own),
            ("method_settings: there is no method {}", settings, self.files),
        )
        return [
            said.format(name) + nearest(name, known)
            for said, names, known in asked
            for name in names
            if name not in known
        ]


@cache
def discovered(root: Path = ROOT) -> Methods:
    """All methods of the project whose folder holds `methods/`.

    A ConfigError says that two files have one name, or that a method has the name of a group.
    """
    paths = [path for pattern in ("[!_.]*.py", "[!_.]*/[!_.]*.py") for path in root.joinpath("methods").glob(pattern)]
    places = sorted(path.relative_to(root) for path in paths)
    groups: dict[str, list[str]] = {}
    for place in places:
        if len(place.parts) == 3:
            groups.setdefault(place.parts[1], []).append(place.stem)
    twice = [pair for pair in pairwise(sorted(places, key=lambda place: place.stem)) if pair[0].stem == pair[1].stem]
    faults = [f"{one} and {other}: two methods of one name; rename one of the files" for one, other in twice]
    faults += [
        f"{place} and the folder methods/{place.stem}: a method and a group of one name; rename one of them"
        for place in places
        if place.stem in groups
    ]
    if faults:
        raise ConfigError("\n".join(faults))
    return Methods(
        files={place.stem: place.as_posix() for place in places},
        groups=groups,
        own=[place.stem for place in places if len(place.parts) == 2],
    )


def method_file(name: str) -> str:
    """Where a method's file stands, from the project's root; a ConfigError where there is no such method."""
    files = discovered().files
    if name not in files:
        raise ConfigError(f"there is no method {name}{nearest(name, files)}")
    return files[name]
