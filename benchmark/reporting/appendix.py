"""The report's appendix: what other selections of the rate would have given.

    python -m benchmark.reporting.appendix RESULTS --scores FILE [FILE ...] --csv FILE

RESULTS are the arguments of `benchmark.reporting.inputs`; `--scores` are every rate's test scores, as
`benchmark.evaluation.appendix` writes them. Selections that look at test scores are labelled optimistic: they show how
much selection costs, and are no results. Nothing here is read by the leaderboard or the tables.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from math import isnan
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.evaluation.ranks import client_ranks
from benchmark.files import write_text
from benchmark.reporting.grid import Cell, Column, Grid
from benchmark.reporting.inputs import Results, add_arguments, load

RULES = {
    "published": "Published rule",
    "validation_per_client": "Validation, per client",
    "test": "Test (optimistic)",
    "test_per_client": "Test, per client (optimistic)",
}
"""Selections by what they look at, and how they are headed. The published one gives all clients one rate."""
DIGITS = 12
"""Scores equal to this many decimals are ties, as where rates are selected."""
OPTIMISTIC = ("test", "test_per_client")
COLUMNS = ["dataset", "method", "rule", "optimistic", "rates", "mean", "average_rank"]


def read_scores(paths: Sequence[Path]) -> pd.DataFrame:
    """Every rate's test scores: dataset, method, rate and client as text, seed, value."""
    text = dict.fromkeys(["dataset", "method", "rate", "client"], str)
    return pd.concat([pd.read_csv(path, dtype=text) for path in paths], ignore_index=True)


def best(scores: Mapping[Any, float], *, higher_is_better: bool) -> str:
    """The rate with the best score; ties go to the smaller rate, and a diverged one (NaN) is the last choice."""
    rates = sorted(scores, key=float)
    known = [rate for rate in rates if not isnan(scores[rate])]
    return str((max if higher_is_better else min)(known or rates, key=lambda rate: round(scores[rate], DIGITS)))


def chosen(results: Results, scores: pd.DataFrame) -> pd.DataFrame:
    """The rate that each selection gives each client.

    Args:
        results: The results.
        scores: Every rate's test scores.

    Returns:
        One row per dataset, method, rule and client: and its rate.
    """
    direction = results.higher_is_better
    rows = []
    for key, own in scores.groupby(["dataset", "method"], sort=False):
        dataset, method = map(str, key)
        choice = results.selected[dataset, method]
        test = own.groupby(["client", "rate"])["value"].mean(skipna=False).unstack("rate")
        overall = best(test.mean(skipna=False).to_dict(), higher_is_better=direction)
        for client in test.index:
            validation = {
                rate: float("nan") if (value := details["per_client"][client]) is None else value
                for rate, details in choice["scores"].items()
            }
            rates = {
                "published": choice["rate"],
                "validation_per_client": best(validation, higher_is_better=direction),
                "test": overall,
                "test_per_client": best(test.loc[client].to_dict(), higher_is_better=direction),
            }
            rows += [(dataset, method, rule, client, rate) for rule, rate in rates.items()]
    return pd.DataFrame(rows, columns=["dataset", "method", "rule", "client", "rate"])


def frame(results: Results, scores: pd.DataFrame) -> pd.DataFrame:
    """What each selection would have given each method.

    Args:
        results: The results.
        scores: Every rate's test scores.

    Returns:
        Columns `COLUMNS`: the mean over clients and seeds; the average rank where all methods select alike, empty for
        controls; the rates by client, or the one of all clients.
    """
    cells = chosen(results, scores).merge(scores, on=["dataset", "method", "client", "rate"]).assign(missing=False)
    rows = []
    for rule in RULES:
        own = cells[cells["rule"] == rule]
        ranks = client_ranks(own, results.controls, higher_is_better=results.higher_is_better)
        average = ranks.groupby(level="dataset").mean()
        for (dataset, method), part in own.groupby(["dataset", "method"], sort=False):
            rank = average.at[dataset, method] if method in average else None
            mean = part["value"].mean(skipna=False)
            rows.append((dataset, method, rule, rule in OPTIMISTIC, _rates(part), mean, rank))
    return pd.DataFrame(rows, columns=COLUMNS)


def grid(results: Results, scores: pd.DataFrame, dataset: str) -> Grid:
    """One dataset's part as people read it.

    Args:
        results: The results.
        scores: Every rate's test scores.
        dataset: The dataset.

    Returns:
        A row per method; for each selection its mean and its average rank.
    """
    table = frame(results, scores[scores["dataset"] == dataset])
    found = {(row["method"], row["rule"]): row for row in table.to_dict("records")}
    names = sorted({method for method, _ in found})
    ranked = [name for name in names if name not in results.controls]
    ranked.sort(key=lambda name: found[name, "published"]["average_rank"])

    def cells(name: str) -> list[Cell]:
        pairs = [
            (_number(row["mean"], 3, "diverged"), _number(row["average_rank"], 2, "—"))
            for row in (found[name, rule] for rule in RULES)
        ]
        return [Cell(results.methods[name].title), *(cell for pair in pairs for cell in pair)]

    columns = [Column("Method", number=False)]
    for head in RULES.values():
        columns += [Column(head, results.best), Column("Average rank", "min")]
    left_out = sorted({run["method"]["name"] for run in results.runs if run["federation"] == dataset} - set(names))
    note = "Left out, since rows from the reference keep no trained leaves: " + ", ".join(left_out) + "."
    return Grid(
        columns=columns,
        rows=[cells(name) for name in ranked],
        controls=[cells(name) for name in names if name in results.controls],
        caption=(
            f"{results.title(dataset)}: mean test {results.score} over clients and seeds, and average rank, if every"
            " method's rate were selected otherwise. Published rule: one rate for all clients, by validation."
            " Optimistic: selected by the very test scores that are shown, so no result: they bound what selection"
            " can gain."
        ),
        notes=[note] if left_out else [],
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; see the module's text for its arguments."""
    parser = argparse.ArgumentParser(prog="appendix", description="What other selections would have given.")
    add_arguments(parser)
    parser.add_argument("--scores", type=Path, nargs="+", required=True, help="every rate's test scores, CSV")
    parser.add_argument("--csv", type=Path, required=True)
    arguments = parser.parse_args(argv)
    try:
        table = frame(load(arguments), read_scores(arguments.scores))
        write_text(arguments.csv, table.to_csv(index=False))
    except (OSError, ValueError) as error:
        print(f"appendix: {error}", file=sys.stderr)
        return 1
    return 0


def _rates(own: pd.DataFrame) -> str:
    """The one rate of all clients, or each client's."""
    rates = dict(zip(own["client"], own["rate"], strict=True))
    return own["rate"].iloc[0] if own["rate"].nunique() == 1 else " ".join(f"{c}:{rate}" for c, rate in rates.items())


def _number(value: float, digits: int, otherwise: str) -> Cell:
    return Cell(otherwise) if pd.isna(value) else Cell(f"{value:.{digits}f}", round(value, digits))


if __name__ == "__main__":
    sys.exit(main())
