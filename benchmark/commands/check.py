"""Whether a method or an adaptation keeps its contract: `python -m benchmark check methods/mine.py`."""

import textwrap
from pathlib import Path

import yaml

from benchmark.job import GivenPath, Values
from benchmark.methods import discovered


def check(method: GivenPath, settings: Values = ()) -> int:
    """Whether a method, or an adaptation, keeps its contract.

    It trains the method for a few rounds on three small drawn hospitals: no download, no GPU, some seconds. Every rule
    is a line; where one is broken, the message says where, what was expected, and what to do. At the end stands what
    the method holds, trains and sends. The exit status is 1 where a rule is broken. An adaptation, a file that imports
    `benchmark.adaptation`, serves one of the hospitals with a federation of the others.

    Args:
        method: The file of the method, or of the adaptation.
        settings: Settings of it.
    """
    # Imported here: other commands need no torch, whose import takes seconds.
    import torch

    from benchmark.contract import adaptation
    from benchmark.contract.rules import RULES, outcomes
    from benchmark.contract.summary import summary
    from benchmark.contract.trial import Trial
    from benchmark.federation import fault

    torch.set_num_threads(1)  # Threads that wait for each other make small models slower.
    serves = "benchmark.adaptation" in method.read_text(encoding="utf-8", errors="replace")
    try:
        given = dict(_setting(text) for text in settings)
        trial = adaptation.Serving(method, given) if serves else Trial(method, given)
        checked = trial.adaptation if isinstance(trial, adaptation.Serving) else trial.engine.model.method
    except Exception as error:  # The file is run: it may raise anything.
        print(_line("FAILED", "the file can be loaded", fault.report(error, method)))
        return 1
    print(f"{method}: {checked.title} ({checked.paper})\n", flush=True)
    found, rules = [], adaptation.RULES if serves else RULES
    for outcome in outcomes(trial, rules):
        found.append(outcome)
        print(_line(outcome.word, outcome.rule, outcome.text), flush=True)
    failed = sum(outcome.word == "FAILED" for outcome in found)
    if left := len(rules) - len(found):
        print(_line("not run", f"{left} more rules, which need: {found[-1].rule}", ""))
    elif isinstance(trial, Trial):
        print(f"\n{summary(trial)}")
    after = "it keeps the contract" if serves else _next(method)
    print(f"\n{f'{failed} failed' if failed else after}")
    return 1 if failed else 0


def _setting(text: str) -> tuple[str, float | bool | str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ValueError(f"--settings {text!r}: expected KEY=VALUE, as in `--settings mu=0.1`")
    return name, yaml.safe_load(value)


def _line(word: str, rule: str, text: str) -> str:
    return f"{word:8} {rule}" + (f"\n{textwrap.indent(text, ' ' * 9)}" if text else "")


def _next(path: Path) -> str:
    """What to do with a method that keeps the contract."""
    if path.stem not in discovered().files:
        return "copy it to methods/, under a name of small letters, digits and _, to run it"
    named = "" if path.stem in discovered().own else f" --config methods='[{path.stem}]'"
    return f"`snakemake -n all{named}` lists the jobs of `{path.stem}`; `snakemake --cores 8 all{named}` runs them"
