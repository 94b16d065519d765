"""What docs/methods.md shows is what the method's file says."""

import doctest
import re

from benchmark import method
from benchmark.methods import method_file
from tests.federation.small import ROOT


def test_the_walk_through_shows_lines_of_ditto() -> None:
    """Every line of its Python blocks, quotes aside, stands in the file."""
    text = (ROOT / "docs/methods.md").read_text(encoding="utf-8")
    file = [line.strip(' "') for line in (ROOT / method_file("ditto")).read_text(encoding="utf-8").splitlines()]
    shown = [
        line.strip(' "') for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) for line in block.splitlines()
    ]
    assert len(shown) > 20
    assert set(shown) <= set(file)


def test_the_template_is_a_page() -> None:
    """At most forty lines, all in all."""
    assert len((ROOT / "methods/_template.py").read_text(encoding="utf-8").splitlines()) <= 40


def test_every_hook_is_in_the_table() -> None:
    """What `Method` defines, but what only controls and tables use."""
    from benchmark.method import Method

    table = (ROOT / "docs/methods.md").read_text(encoding="utf-8")
    hooks = {name for name in vars(Method) if not name.startswith("_")} - {"control", "pooled"}
    assert {name for name in hooks if f"`{name}" not in table} == set()


def test_the_example_of_the_contract_runs() -> None:
    """A round by hand, printed as the docstring says."""
    found = doctest.testmod(method)
    assert found.attempted >= 5
    assert found.failed == 0
