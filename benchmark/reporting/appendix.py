"""Job: the report's appendix: what other selections of the rate would have given.

It reads every rate's test scores, as `benchmark.evaluation.evaluate --rates all` writes them. Selections that look at
test scores are labelled optimistic: they show how much selection costs, and are no results. Nothing here is read by the
leaderboard or the tables.
"""

from functools import partial
from pathlib import Path

import pandas as pd

from benchmark.comparison import Comparison
from benchmark.evaluation.ranks import client_ranks
from benchmark.evaluation.select import best_of
from benchmark.files import write_text
from benchmark.job import GivenPath, run
from benchmark.reporting.grid import Cell, Column, Grid
from benchmark.reporting.inputs import Results, load

RULES = {
    "published": "Published rule",
    "validation_per_client": "Validation, per client",
    "test": "Test (optimistic)",
    "test_per_client": "Test, per client (optimistic)",
}
"""Selections by what they look at, and how they are headed. The published one gives all clients one rate."""
OPTIMISTIC = ("test", "test_per_client")
COLUMNS = ["federation", "method", "rule", "optimistic", "rates", "mean", "average_rank"]


def read_scores(comparison: Comparison) -> pd.DataFrame:
    """Every rate's test scores: federation, method, rate and client as text, seed, value."""
    text = dict.fromkeys(["federation", "method", "rate", "client"], str)
    paths = [comparison.places.all_rates(*row) for row in comparison.appendix]
    return pd.concat([pd.read_csv(path, dtype=text) for path in paths], ignore_index=True)


def chosen(results: Results, scores: pd.DataFrame) -> pd.DataFrame:
    """The rate that each selection gives each client: a row per federation, method, rule and client."""
    directions = {name: results.task(name).higher_is_better for name in results.federations}
    rows = []
    for key, own in scores.groupby(["federation", "method"], sort=False):
        federation, method = map(str, key)
        choice, best = results.selected[federation, method], partial(best_of, higher_is_better=directions[federation])
        table = own.groupby(["client", "rate"])["value"].mean(skipna=False).unstack("rate")
        names = [str(rate) for rate in table.columns]
        overall = best(dict(zip(names, table.mean(skipna=False), strict=True)))
        for client, scored in zip(table.index, table.to_numpy(float), strict=True):
            validation = {
                rate: float("nan") if (value := details["per_client"][client]) is None else value
                for rate, details in choice["scores"].items()
            }
            rates = {
                "published": choice["rate"],
                "validation_per_client": best(validation),
                "test": overall,
                "test_per_client": best(dict(zip(names, scored, strict=True))),
            }
            rows += [(federation, method, rule, client, rate) for rule, rate in rates.items()]
    return pd.DataFrame(rows, columns=["federation", "method", "rule", "client", "rate"])


def frame(results: Results, scores: pd.DataFrame) -> pd.DataFrame:
    """What each selection would have given each method: columns `COLUMNS`.

    The mean is over clients and seeds; the average rank is where all methods select alike, empty for controls; the
    rates are by client, or the one of all clients.
    """
    cells = chosen(results, scores).merge(scores, on=["federation", "method", "client", "rate"]).assign(missing=False)
    higher = {name: results.task(name).higher_is_better for name in results.federations}
    cells["higher_is_better"] = cells["federation"].map(higher)
    rows = []
    for rule in RULES:
        own = cells[cells["rule"] == rule]
        ranks = client_ranks(own, results.controls)
        average = ranks.groupby(level="federation").mean()
        for (federation, method), part in own.groupby(["federation", "method"], sort=False):
            rank = average.at[federation, method] if method in average else None
            mean = part["value"].mean(skipna=False)
            rows.append((federation, method, rule, rule in OPTIMISTIC, _rates(part), mean, rank))
    return pd.DataFrame(rows, columns=COLUMNS)


def grid(results: Results, scores: pd.DataFrame, federation: str) -> Grid:
    """One federation's part: a row per method; for each selection its mean and its average rank."""
    table = frame(results, scores[scores["federation"] == federation])
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
        columns += [Column(head, results.best(federation)), Column("Average rank", "min")]
    left_out = sorted(results.trained(federation) - set(names))
    note = "Left out, since rows from the reference keep no trained leaves: " + ", ".join(left_out) + "."
    return Grid(
        columns=columns,
        rows=[cells(name) for name in ranked],
        controls=[cells(name) for name in names if name in results.controls],
        caption=(
            f"{results.title(federation)}: mean test {results.score(federation)} over clients and seeds, and average"
            " rank, if every method's rate were selected otherwise. Published rule: one rate for all clients, by"
            " validation. Optimistic: selected by the very test scores that are shown, so no result: they bound what"
            " selection can gain."
        ),
        notes=[note] if left_out else [],
    )


def main(comparison: GivenPath, csv: Path) -> None:
    """Write what other selections of the rate would have given.

    Args:
        comparison: The comparison, `results/NAME/comparison.json`.
        csv: The table.
    """
    results = load(comparison)
    table = frame(results, read_scores(results.comparison))
    write_text(csv, table.to_csv(index=False))


def _rates(own: pd.DataFrame) -> str:
    """The one rate of all clients, or each client's."""
    rates = dict(zip(own["client"], own["rate"], strict=True))
    return own["rate"].iloc[0] if own["rate"].nunique() == 1 else " ".join(f"{c}:{rate}" for c, rate in rates.items())


def _number(value: float, digits: int, otherwise: str) -> Cell:
    return Cell(otherwise) if pd.isna(value) else Cell(f"{value:.{digits}f}", round(value, digits))


if __name__ == "__main__":
    raise SystemExit(run(main))
