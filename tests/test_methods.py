"""Which methods there are, found in folders made by hand."""

from pathlib import Path

import pytest

from benchmark.config import ConfigError
from benchmark.methods import Methods, discovered, method_file
from benchmark.sources import ROOT


def written(root: Path, *files: str) -> Path:
    """A project with these files in `methods/`, all of them empty."""
    for file in files:
        path = root / "methods" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def test_a_folder_is_a_group_and_other_files_are_ones_own(tmp_path: Path) -> None:
    """What begins with an underscore or a dot is passed over; a folder without methods is no group."""
    files = ("mine.py", "_template.py", "__init__.py", "sam/b.py", "sam/a.py", "sam/__init__.py", "sam/notes.txt")
    assert discovered(written(tmp_path, *files, "old/__pycache__/c.pyc", "_old/d.py", ".saved/e.py")) == Methods(
        files={"mine": "methods/mine.py", "a": "methods/sam/a.py", "b": "methods/sam/b.py"},
        groups={"sam": ["a", "b"]},
        own=["mine"],
    )


@pytest.mark.parametrize(
    ("named", "own", "chosen"),
    [
        (None, None, ["a", "b", "c", "mine", "other"]),
        (None, ["mine"], ["a", "b", "c", "mine"]),
        (["second"], None, ["c", "mine", "other"]),
        (["second", "a"], [], ["a", "c"]),
        (["first", "a"], [], ["a", "b"]),
        ([], ["other"], ["other"]),
    ],
)
def test_groups_and_methods_are_named_in_one_list(
    tmp_path: Path, named: list[str] | None, own: list[str] | None, chosen: list[str]
) -> None:
    """And one's own files come on top."""
    files = ("mine.py", "other.py", "first/b.py", "first/a.py", "second/c.py")
    assert discovered(written(tmp_path, *files)).chosen(named, own) == chosen


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (("a.py", "one/a.py"), "methods/a.py and methods/one/a.py: two methods of one name; rename one of the files"),
        (("one/a.py", "two/a.py"), "methods/one/a.py and methods/two/a.py: two methods of one name; rename one of"),
        (("one.py", "one/a.py"), "methods/one.py and the folder methods/one: a method and a group of one name; rename"),
        (("one/a.py", "two/one.py"), "methods/two/one.py and the folder methods/one: a method and a group of one name"),
    ],
)
def test_one_name_is_one_thing(tmp_path: Path, files: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError, match=f"^{said}"):
        discovered(written(tmp_path, *files))


def test_the_file_of_a_method_is_found_by_its_name() -> None:
    assert (ROOT / method_file("fedit")).is_file()
    with pytest.raises(ConfigError, match=r"there is no method fedits; did you mean fedit\?"):
        method_file("fedits")
