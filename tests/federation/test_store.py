"""Only what is new is trained, and two who want the same do it once."""

import os
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.federation.engine import State
from benchmark.federation.store import Record, Store
from benchmark.lock import held
from tests.federation.jobs import Workplace, assert_equal_runs, copied, origins
from tests.federation.small import same

RECORD = Record(
    State(
        2,
        {"a": torch.arange(6.0).view(2, 1, 3), "norm.running_var": torch.full((2, 1, 3), 0.5)},
        {"m": torch.ones(2, 1)},
        {"mean:a": torch.arange(6.0, 12.0).view(2, 1, 3), "steps:a": torch.full((2, 1), 4.0, dtype=torch.float64)},
    ),
    [{"round": 1}],
    0.5,
    ["k"],
    {"north": torch.arange(12).view(2, 2, 3)},
    {"a": torch.arange(3.0)},
)


def assert_kept(found: Record) -> None:
    """Leaves and buffers, memory, optimiser, counts and common model to the bit; history, seconds and company."""
    pairs = [(found.state.kinds[kind], own) for kind, own in RECORD.state.kinds.items()]
    for kept, expected in [*pairs, (found.counts, RECORD.counts), (found.common, RECORD.common)]:
        assert {name: own.dtype for name, own in kept.items()} == {name: own.dtype for name, own in expected.items()}
        assert same(kept, expected)
    assert (found.state.round, found.history, found.seconds, found.together) == (2, [{"round": 1}], 0.5, ["k"])


@pytest.fixture(scope="module")
def filled(place: Workplace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store after one training of two rates."""
    store = tmp_path_factory.mktemp("filled") / "store"
    assert place.train(store.parent / "runs", store=store, rounds=2) == 0
    return store


@pytest.fixture
def store(filled: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    shutil.copytree(filled, tmp_path / "store")
    return tmp_path / "store"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {"store": 2}),
        ({"rates": ["2e-2", "5e-2", "1e-1"]}, {"store": 2, "trained": 1}),
        ({"rates": ["0.1"]}, {"store": 1}),
        ({"seeds": [0, 1]}, {"store": 2, "trained": 2}),
        ({"rounds": 3}, {"resumed": 2}),
        ({"rounds": 1}, {"resumed": 2}),
        ({"federations": {"hospitals": {"dataset": "toy_lesions", "clients": ["east", "north"]}}}, {"trained": 2}),
        (
            {"federations": {"hospitals": {"dataset": "toy_lesions", "clients": ["east", "south", "north"]}}},
            {"store": 2},
        ),
        ({"training": {"batch_size": 9}}, {"trained": 2}),
        ({"title": "Another", "lanes": 1, "checkpoint_every": 3}, {"store": 2}),
    ],
)
def test_only_what_is_new_is_trained(
    place: Workplace, store: Path, tmp_path: Path, changes: dict, expected: dict[str, int]
) -> None:
    """As `docs/store.md` promises, told by `origin`."""
    assert place.train(tmp_path / "runs", store=store, **{"rounds": 2, **changes}) == 0
    found = list(origins(tmp_path / "runs").values())
    assert {origin: found.count(origin) for origin in set(found)} == expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("title =", "# A comment.\n    title =", "store"),
        ('title = "FedIT"', 'title = "FedIT"\n    head = "personal"', "trained"),
    ],
)
def test_a_method_is_trained_again_when_it_computes_something_else(
    place: Workplace, store: Path, tmp_path: Path, old: str, new: str, expected: str
) -> None:
    edited = copied(place, tmp_path / "methods", old, new)
    assert edited.train(tmp_path / "runs", store=store, rounds=2) == 0
    assert set(origins(tmp_path / "runs").values()) == {expected}


def test_a_renamed_method_is_not_trained_again(place: Workplace, store: Path, tmp_path: Path) -> None:
    shutil.copy(place.method, tmp_path / "local.py")
    assert Workplace(place.folder, tmp_path / "local.py").train(tmp_path / "runs", store=store, rounds=2) == 0
    assert set(origins(tmp_path / "runs").values()) == {"store"}


def test_two_jobs_that_want_the_same_lanes_train_them_once(place: Workplace, tmp_path: Path) -> None:
    """Into folders of their own, from one store: each result is trained by one job and found by the other."""
    store, folders = tmp_path / "store", [tmp_path / "a", tmp_path / "b"]
    for child in [place.start(folder, store=store) for folder in folders]:
        assert os.waitpid(child, 0)[1] == 0
    assert sorted(origins(folders[0]).values()) != sorted(origins(folders[1]).values())
    assert {*origins(folders[0]).values(), *origins(folders[1]).values()} == {"trained", "store"}
    assert_equal_runs(*folders)


def test_a_job_waits_for_an_older_one_that_writes_the_same_files(place: Workplace, tmp_path: Path) -> None:
    """An older job that outlives its Snakemake cannot overwrite what a newer one, of an edited method, writes."""
    edited, output = copied(place, tmp_path / "methods", "title =", 'head = "personal"\n    title ='), tmp_path / "runs"
    with held(output / ".lock", "this test"):
        child = edited.start(output, rounds=1)
        assert os.waitpid(child, os.WNOHANG) == (0, 0)
        assert place.train(tmp_path / "elsewhere", rounds=1) == 0
        assert os.waitpid(child, os.WNOHANG) == (0, 0)
        assert not origins(output)
    assert os.waitpid(child, 0)[1] == 0
    assert "waiting for the folder" in (tmp_path / "runs.log").read_text()
    assert set(origins(output).values()) == {"trained"}


def test_deleting_the_store_loses_time_alone(place: Workplace, store: Path, tmp_path: Path) -> None:
    shutil.rmtree(store)
    assert place.train(tmp_path / "runs", store=store, rounds=2) == 0
    assert set(origins(tmp_path / "runs").values()) == {"trained"}


def test_what_is_kept_is_what_is_read(tmp_path: Path) -> None:
    """State, optimiser, history, seconds and company, to the bit."""
    Store(tmp_path).finish("key", RECORD)
    found = Store(tmp_path).finished("key", 2)
    assert found is not None
    assert_kept(found)


@settings(max_examples=1000)
@given(
    position=st.integers(0, 10_000),
    value=st.integers(0, 255),
    end=st.integers(0, 10_000),
    junk=st.binary(max_size=20),
)
def test_a_damaged_checkpoint_is_never_believed(
    tmp_path_factory: pytest.TempPathFactory, position: int, value: int, end: int, junk: bytes
) -> None:
    """Any byte changed, any end cut off, anything appended: the very record, or it is set aside."""
    store = Store(tmp_path_factory.mktemp("store"))
    store.finish("key", RECORD)
    (path,) = store.folder.rglob("*.safetensors")
    content = bytearray(path.read_bytes())
    content[position % len(content)] = value
    content = content[: max(end % (2 * len(content)), 0)] + junk
    sound = bytes(content) == path.read_bytes()
    path.write_bytes(content)
    found = store.finished("key", 2)
    if found is None:
        assert not sound
        assert path.with_suffix(".damaged").is_file()
    else:
        assert_kept(found)
    shutil.rmtree(store.folder)
