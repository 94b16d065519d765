"""Broken tables, images, packs and settings: each is one clear error or a correct result."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from benchmark.config import FederationSettings
from benchmark.data.dataset import DataError, Dataset, checked_index, find
from benchmark.data.packed import open_training
from benchmark.data.picture import decode
from benchmark.files import read_json
from benchmark.job import as_json

TOKENS = st.sampled_from(
    ["", "0", "-1", "7", "1e99", "nan", "inf", "é", '"', "\n", ",", "../../x", "/etc/x", "train", "\0"]
)
CHANGES = st.lists(
    st.tuples(st.integers(0, 10_000), st.sampled_from(["cell", "line", "byte", "end", "twice"]), TOKENS),
    min_size=1,
    max_size=3,
)
"""Damages of a CSV file: a cell replaced, a line removed, a byte changed, the end cut off, a line doubled."""
PICTURES = {}
for kind in ("JPEG", "PNG"):
    stream = io.BytesIO()
    Image.fromarray(np.arange(40 * 30 * 3, dtype=np.uint8).reshape(30, 40, 3)).save(stream, kind)
    PICTURES[kind] = stream.getvalue()


def damaged(text: str, changes: list[tuple[int, str, str]]) -> bytes:
    """A CSV file with some damages."""
    for position, kind, token in changes:
        lines = text.split("\n")
        number = position % len(lines)
        if kind == "cell":
            cells = lines[number].split(",")
            cells[position % len(cells)] = token
            lines[number] = ",".join(cells)
        elif kind == "line":
            lines.pop(number)
        elif kind == "twice":
            lines.insert(number, lines[number])
        text = "\n".join(lines)
        if kind == "byte" and text:
            at = position % len(text)
            text = text[:at] + token + text[at + 1 :]
        elif kind == "end":
            text = text[: position % (len(text) + 1)]
    return text.encode()


def check(dataset: Dataset, root: Path, protocol: str, sound: pd.DataFrame) -> None:
    """The index of a damaged folder is refused, or keeps its promises; rows that are as before mean what they meant."""
    try:
        table = checked_index(dataset, root, protocol, 0)
    except DataError:
        return
    assert table["sample"].is_unique
    assert set(table["client"]) <= {client.id for client in dataset.clients}
    both = table.merge(sound, on=["sample", "client", "label", "group"], suffixes=("", "_before"))
    assert (both["path"] == both["path_before"]).all()
    assert all((root / path).resolve().is_relative_to(root.resolve()) for path in table["path"])


@pytest.fixture(scope="module")
def copies(
    lesions: Path, slides: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Dataset, Path, pd.DataFrame, dict[str, str]]]:
    """By dataset: itself, a copy of its drawn folder, its sound index, and its tables' texts."""
    found = {}
    for name, folder in (("toy_lesions", lesions), ("toy_slides", slides)):
        root = tmp_path_factory.mktemp(name) / "copy"
        shutil.copytree(folder, root)
        texts = {
            str(p.relative_to(root)): p.read_text() for p in root.rglob("*") if p.suffix in ("", ".csv") and p.is_file()
        }
        found[name] = (find(name), root, checked_index(find(name), root, "published", 0), texts)
    return found


@pytest.mark.parametrize("name", ["toy_lesions", "toy_slides"])
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(which=st.integers(0, 10), changes=CHANGES)
def test_damaged_tables_are_refused_or_harmless(
    copies: dict[str, tuple[Dataset, Path, pd.DataFrame, dict[str, str]]],
    name: str,
    which: int,
    changes: list[tuple[int, str, str]],
) -> None:
    dataset, root, sound, texts = copies[name]
    file = sorted(texts)[which % len(texts)]
    (root / file).write_bytes(damaged(texts[file], changes))
    try:
        for protocol in dataset.protocols:
            check(dataset, root, protocol, sound)
    finally:
        (root / file).write_text(texts[file])


@settings(max_examples=500)
@given(
    kind=st.sampled_from(sorted(PICTURES)),
    position=st.integers(0, 10_000),
    value=st.integers(0, 255),
    end=st.integers(0, 10_000),
    size=st.sampled_from([16, 33]),
    resize=st.sampled_from(["crop", "squash"]),
)
def test_a_damaged_image_is_refused_or_an_image(
    tmp_path_factory: pytest.TempPathFactory, kind: str, position: int, value: int, end: int, size: int, resize: str
) -> None:
    """`pack` names the files whose decoding ends with one of these errors."""
    content = bytearray(PICTURES[kind])
    content[position % len(content)] = value
    path = tmp_path_factory.getbasetemp() / "picture"
    path.write_bytes(content[: end % (2 * len(content))] or b"x")
    try:
        image = decode(path, size, resize)
    except (OSError, ValueError, SyntaxError):
        return
    assert image.shape == (size, size, 3)
    assert image.dtype == np.uint8


@settings(max_examples=300)
@given(content=st.one_of(st.binary(max_size=60), st.text(max_size=60).map(str.encode)))
def test_what_is_no_json_is_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "manifest.json"
    path.write_bytes(content)
    said = "delete it and run again"
    try:
        read_json(path)
    except ValueError as error:
        said = str(error)
    assert "delete it and run again" in said


@settings(max_examples=500)
@given(
    text=st.one_of(
        st.text(max_size=40),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["federation", "clients", "x"]), inner)
            ),
        ).map(json.dumps),
    )
)
def test_settings_that_are_none_are_refused(text: str) -> None:
    said = ""
    try:
        assert isinstance(as_json(FederationSettings).instance_from_str([text]), FederationSettings)
    except ValueError as error:
        said = str(error)
    assert "\n" not in said


@settings(max_examples=300)
@given(
    file=st.sampled_from(["train.npy", "train.targets.npy", "train.parquet"]),
    position=st.integers(0, 100_000),
    end=st.integers(0, 100_000),
)
def test_a_damaged_pack_is_refused_or_of_its_shape(
    tmp_path_factory: pytest.TempPathFactory, file: str, position: int, end: int
) -> None:
    folder = tmp_path_factory.getbasetemp() / "pack"
    folder.mkdir(exist_ok=True)
    np.save(folder / "train.npy", np.zeros((3, 4, 4, 3), dtype=np.uint8))
    np.save(folder / "train.targets.npy", np.arange(3))
    pd.DataFrame({"sample": ["a", "b", "c"], "label": [0, 1, 2]}).to_parquet(folder / "train.parquet")
    content = bytearray((folder / file).read_bytes())
    content[position % len(content)] ^= 0xFF
    (folder / file).write_bytes(content[: end % (2 * len(content))])
    said = "pack it again"
    try:
        split = open_training(folder)
        assert len(split.images) == len(split.targets) == len(split.table) == 3
    except DataError as error:
        said = str(error)
    assert "pack" in said


def test_a_table_cannot_name_files_outside_its_folder(lesions: Path, tmp_path: Path) -> None:
    """An image's name with `..` in it leads nowhere, even where such a file exists."""
    root = tmp_path / "a/copy"
    shutil.copytree(lesions, root)
    table = next(path for path in root.rglob("train_test_split*"))
    text = table.read_text()
    image = text.splitlines()[1].split(",")[0]
    shutil.copy(next(root.rglob(f"{image}.jpg")), tmp_path / "a/outside.jpg")
    table.write_text(text.replace(image, "../../outside", 1))
    with pytest.raises(DataError, match="outside"):
        checked_index(find("toy_lesions"), root, "published", 0)
