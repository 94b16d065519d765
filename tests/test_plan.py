"""The plan: which methods a configuration runs."""

from typing import Any

import pytest
import yaml

from benchmark.config import ConfigError
from benchmark.plan import ROOT, Plan, discovered

VALUES: dict[str, Any] = {"name": "small", "federations": {"toy_lesions": {}}, "rates": ["1e-3"], "rounds": 2}


def test_every_file_is_a_method_but_those_left_out() -> None:
    """Named or discovered, in the order of the names; an unknown name is an error that says so."""
    everything = discovered("methods")
    assert Plan.of(VALUES).methods == everything
    assert Plan.of({**VALUES, "without": ["fedit"]}).methods == [name for name in everything if name != "fedit"]
    assert Plan.of({**VALUES, "methods": ["local", "fedit"], "without": ["local"]}).methods == ["fedit"]
    with pytest.raises(ConfigError, match=r"without: there is no methods/fedits.py; did you mean fedit\?"):
        Plan.of({**VALUES, "without": ["fedits"]})
    with pytest.raises(ConfigError, match="none is left"):
        Plan.of({**VALUES, "methods": ["local"], "without": ["local"]})


@pytest.mark.parametrize("name", ["quickstart", "paper", "fed_ham10000", "fed_ham10000_gpu"])
def test_published_comparisons_rank_the_papers_rows(name: str) -> None:
    """Eight ranked rows and two controls, and whatever file a user adds."""
    values = yaml.safe_load((ROOT / f"config/{name}.yaml").read_text(encoding="utf-8"))
    rows = {"fedit", "ffa_lora", "fedsa_lora", "feddpa_t", "feddpa_f", "fedpal", "fedopal_w", "fedopal_r"}
    found = set(Plan.of(values).methods)
    assert rows | {"local", "pooled"} <= found
    assert not found & {"apfl", "ditto", "scaffold", "flora"}
