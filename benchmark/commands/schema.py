"""What editors and people read of the settings, written from the code that validates them.

`config/config.schema.json` lets an editor complete, explain and check a configuration; the tables of
`config/README.md` say the same to people.
"""

import ast
import inspect
import json
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from benchmark.config import Config

SCHEMA, README = Path("config/config.schema.json"), Path("config/README.md")
BEGIN, END = "<!-- settings, written by `python -m benchmark schema` -->", "<!-- end of the settings -->"
"""Lines of the README between which the tables stand."""
_KINDS = {
    "object": "settings",
    "number": "number",
    "integer": "whole number",
    "string": "text",
    "boolean": "`true`, `false`",
    "null": "`null`",
}
_BOUNDS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}


def write() -> int:
    """Write down what settings there are, in the schema and the README's tables, once the code's have changed."""
    found = schema()
    SCHEMA.write_text(as_json(found), encoding="utf-8")
    README.write_text(with_tables(README.read_text(encoding="utf-8"), found), encoding="utf-8")
    print(f"{SCHEMA} and the tables of {README} are those of benchmark/config.py")
    return 0


def schema() -> dict[str, Any]:
    """The JSON schema of a configuration; the classes' docstrings say what each setting does."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Config.model_json_schema(schema_generator=_Documented),
    }


def as_json(schema: Mapping[str, Any]) -> str:
    """The schema as its file holds it."""
    return json.dumps(schema, indent=2) + "\n"


def with_tables(text: str, schema: Mapping[str, Any]) -> str:
    """A README with the tables of a schema's settings in place of an earlier schema's."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end or BEGIN in rest:
        raise ValueError(f"{README}: expected one line {BEGIN} and below it one line {END}")
    tables = "\n".join(_section(schema, place, model) for place, model in _models(schema, "", schema))
    return f"{before}{begin}\n\n{tables}\n{end}{after}"


class _Documented(GenerateJsonSchema):
    """Describes models and their fields with the docstrings that stand below them."""

    def model_schema(self, schema: Any) -> dict[str, Any]:
        found, kind = super().model_schema(schema), schema["cls"]
        own = [name for name in found["properties"] if name in kind.__annotations__]
        found["properties"] = {name: found["properties"][name] for name in [*own, *found["properties"]]}
        found["description"] = " ".join(kind.__doc__.split())
        for cls in (kind, *kind.__bases__):
            (tree,) = ast.parse(inspect.getsource(cls)).body
            for field, said in pairwise(tree.body):  # type: ignore[attr-defined]
                if isinstance(field, ast.AnnAssign) and isinstance(said, ast.Expr):
                    words = " ".join(ast.literal_eval(said.value).split())
                    found["properties"][field.target.id]["description"] = words  # type: ignore[union-attr]
        return found

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False  # A title would repeat the name.


def _models(schema: Mapping[str, Any], place: str, model: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every group of settings by its place in a configuration, the outer ones first."""
    yield place, model
    for name, setting in model["properties"].items():
        for below, inner in _groups(setting, f"{place}{name}."):
            yield from _models(schema, below, _referred(schema, inner))


def _groups(setting: Mapping[str, Any], place: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The groups of settings that a setting is or may be."""
    if "$ref" in setting:
        yield place, setting
    for one in (*setting.get("anyOf", ()), *setting.get("oneOf", ())):
        yield from _groups(one, place)
    for one in setting.get("patternProperties", {}).values():  # By a name that the user chooses.
        yield from _groups(one, f"{place}NAME.")


def _section(schema: Mapping[str, Any], place: str, model: Mapping[str, Any]) -> str:
    """A group of settings as a heading, a sentence and a table."""
    rows = [
        f"| `{place}{name}` | {_allowed(setting)} | {_default(setting, name in model.get('required', ()))} "
        f"| {_effect(schema, setting)} |"
        for name, setting in model["properties"].items()
    ]
    heading = f"### `{place.rstrip('.')}`" if place else "### At the top"
    lines = [heading, "", model["description"], "", "| setting | allowed | default | effect |", "|:--|:--|:--|:--|"]
    return "\n".join([*lines, *rows, ""])


def _allowed(setting: Mapping[str, Any]) -> str:
    """What may be given: values, or a type and its bounds."""
    if "enum" in setting or "const" in setting:
        return ", ".join(f"`{value}`" for value in setting.get("enum", [setting.get("const")]))
    if either := setting.get("anyOf") or setting.get("oneOf"):
        return " or ".join(dict.fromkeys(map(_allowed, either)))
    bounds = [f"{sign} {setting[key]:g}" for key, sign in _BOUNDS.items() if key in setting]
    if setting.get("type") == "array":
        return (
            f"list of {', '.join(dict.fromkeys(map(_allowed, setting.get('prefixItems', [setting.get('items', {})]))))}"
        )
    return " ".join(filter(None, [_KINDS[setting.get("type", "object")], " and ".join(bounds)]))


def _effect(schema: Mapping[str, Any], setting: Mapping[str, Any]) -> str:
    """What a setting does; of a group of settings, what it is."""
    described = setting if "description" in setting else _referred(schema, setting)
    return str(described["description"]).replace("|", "&#124;")


def _referred(schema: Mapping[str, Any], setting: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = schema["$defs"][setting["$ref"].rpartition("/")[2]]
    return found


def _default(setting: Mapping[str, Any], required: bool) -> str:
    if required:
        return "**required**"
    return "see below" if "$ref" in setting else f"`{json.dumps(setting['default'])}`"
