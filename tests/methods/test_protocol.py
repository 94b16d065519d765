"""What docs/protocol.md says of settings and methods is what the configuration and the files say."""

import re
from typing import Any

import pytest
import yaml

from benchmark.config import Config, FederationSettings
from benchmark.methods import discovered
from benchmark.tasks import task
from tests.federation.small import METHODS, ROOT, method

TEXT = (ROOT / "docs/protocol.md").read_text(encoding="utf-8")
SHIPPED = [name for group in discovered().groups.values() for name in group]


def section(heading: str) -> str:
    """What stands below a heading, down to the next."""
    return re.split(r"\n#+ ", TEXT.split(f"{heading}\n", 1)[1], maxsplit=1)[0]


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table of a section, without its head."""
    table = [line for line in section(heading).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table[2:]]


def value(config: Config, path: str) -> Any:
    """What a configuration has at a path; KeyError where there is no such setting."""
    first, *rest = path.split(".")
    if first == "federations":
        assert rest[-1] in FederationSettings.model_fields, path
        return getattr(next(iter(config.federations.values())), rest[-1])
    if first == "tasks":
        return {**task.find(rest[0]).defaults, **config.tasks.get(rest[0], {})}[rest[1]]
    found: Any = config
    for name in path.split("."):
        if name not in type(found).model_fields:
            raise KeyError(path)
        found = getattr(found, name)
    return found


CONFIGS = {
    name: Config.model_validate(yaml.safe_load((ROOT / f"config/{name}.yaml").read_text(encoding="utf-8")))
    for name in ("paper", "paper_likely", "flap_sam")
}
FLAP_SAM = "## FLAP-SAM's protocol"
TABLES = {
    **dict.fromkeys(("## Data", "## Model", "## Federation and optimisation", "## Selection and tables"), "paper"),
    FLAP_SAM: "flap_sam",
}
"""By the heading that a table stands under, the configuration whose values it says."""
SETTINGS = [
    (config, path, row[1])
    for heading, config in TABLES.items()
    for row in rows(heading)
    for path in re.findall(r"`([^`]+)`", row[0].partition("=")[0])
]


@pytest.mark.parametrize(("config", "path", "said"), SETTINGS, ids=[f"{config}:{path}" for config, path, _ in SETTINGS])
def test_every_setting_that_is_named_exists_with_the_value_that_is_named(config: str, path: str, said: str) -> None:
    """The value, or the first of several settings' values, is that of the configuration or its default."""
    group = path.rpartition(".")[0]
    full = path if path.split(".")[0] in Config.model_fields else f"training.optimiser.{path}"
    found = value(CONFIGS[config], full)
    if isinstance(found, str):
        assert found in re.sub(r"\s", " ", said), (group, found)
    elif isinstance(found, int | float) and not isinstance(found, bool):
        numbers = [float(number) for number in re.findall(r"(?<![\w.])\d+(?:\.\d+)?(?:e-?\d+)?", said)]
        assert not numbers or float(found) in numbers or round(100 * found) in numbers, (path, found, said)


@pytest.mark.parametrize("heading", TABLES)
def test_every_value_is_published_of_the_code_or_chosen(heading: str) -> None:
    """One of the three words, or two where parts of a value are from here and from there."""
    for row in rows(heading):
        assert len(row) == 4, row
        words = set(re.findall(r"\b(published|code|chosen)\b", row[2]))
        assert 1 <= len(words) <= 2, row


def test_the_likely_settings_are_those_of_the_two_files() -> None:
    """Each cell begins with its value."""
    for path, ours, likely, _ in rows("## What the authors probably ran"):
        for said, config in ((ours, CONFIGS["paper"]), (likely, CONFIGS["paper_likely"])):
            found = value(config, path.strip("`"))
            if path == "`federations.camelyon17.image_size`":
                found = config.federations["camelyon17"].image_size
            expected = ", ".join(found) if isinstance(found, tuple) else str(found)
            assert said.replace("`", "").startswith(expected), path


def test_every_method_is_described_and_its_head_is_where_its_file_puts_it() -> None:
    """Rows of the project's own groups; a user's file needs no line."""
    described = {name for row in rows("## Methods") for name in re.findall(r"`(\w+)`", row[0])}
    assert set(SHIPPED) == described
    said = {key: set(re.findall(r"`(\w+)`", cell)) - {"head"} for key, cell in rows("### Whose head")}
    fixed = {name: method(name).head for name in SHIPPED}
    assert said["personal, fixed"] == {name for name, head in fixed.items() if head == "personal"}
    assert said["shared, fixed"] == {name for name, head in fixed.items() if head == "shared"}
    assert said["as `head` says"] == {name for name, head in fixed.items() if head is None}


def test_what_methods_need_and_how_they_average_is_what_their_files_say() -> None:
    """And that nobody else averages uniformly."""
    said = {row[0]: set(re.findall(r"`(\w+)`", row[1])) for row in rows("### What a method needs")}
    assert said["need `lora` in `trains`"] == {name for name in SHIPPED if "lora" in method(name).needs}
    assert said["always train `lora` and `head`"] == {n for n in SHIPPED if method(n).trains == ("lora", "head")}
    assert said["always train `head` alone"] == {n for n in SHIPPED if method(n).trains == ("head",)}
    (averaging,) = (row for row in rows("## Federation and optimisation") if row[0] == "`averaging`")
    uniform = {name for name in METHODS if method(name).averaging == "uniform"} & set(SHIPPED)
    assert uniform == set(re.findall(r"`(\w+)`", averaging[3])) & set(SHIPPED)
