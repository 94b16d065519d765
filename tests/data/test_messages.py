"""What the author of a dataset module reads, in the example of the documentation: which value is wrong, and where."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.data import dataset as module
from benchmark.data.dataset import DataError, Dataset, checked_index, find
from tests.data.test_contract import clinics, documented


def said(folder: Path, change: Callable[[str], str], dataset: Dataset | None = None) -> str:
    """The error of the documented dataset on a folder whose CSV file is changed, without the folder's name."""
    own = folder / "own"
    own.mkdir()
    table = clinics(own) / "images.csv"
    table.write_text(change(table.read_text()))
    with pytest.raises(DataError) as caught:
        checked_index(dataset or documented("my_clinics", folder), own, "published", 0)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(str(folder), "DATA")


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (
            "north_0_1.png,malignant,",
            "north_0_1.png,Malignant,",
            "DATA/own/images.csv, line 3: label is 'Malignant', expected one of benign, malignant",
        ),
        (
            ",south,",
            ",South,",
            "DATA/own/images.csv, line 22 and 19 more: site is 'South', expected one of north, south, west",
        ),
        (
            "image,label,site,patient",
            "image,label,clinic,person",
            "DATA/own/images.csv: no column site, patient; it has image, label, clinic, person, mask",
        ),
        (
            "north_0_0.png,benign,north,north 0",
            "north_0_0.png,benign,north,",
            "DATA/own/images.csv, line 2: patient is empty; give every row a value",
        ),
        (
            "north_0_0.png,",
            "north_0_9.png,",
            "my_clinics: 1 of the 20 images of client 0 are missing below DATA/own: north_0_9.png; complete the copy, "
            "or remove the client's images altogether to go without it",
        ),
        (
            "north_0_0.png,",
            "north_0_1.png,",
            "my_clinics: 1 samples are listed again: north_0_1.png; name each once",
        ),
    ],
)
def test_a_fault_of_the_table_names_value_and_place(tmp_path: Path, old: str, new: str, line: str) -> None:
    assert said(tmp_path, lambda text: text.replace(old, new)) == line


def test_the_example_with_masks_names_the_line_too(tmp_path: Path) -> None:
    found = said(tmp_path, lambda text: text.replace(",south,", ",South,"), documented("my_outlines", tmp_path))
    assert found == "DATA/own/images.csv, line 22 and 19 more: site is 'South', expected one of north, south, west"


def test_a_table_that_is_absent_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"images\.csv: cannot be read as CSV: .*No such file"):
        checked_index(documented("my_clinics", tmp_path), tmp_path, "published", 0)


def test_an_error_in_a_module_names_its_line(tmp_path: Path) -> None:
    """Whatever pandas says of it."""
    broken = documented("my_clinics", tmp_path, 'rows["patient"]', 'rows["person"]')
    lines = (tmp_path / "my_clinics.py").read_text().splitlines()
    line = next(number for number, text in enumerate(lines, 1) if '"person"' in text)
    assert said(tmp_path, str, broken) == f"DATA/my_clinics.py:{line}: in index(): KeyError: 'person'"


@pytest.fixture
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Puts a module beside those of the project."""
    folder = tmp_path / "datasets"
    folder.mkdir()
    package = importlib.import_module("benchmark.data.datasets")
    monkeypatch.setattr(package, "__path__", [str(folder)])
    monkeypatch.setattr(module, "__file__", str(tmp_path / "dataset.py"))

    def add(name: str, text: str) -> Path:
        path = folder / f"{name}.py"
        path.write_text(text)
        importlib.invalidate_caches()
        monkeypatch.delitem(sys.modules, f"benchmark.data.datasets.{name}", raising=False)
        return path

    return add


def example(folder: Path) -> str:
    documented("my_clinics", folder)
    return (folder / "my_clinics.py").read_text()


def test_a_name_that_differs_from_the_file_is_named(tmp_path: Path, added: Callable[[str, str], Path]) -> None:
    path = added("clinics", example(tmp_path))
    with pytest.raises(DataError) as caught:
        find("clinics")
    assert str(caught.value) == (
        f"{path}: `name` is 'my_clinics', expected 'clinics', as the file is called; change one of them"
    )


@pytest.mark.parametrize(
    ("old", "new", "end"),
    [
        ("DATASET = ", "DATASETS = ", ": defines no DATASET; end the module with `DATASET = MyDataset()`"),
        ("    classes = ", "    clases = ", ": MyClinics does not say classes; see `Dataset`"),
        ("import pandas as pd", "import pandaz as pd", ":5: while it was loaded: ModuleNotFoundError: No module"),
        (
            "class MyClinics(Dataset):",
            "class MyClinics(Dataset)",
            ":11: while it was loaded: SyntaxError: expected",
        ),
    ],
)
def test_a_module_that_cannot_be_used_says_why(
    tmp_path: Path, added: Callable[[str, str], Path], old: str, new: str, end: str
) -> None:
    text = example(tmp_path)
    assert old in text
    path = added("my_clinics", text.replace(old, new))
    with pytest.raises(DataError) as caught:
        find("my_clinics")
    assert str(caught.value).startswith(f"{path}{end}")
    assert "\n" not in str(caught.value)
