"""One entry for every job and command: a command line is a function's signature, and there is one way to fail.

A job's module ends with

    if __name__ == "__main__":
        raise SystemExit(run(work))

where `work` is a function with annotated arguments and a docstring: the arguments are the options, their defaults the
options' defaults, the docstring is what `--help` says. What cannot be done is one line on stderr that begins with the
job's name, and the exit status 1. An option that cannot be understood is the exit status 2.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import tyro
from pydantic import TypeAdapter, ValidationError

from benchmark.errors import one_line

GivenPath = Annotated[Path, tyro.conf.Positional]
"""A path that is given without an option's name."""
Values = Annotated[tuple[str, ...], tyro.conf.arg(metavar="[KEY=VALUE ...]", help_behavior_hint="")]
"""Settings, each KEY=VALUE."""


def as_json(kind: Any) -> Any:
    """How an option is annotated that is given as JSON of any kind that pydantic validates: `Annotated[kind, ...]`."""
    adapter = TypeAdapter(kind)

    def parsed(words: list[str]) -> Any:
        try:
            return adapter.validate_json(words[0])
        except ValidationError as error:
            fault = error.errors()[0]
            place = ".".join(map(str, fault["loc"]))
            raise ValueError(f"{place + ': ' if place else ''}{fault['msg']}") from None

    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="JSON",
        instance_from_str=parsed,
        is_instance=lambda value: True,
        str_from_instance=lambda value: [adapter.dump_json(value).decode()],
    )


AnyJson = Annotated[Any, as_json(Any)]
"""An option that is given as JSON, whatever it holds."""


class JobError(Exception):
    """An error whose message is what the log shall show, in one or more lines of which the last says all."""


def run(work: Callable[..., object], argv: Sequence[str] | None = None) -> int:
    """Do a job as its command line says, the process's own where none is given; returns the exit status.

    The job raises ValueError or OSError where the user can mend what is wrong, or a JobError that says more than these
    would. An error that nobody expected keeps its traceback.
    """
    name = _name(work)
    chosen: Callable[[], object] = tyro.cli(_later(work), prog=f"python -m {name}", args=argv)
    try:
        chosen()
    except JobError as error:
        print(error, file=sys.stderr)
        return 1
    except (ValueError, OSError) as error:
        print(f"{name.rpartition('.')[2]}: {one_line(error)}", file=sys.stderr)
        return 1
    return 0


def run_one_of(
    commands: Mapping[str, Callable[..., Any]], prog: str, description: str, argv: Sequence[str] | None = None
) -> int:
    """Do the command that the command line names first; returns its exit status.

    A ValueError or an OSError is 1, its message on stderr: a line for each fault.
    """
    later = {name: _later(work) for name, work in commands.items()}
    chosen = tyro.extras.subcommand_cli_from_dict(later, prog=prog, description=description, args=argv)
    try:
        return int(chosen())
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1


def _later(work: Callable[..., Any]) -> Callable[..., Callable[[], Any]]:
    """Work that is done when its options have been understood: what it raises is no fault of theirs."""

    @wraps(work)
    def bound(*arguments: Any, **options: Any) -> Callable[[], Any]:
        return lambda: work(*arguments, **options)

    return bound


def _name(work: Callable[..., object]) -> str:
    """The job's module, also where it runs as `__main__`."""
    if work.__module__ != "__main__":
        return work.__module__
    spec = sys.modules["__main__"].__spec__
    return spec.name if spec else "__main__"
