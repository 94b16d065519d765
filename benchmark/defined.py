"""The one class that a file defines: methods, tasks and networks are found by their files."""

from types import ModuleType
from typing import Any


def the_one(module: ModuleType, base: type[Any], file: object) -> type[Any]:
    """The only subclass of a class that a module defines itself; what it imports does not count.

    A ValueError, which calls the module `file`, says that there is none, or that there are several.
    """
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, base) and value.__module__ == module.__name__
    ]
    if len(found) != 1:
        names, kind = ", ".join(each.__name__ for each in found) or "none", base.__name__
        raise ValueError(
            f"{file}: a {kind.lower()}'s file defines exactly one subclass of {kind}; this one defines {names}"
        )
    return found[0]
