"""What docs/methods.md shows is what the method's file says."""

import doctest
import re
from typing import get_args

import pytest

from benchmark import method
from benchmark.method import Method
from benchmark.methods import method_file
from benchmark.settings import LoraSettings, LoraTarget
from tests.federation.small import ROOT, engine


def test_the_walk_through_shows_lines_of_ditto() -> None:
    """Every line of its Python blocks, quotes aside, stands in the file."""
    text = (ROOT / "docs/methods.md").read_text(encoding="utf-8").partition("## Which hook for what")[0]
    file = [line.strip(' "') for line in (ROOT / method_file("ditto")).read_text(encoding="utf-8").splitlines()]
    shown = [
        line.strip(' "') for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) for line in block.splitlines()
    ]
    assert len(shown) > 20
    assert set(shown) <= set(file)


@pytest.mark.parametrize("target", get_args(LoraTarget))
def test_the_names_of_leaves_are_those_that_clients_hold(target: LoraTarget) -> None:
    """What is to be adapted decides the site; a head has two leaves."""
    text = (ROOT / "docs/methods.md").read_text(encoding="utf-8")
    leaves = engine(Method(), lora=LoraSettings(targets=(target,))).model.leaves
    assert {f"`blocks.N.{leaf.site.split('.', 2)[2]}`" for leaf in leaves.values() if leaf.role == "lora"} <= {
        *re.findall(r"`blocks\.N\.[\w.]+`", text)
    }
    assert all(leaf.name == f"{leaf.part}/{leaf.site}.{leaf.factor}" for leaf in leaves.values() if leaf.role == "lora")
    assert {name for name, leaf in leaves.items() if leaf.role == "head"} == {"head/weight", "head/bias"}
    assert "`head/weight` (outputs, dim) and `head/bias` (outputs,)" in text


def test_the_template_is_a_page() -> None:
    """At most forty lines, all in all."""
    assert len((ROOT / "methods/_template.py").read_text(encoding="utf-8").splitlines()) <= 40


def test_every_hook_is_in_the_table() -> None:
    """What `Method` defines, but what only controls and tables use."""
    table = (ROOT / "docs/methods.md").read_text(encoding="utf-8")
    hooks = {name for name in vars(Method) if not name.startswith("_")} - {"control", "pooled"}
    assert {name for name in hooks if f"`{name}" not in table} == set()


def test_the_example_of_the_contract_runs() -> None:
    """A round by hand, printed as the docstring says."""
    found = doctest.testmod(method)
    assert found.attempted >= 5
    assert found.failed == 0
