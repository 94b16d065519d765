"""Archives whose bytes depend on their content alone."""

import os
from pathlib import Path

import pytest

from benchmark import archive


def test_equal_content_is_equal_bytes(tmp_path: Path) -> None:
    """In whatever order it is given, whenever it is written, under whatever mask."""
    content = {"b/two": b"2" * 1000, "a": b"", "b/one": bytes(range(256))}
    archive.write(tmp_path / "one.zip", content)
    before = os.umask(0o077)
    archive.write(tmp_path / "two.zip", dict(reversed(content.items())))
    os.umask(before)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    assert archive.read(tmp_path / "one.zip") == content
    assert archive.read(tmp_path / "one.zip", "a") == {"a": b""}


def test_what_is_no_whole_archive_is_named(tmp_path: Path) -> None:
    path = tmp_path / "one.zip"
    archive.write(path, {"a": b"x" * 1000})
    with pytest.raises(ValueError, match=r"one\.zip: damaged"):
        archive.read(path, "b")
    whole = path.read_bytes()
    path.write_bytes(whole[:31] + bytes(8) + whole[39:])
    with pytest.raises(ValueError, match=r"one\.zip: damaged"):
        archive.read(path)
    path.write_bytes(whole[:50])
    with pytest.raises(ValueError, match=r"one\.zip: damaged"):
        archive.read(path)
