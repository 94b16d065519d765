"""Rows from the reference are marked, and say where they were measured."""

from dataclasses import replace

import pandas as pd

from benchmark.evaluation.findings import reference_rows
from benchmark.reporting import leaderboard, tables
from benchmark.reporting.grid import latex, markdown
from benchmark.reporting.inputs import Results


def taken(results: Results) -> Results:
    """The same results, with `fedit` on one federation from the reference."""
    row = ("toy_lesions", "fedit")
    runs = [
        {**run, "origin": "reference", "commit": "0123456789abcdef", "device": "Far GPU"}
        if (run["federation"], run["method"]["name"]) == row
        else run
        for run in results.runs
    ]
    return replace(results, runs=runs)


def test_tables_and_leaderboard_mark_the_row(results: Results) -> None:
    """On its federation and on the leaderboard; nowhere else."""
    published = pd.DataFrame(columns=["federation", "method", "quantity", "value", "source"])
    found = taken(results)
    here, there = (tables.grid(found, name, published) for name in ("toy_lesions", "toy_slides"))
    note = "‡ Not trained here, but taken from the reference: commit 0123456789ab, measured on Far GPU."
    assert note in markdown(here)
    assert "FedIT‡ " in markdown(here)
    assert r"FedIT$^\ddagger$" in latex(here, "x")
    assert "‡" not in markdown(there)
    assert "FedIT‡ (`fedit`)" in markdown(leaderboard.grid(found))
    assert note in leaderboard.grid(found).notes
    assert "‡" not in markdown(leaderboard.grid(results))


def test_methods_that_were_changed_after_they_were_tested_are_named(results: Results) -> None:
    """With the most versions on any federation; where every method has one, nothing is said."""
    note = "FedIT 3, FedPAL 2; one of every other method."
    assert not any("seen here" in line for line in leaderboard.grid(results).notes)
    seen = {**results.looks, ("toy_lesions", "fedit"): 3, ("toy_slides", "fedit"): 2, ("toy_slides", "fedpal"): 2}
    (line,) = (line for line in leaderboard.grid(replace(results, looks=seen)).notes if "seen here" in line)
    assert sorted(line.partition(": ")[2].partition(";")[0].split(", ")) == sorted(note.partition(";")[0].split(", "))


def test_checks_note_rows_from_the_reference_and_rows_that_could_not_be(results: Results) -> None:
    first, second = reference_rows(taken(results).runs, [("toy_lesions", "local", "the engine has changed")])
    assert (first["severity"], first["check"], first["method"]) == ("note", "reference row", "fedit")
    assert first["message"] == "measured at 0123456789ab on Far GPU, not here"
    assert (second["check"], second["message"]) == ("not used", "trained here: the engine has changed")
