"""What every method must keep, whoever writes it: all methods there are, all rules of `benchmark.contract`.

A newcomer's file is tested here without a test being written.
"""

import pytest

from benchmark.contract.another import once
from benchmark.contract.federation import engine
from benchmark.contract.rules import RULES, Rule
from tests.federation.small import BRIEF, METHODS
from tests.reference import methods as reference


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name.replace(" ", "_"))
@pytest.mark.parametrize("name", METHODS)
def test_a_method_keeps_the_contract(name: str, rule: Rule) -> None:
    """What is a hint for an author is a fault of a published method: one that has a plain reference."""
    remark = rule.run(once(name, engine, **BRIEF.get(name, {})))
    if remark is None:
        return
    assert remark.word == "skipped" or not hasattr(reference, name), remark.text
    pytest.skip(remark.text)
