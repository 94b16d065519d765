"""Configurations that nobody would write: each is refused in lines that name the place, or is a plan."""

import copy
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.config import ConfigError, parse, read
from benchmark.plan import Plan
from benchmark.sources import ROOT

SOUND: dict[str, Any] = yaml.safe_load((ROOT / "config/quickstart.yaml").read_text(encoding="utf-8"))
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        ["5e-4", "nan", "inf", "-1", "../x", "/", "a;b", "$(x)", "auto", "fedit", "toy_lesions", "0x10", "1_0"]
    ),
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SCALARS, inner, max_size=3))


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a configuration."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, part in inner for place in places(part, (*at, key)))]


PLACES = places(SOUND)[1:]
CHANGE = st.tuples(st.sampled_from(PLACES), st.sampled_from(["set", "add", "remove"]), VALUES)


@settings(max_examples=1000)
@given(changes=st.lists(CHANGE, min_size=1, max_size=3))
def test_a_changed_configuration_is_refused_or_planned(changes: list[tuple[tuple[Any, ...], str, Any]]) -> None:
    """Settings replaced, added and removed anywhere. What is planned stays in its folders."""
    values: Any = copy.deepcopy(SOUND)
    for (*path, last), kind, value in changes:
        part = values
        try:
            for key in path:
                part = part[key]
            if kind == "remove":
                del part[last]
            elif kind == "add" and isinstance(part, dict):
                part[value if isinstance(value, str) else "more"] = value
            else:
                part[last] = value
        except (KeyError, IndexError, TypeError):
            continue
    refused_or_planned(values)


@settings(max_examples=500)
@given(values=VALUES)
def test_anything_at_all_is_refused_or_planned(values: Any) -> None:
    if isinstance(values, dict):
        refused_or_planned(values)


def refused_or_planned(values: dict[Any, Any]) -> None:
    """The only error is a ConfigError, each of its lines naming where."""
    said = ""
    try:
        plan = Plan.of(values, "mine.yaml")
        assert plan.targets
        assert not any(".." in path.split("/") or path.startswith("/") for path in plan.targets)
        assert parse(plan.config.model_dump(mode="json")) == plan.config, "it is what it says it is"
    except ConfigError as error:
        said = str(error)
    assert all(line.startswith("mine.yaml: ") for line in said.splitlines()), said


@settings(max_examples=500)
@given(content=st.binary(max_size=40) | st.text(max_size=40).map(str.encode) | VALUES.map(yaml.dump).map(str.encode))
def test_a_file_is_refused_or_a_configuration(content: bytes, tmp_path_factory: Any) -> None:
    """Tags of YAML that would make Python objects are refused like everything else: a configuration runs no code."""
    path = tmp_path_factory.getbasetemp() / "mine.yaml"
    path.write_bytes(content)
    said = str(path)
    try:
        parse(read(path), str(path))
    except ConfigError as error:
        said = str(error)
    assert str(path) in said


def test_yaml_runs_no_code(tmp_path: Any) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"name: !!python/object/apply:os.system ['touch {tmp_path}/ran']\n")
    with pytest.raises(ConfigError, match="not a YAML file"):
        parse(read(path), str(path))
    assert not (tmp_path / "ran").exists()
