"""Shards of a sweep: who trains which lane, and that a row's job tells what became of each."""

from pathlib import Path

import pytest

from benchmark.federation.shard import FOLDER, share
from benchmark.files import read_json
from tests.federation.jobs import Workplace, assert_equal_runs, origins, runs


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_every_lane_is_in_one_shard(count: int) -> None:
    """In their order, in shares that differ by one lane at most."""
    shares = [share(range(7), f"{number}/{count}") for number in range(1, count + 1)]
    assert [lane for own in shares for lane in own] == list(range(7))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("text", ["", "2", "0/2", "3/2", "1/0", "-1/2", "1/2/3"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no shard: expected K/N"):
        share([], text)


def test_what_shards_train_is_what_one_job_trains(place: Workplace, tmp_path: Path) -> None:
    """To the bit where lanes train one at a time. Where each came from, and its memory, is told as its shard said.

    The lane of the first shard was in the store already; a shard without any lane has nothing to do.
    """
    output, store = tmp_path / "runs", tmp_path / "store"
    assert place.train(tmp_path / "before", store=store, rates=["1e-1"]) == 0
    for number in (1, 2, 3):
        own = output / FOLDER / f"{number}of3"
        assert place.train(own, "--shard", f"{number}/3", store=store) == 0
        assert not runs(own)
    said = {k: v for path in output.glob(f"{FOLDER}/*/lanes.json") for k, v in read_json(path).items()}
    assert place.train(output, store=store) == 0
    assert origins(output) == {"lr=1e-1/seed=0": "store", "lr=2e-2/seed=0": "trained"}
    for folder in runs(output).values():
        about = read_json(folder / "run.json")
        assert about["costs"]["peak_memory_bytes"] == said[about["hashes"]["lane"]]["memory"] > 1 << 20
    assert not (output / FOLDER).exists()
    assert place.train(tmp_path / "alone", lanes=1) == 0
    assert_equal_runs(output, tmp_path / "alone")


def test_a_lane_that_no_shard_has_trained_is_trained_by_the_job(place: Workplace, tmp_path: Path) -> None:
    """So that a shard whose lanes were lost costs time and nothing else."""
    output, store = tmp_path / "runs", tmp_path / "store"
    assert place.train(output / FOLDER / "2of2", "--shard", "2/2", store=store) == 0
    assert place.train(output, store=store) == 0
    assert origins(output) == {"lr=1e-1/seed=0": "trained", "lr=2e-2/seed=0": "trained"}
