"""The schema of the configurations, its tables, and the files that name it: all of one mind with the code."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from benchmark.commands.schema import README, SCHEMA, as_json, schema, with_tables
from benchmark.config import Config, ConfigError, parse
from benchmark.plan import Plan
from benchmark.sources import ROOT

SHIPPED = sorted((ROOT / "config").glob("*.yaml"))
SMALLEST: dict[str, Any] = {"name": "small", "federations": {"toy_lesions": {}}, "rates": ["1e-3"], "rounds": 2}


def refused(values: Mapping[str, Any]) -> bool:
    """Whether the schema refuses a configuration; the code must be of the same mind."""
    found = not Draft202012Validator(schema()).is_valid(values)
    try:
        parse(values)
    except ConfigError:
        assert found
    else:
        assert not found
    return found


def test_the_files_are_what_the_command_writes() -> None:
    """Run `python -m benchmark schema` after a change of the settings."""
    text = (ROOT / README).read_text(encoding="utf-8")
    assert (ROOT / SCHEMA).read_text(encoding="utf-8") == as_json(schema())
    assert text == with_tables(text, schema())


def test_every_setting_is_described_in_both() -> None:
    """By its own sentence, or, for a group of settings, by the group's."""
    models = {"": schema(), **schema()["$defs"]}
    text = (ROOT / README).read_text(encoding="utf-8")
    for model in models.values():
        for name, setting in model["properties"].items():
            described = setting if "description" in setting else models[setting["$ref"].rpartition("/")[2]]
            assert described["description"] in text.replace("&#124;", "|"), name
    assert set(models[""]["properties"]) == set(Config.model_fields)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_configuration_names_the_schema_and_keeps_it(path: Path) -> None:
    """And the README says what it is."""
    text = path.read_text(encoding="utf-8")
    assert text.startswith(f"# yaml-language-server: $schema={SCHEMA.name}\n")
    assert not refused(yaml.safe_load(text))
    assert f"[{path.name}]({path.name})" in (ROOT / README).read_text(encoding="utf-8")


def test_the_configuration_of_the_readme_can_be_planned() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", (ROOT / README).read_text(encoding="utf-8"), re.DOTALL)
    assert not refused(yaml.safe_load(block))
    assert len(Plan.of(yaml.safe_load(block)).federations) == 2


@pytest.mark.parametrize(
    ("changes", "bad"),
    [
        ({"round": 3}, True),
        ({"rounds": 0}, True),
        ({"rates": [0.001, "5e-3"]}, False),
        ({"lanes": 2}, False),
        ({"lanes": "auto"}, False),
        ({"lanes": 0}, True),
        ({"lanes": "many"}, True),
        ({"head": "mine"}, True),
        ({"training": {"momentun": 0.9}}, True),
        ({"training": {"optimiser": {"momentum": 1.0}}}, True),
        ({"federations": {"toy_lesions": {"size": 48}}}, True),
        ({"federations": {"toy_lesions": {"options": {"scale": 0.1}}}}, False),
        ({"method_settings": {"ditto": {"strength": 0.1}}}, False),
        ({"method_settings": {"ditto": {"strength": [0.1]}}}, True),
    ],
)
def test_the_schema_refuses_what_the_code_refuses(changes: dict[str, Any], bad: bool) -> None:
    assert refused({**SMALLEST, **changes}) is bad


def test_a_readme_without_a_place_for_the_tables_is_refused() -> None:
    with pytest.raises(ValueError, match=r"config/README.md: expected one line <!-- settings"):
        with_tables("# Configurations\n", schema())


def test_every_reference_of_the_schema_leads_somewhere() -> None:
    def references(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            yield from (value[key] for key in value if key == "$ref")
            value = list(value.values())
        if isinstance(value, list):
            for inner in value:
                yield from references(inner)

    found = json.loads(as_json(schema()))
    assert set(references(found)) == {f"#/$defs/{name}" for name in found["$defs"]}
