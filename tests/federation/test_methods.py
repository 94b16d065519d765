"""Loading a method's file: what an author is told."""

from pathlib import Path

import pytest

from benchmark.federation.methods import load

GOOD = '''"""Mine."""

from dataclasses import dataclass

from benchmark.method import Method


@dataclass(frozen=True)
class Mine(Method):
    """FedAvg under my name."""

    strength: float = 0.1
    title = "Mine"
    paper = "none"
'''


def written(folder: Path, text: str) -> Path:
    """A method's file with this text."""
    path = folder / "mine.py"
    path.write_text(text)
    return path


def test_a_file_outside_the_project_becomes_a_method_with_its_settings(tmp_path: Path) -> None:
    """The class's defaults, and what the configuration changes."""
    path = written(tmp_path, GOOD)
    assert load(path, {}).strength == 0.1
    assert load(path, {"strength": 0.7}).strength == 0.7


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("class Mine(Method)", "class Mine"), "exactly one subclass of Method; this one defines none"),
        (('paper = "none"\n', 'paper = "none"\n\n\nclass Other(Mine):\n    """Two."""\n'), "defines Mine, Other"),
        (('    title = "Mine"\n', ""), "Mine needs `title`, a text"),
        (('    paper = "none"\n', ""), "Mine needs `paper`, a text"),
        (('    """FedAvg under my name."""\n', ""), "Mine needs a docstring"),
    ],
)
def test_a_faulty_file_is_an_error_that_names_it(tmp_path: Path, change: tuple[str, str], expected: str) -> None:
    """One line: the file, and what is missing."""
    assert change[0] in GOOD
    path = written(tmp_path, GOOD.replace(*change))
    with pytest.raises(ValueError, match=expected) as caught:
        load(path, {})
    assert str(caught.value).startswith(f"{path}: ")


def test_an_unknown_setting_is_an_error_that_lists_the_known_ones(tmp_path: Path) -> None:
    """With the place in the configuration."""
    with pytest.raises(ValueError, match=r"^method_settings.mine: Mine has no setting lambda; allowed: strength$"):
        load(written(tmp_path, GOOD), {"lambda": 1.0})


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("int", 1.5, "a whole number"),
        ("int", "many", "a whole number"),
        ("int", True, "a whole number"),
        ("float", "much", "a number"),
        ("float", True, "a number"),
        ("bool", 1, "true or false"),
        ("str", 2, "a text"),
    ],
)
def test_a_setting_of_another_type_is_an_error_that_says_what_is_allowed(
    tmp_path: Path, kind: str, value: float | str, expected: str
) -> None:
    """With the place in the configuration, and before anything is computed."""
    path = written(tmp_path, GOOD.replace("strength: float", f"strength: {kind}"))
    with pytest.raises(ValueError, match=rf"^method_settings.mine.strength: allowed is {expected} \(got {value!r}\)$"):
        load(path, {"strength": value})


def test_a_whole_number_is_a_number(tmp_path: Path) -> None:
    assert load(written(tmp_path, GOOD), {"strength": 2}).strength == 2


def test_a_file_that_is_absent_is_an_error_that_names_it(tmp_path: Path) -> None:
    """Also where it is a folder."""
    for path in (tmp_path / "absent.py", tmp_path):
        with pytest.raises(ValueError, match="there is no such Python file"):
            load(path, {})
