"""What a dataset is: discovery, options, and the checks on which every later step relies."""

from pathlib import Path

import pandas as pd
import pytest

from benchmark.data.dataset import (
    Client,
    DataError,
    Dataset,
    Licence,
    Request,
    checked_index,
    find,
    fingerprint,
    names,
    present,
)

GOOD = pd.DataFrame(
    {
        "sample": ["b", "a", "c"],
        "client": ["0", "0", "1"],
        "label": [0, 1, 1],
        "group": ["x", "x", "y"],
        "split": ["train", "test", "train"],
        "path": ["i/b.png", "i/a.png", "j/c.png"],
    }
)


class Fixed(Dataset):
    """A dataset whose index is given."""

    name = "fixed"
    title = "Fixed"
    clients = (Client("0", "first"), Client("1", "second"))
    classes = ("no", "yes")
    licence = Licence("none", "none", "https://example.org")
    homepage = "https://example.org"
    protocols = {"own": "Its own.", "other": "Another."}  # noqa: RUF012
    options = {"scale": 0.5, "side": 8}  # noqa: RUF012

    def __init__(self, table: pd.DataFrame = GOOD) -> None:
        self.table = table

    def prepare(self, request: Request) -> Path:
        return request.folder

    def index(self, root: Path, protocol: str, split_seed: int) -> pd.DataFrame:
        return self.table


def test_every_module_is_a_dataset_of_its_own_name() -> None:
    assert {"camelyon17", "fed_ham10000", "fed_isic2019", "toy_lesions", "toy_slides"} <= set(names())
    for name in names():
        dataset = find(name)
        assert dataset.name == name
        assert [client.id for client in dataset.clients] == sorted({c.id for c in dataset.clients})
        assert dataset.protocol("published") == next(iter(dataset.protocols))


def test_unknown_dataset_is_named_beside_those_that_exist() -> None:
    with pytest.raises(DataError, match=r"no dataset 'fed_isic'; there are: .*fed_isic2019") as error:
        find("fed_isic")
    assert "\n" not in str(error.value)


def test_index_is_sorted_and_whole() -> None:
    table = checked_index(Fixed(), Path(), "published", 0)
    assert table["sample"].tolist() == ["a", "b", "c"]
    assert table["label"].dtype == "int64"


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("sample", ["a", "a", "c"], "listed again: a; name each once$"),
        (
            "client",
            ["0", "0", "7"],
            "^fixed: the client of sample c is '7', expected one of 0, 1$",
        ),
        (
            "label",
            [0, 1, 2],
            "^fixed: the label of sample c is 2, expected a position in `classes`, 0 to 1$",
        ),
        ("position", [0, 1, 2], "^fixed: index.. gives positions of slices, and no column `case` that they are slices"),
        ("label", [0.0, 1.0, 1.0], r"^fixed: labels are float64 \(sample a: 1.0\), expected int64: positions in"),
        ("label", [None, None, None], "^fixed: index.. left label empty for 3 samples: a, b, c$"),
        ("group", ["x", None, "y"], "^fixed: index.. left group empty for 1 samples: a$"),
        (
            "split",
            ["train", "test", "val"],
            "^fixed: the split of sample c is 'val', expected one of test, train, validation$",
        ),
    ],
)
def test_index_that_breaks_its_promise(column: str, values: list[object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        checked_index(Fixed(GOOD.assign(**{column: values})), Path(), "own", 0)


def test_index_without_a_column() -> None:
    with pytest.raises(DataError, match=r"no column group, but sample, client, label, split, path$"):
        checked_index(Fixed(GOOD.drop(columns="group")), Path(), "own", 0)


def test_labels_are_for_those_who_have_them() -> None:
    assert "label" not in checked_index(Fixed(GOOD.drop(columns="label")), Path(), "own", 0)


def test_what_else_an_index_holds_is_for_its_task() -> None:
    table = checked_index(Fixed(GOOD.assign(mask=["m/b.png", None, "m/c.png"])), Path(), "own", 0)
    assert list(table) == ["sample", "client", "label", "group", "split", "path", "mask"]
    assert fingerprint(table) != fingerprint(GOOD)


@pytest.mark.parametrize("other", [{"group": ["x", "z", "y"]}, {"split": ["train", "test", "train"]}])
def test_a_case_is_whole(other: dict[str, list[str]]) -> None:
    sound = GOOD.assign(split="train", case=["v", "v", "w"])
    assert checked_index(Fixed(sound), Path(), "own", 0)["case"].tolist() == ["v", "v", "w"]
    with pytest.raises(DataError, match="cases of several clients, groups or splits: v; part them"):
        checked_index(Fixed(sound.assign(**other)), Path(), "own", 0)


def test_unknown_protocol_and_options() -> None:
    with pytest.raises(DataError, match="no protocol 'fancy'; there are: own, other"):
        Fixed().protocol("fancy")
    assert Fixed().chosen_options({"scale": 1}) == {"scale": 1.0, "side": 8}
    with pytest.raises(DataError, match="no option 'scail'; there are: scale, side"):
        Fixed().chosen_options({"scail": 1})
    for key, value, allowed in (
        ("side", 8.5, "a whole number"),
        ("side", True, "a whole number"),
        ("scale", "a", "a number"),
    ):
        with pytest.raises(DataError, match=rf"options\.{key}: allowed is {allowed} \(got {value!r}\)$"):
            Fixed().chosen_options({key: value})


def test_the_order_of_an_index_decides_nothing(tmp_path: Path) -> None:
    """Images are packed, and hospitals outside learned from, in the order of clients and names."""
    table = checked_index(Fixed(GOOD.iloc[[2, 0, 1]]), tmp_path, "own", 0)
    pd.testing.assert_frame_equal(table, checked_index(Fixed(), tmp_path, "own", 0))
    assert table["sample"].tolist() == ["a", "b", "c"]


def test_fingerprint_sees_labels_but_neither_order_nor_split() -> None:
    same = GOOD.iloc[::-1].assign(split="train", path="elsewhere")
    assert fingerprint(same) == fingerprint(GOOD)
    assert fingerprint(GOOD.assign(label=[1, 1, 1])) != fingerprint(GOOD)
    assert fingerprint(GOOD.assign(group=["x", "z", "y"])) != fingerprint(GOOD)


def test_clients_without_any_image_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "i").mkdir()
    for name in "ab":
        (tmp_path / "i" / f"{name}.png").touch()
    assert present(GOOD, tmp_path, "fixed")["client"].unique().tolist() == ["0"]


def test_client_with_some_images_missing_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "i").mkdir()
    (tmp_path / "i" / "a.png").touch()
    with pytest.raises(DataError, match=r"1 of the 2 images of client 0 are missing .*i/b\.png"):
        present(GOOD, tmp_path, "fixed")


def test_no_image_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no image found below"):
        present(GOOD, tmp_path, "fixed")
