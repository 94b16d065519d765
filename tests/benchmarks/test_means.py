"""The benchmark of single means."""

import sys

import pytest

from benchmarks import means


def test_a_means_is_measured_with_and_without_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One row per pair: medians of both sides and their ratio, without/with."""
    monkeypatch.setattr(sys, "argv", ["means.py", "--only", "optimiser", "--repeats", "3"])
    means.main()
    lines = capsys.readouterr().out.splitlines()
    title, *cells = lines[-1].strip("| ").split(" | ")
    assert title.startswith("100 steps of SGD")
    on, off, ratio = float(cells[1]), float(cells[2]), float(cells[3].strip("*x"))
    assert ratio == pytest.approx(off / on, rel=0.02)


def test_the_work_is_done_in_turns_and_the_first_is_not_counted() -> None:
    """Three turns that count: four of each, alternating."""
    done: list[str] = []
    pair = means.Pair("on | off", lambda: done.append("on"), lambda: done.append("off"))
    assert [len(turns) for turns in pair.measured(3)] == [3, 3]
    assert done == ["on", "off"] * 4
