"""`SHA256SUMS`: the hash of every file of a publication, in the format that `sha256sum -c` reads."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from benchmark.files import sha256

NAME = "SHA256SUMS"
_LINE = re.compile(r"(?P<hash>[0-9a-f]{64})  (?P<name>[^/\\\x00-\x1f][^\\\x00-\x1f]*)")


def text(content: Mapping[str, bytes]) -> str:
    """The file's text, for files by name."""
    return "".join(f"{hashlib.sha256(content[name]).hexdigest()}  {name}\n" for name in sorted(content))


def faults(folder: Path) -> list[str]:
    """A line for every file of a publication that is missing, not listed or changed, by its `SHA256SUMS`."""
    listed: dict[str, str] = {}
    try:
        lines = (folder / NAME).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        return [f"{folder / NAME}: cannot be read ({error}); a publication has this file"]
    for number, line in enumerate(lines, 1):
        match = _LINE.fullmatch(line)
        if match is None or ".." in Path(match["name"]).parts or match["name"] in listed:
            return [f"{folder / NAME}, line {number}: expected a hash, two spaces and a file's name, each file once"]
        listed[match["name"]] = match["hash"]
    there = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if not path.is_dir()}
    there.pop(NAME)
    links = sorted(name for name, path in there.items() if path.is_symlink())
    missing, extra = sorted(set(listed) - set(there)), sorted(set(there) - set(listed))
    kept = sorted(set(there) & set(listed) - set(links))
    return [
        *(f"{name}: missing" for name in missing),
        *(f"{name}: not listed in {NAME}" for name in extra),
        *(f"{name}: a link, expected a file" for name in links if name in listed),
        *(f"{name}: changed since it was published" for name in kept if sha256(there[name]) != listed[name]),
    ]
