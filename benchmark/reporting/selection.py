"""Job: how every rate was chosen, and what choosing cost: all that an audit of the selection needs."""

from pathlib import Path
from statistics import stdev
from typing import Any

import pandas as pd

from benchmark.files import write_text
from benchmark.job import GivenPath, run
from benchmark.reporting.grid import Cell, Column, Grid
from benchmark.reporting.inputs import Results, load
from benchmark.reporting.measure import counted
from benchmark.reporting.tables import EDGE_NOTE

SURE_NOTE = (
    "Sure: how probable it is that the chosen rate is the best one, as far as other validation images and seeds would"
    " show. Costs: how much better the best one is, in the mean, in units of the score."
)
CHOSEN_NOTE = "✓, in bold: the chosen rate. = It shares the best score with others: ties go to the smaller rate."


def frame(results: Results) -> pd.DataFrame:
    """Every rate of every selection.

    Returns:
        One row per federation, method and rate: `mean`, its validation score over seeds and clients; `sd` over seeds;
        `chosen`; `tie`, whether it shares the best score; `at_grid_edge` of the chosen one; `diverged`; `best`, the
        probability that it is the best rate, and `loss`, of the chosen one, how much better the best one is in the mean
        (see `benchmark.evaluation.choice`; empty where that is not known); and the budget: `runs` (one per seed),
        `rounds` of each, and `image_passes`, those that a client makes over its images in a run.
    """
    rows = []
    for (federation, method), choice in results.selected.items():
        sure = choice.get("sure", {"best": {}, "loss": None})
        for rate, details in choice["scores"].items():
            runs = results.runs_of(federation, method, rate)
            seeds = [value for value in details["per_seed"].values() if value is not None]
            rows.append(
                {
                    "federation": federation,
                    "method": method,
                    "rate": rate,
                    "score": choice["score"],
                    "mean": details["mean"],
                    "sd": stdev(seeds) if len(seeds) > 1 and not details["diverged"] else None,
                    "chosen": rate == choice["rate"],
                    "tie": rate in choice["ties"],
                    "at_grid_edge": rate == choice["rate"] and choice["at_grid_edge"],
                    "diverged": details["diverged"],
                    "best": sure["best"].get(rate),
                    "loss": sure["loss"] if rate == choice["rate"] else None,
                    "runs": len(runs),
                    "rounds": runs[0]["rounds"],
                    "image_passes": runs[0]["costs"]["image_passes"],
                }
            )
    return pd.DataFrame(rows).sort_values(["federation", "method", "rate"], key=_in_order, ignore_index=True)


def grid(results: Results, federation: str) -> Grid:
    """One federation's selections: a row per method, in the leaderboard's order, controls below.

    It holds every rate's validation score, the chosen one marked, and the budget.
    """
    table = frame(results)
    table = table[table["federation"] == federation]
    rates = sorted(table["rate"].unique(), key=float)
    found: dict[str, Any] = {str(method): own.set_index("rate") for method, own in table.groupby("method")}
    known = table["best"].notna().any()
    parts = {method: found[method] for method in results.order if method in found}

    def cells(method: str) -> list[Cell]:
        own = parts[method]
        passes = own["image_passes"].sum() / own["rounds"].sum()
        chosen = own[own["chosen"]].iloc[0]
        return [
            Cell(results.methods[method].title),
            *(_score(own.loc[rate]) if rate in own.index else Cell("missing") for rate in rates),
            *([_number(chosen["best"], 2), _number(chosen["loss"], 4)] if known else []),
            Cell(str(own["runs"].sum()), int(own["runs"].sum())),
            Cell(str((own["runs"] * own["rounds"]).sum()), int((own["runs"] * own["rounds"]).sum())),
            Cell(f"{passes:.3g}", passes),
        ]

    return Grid(
        columns=[
            Column("Method", number=False),
            *(Column(rate) for rate in rates),
            *([Column("Sure"), Column("Costs")] if known else []),
            Column("Runs"),
            # No-break spaces: beside many rates, a heading would take as many lines as it has words.
            Column("Rounds in\u00a0total"),
            Column("Image\u00a0passes per\u00a0round"),
        ],
        rows=[cells(method) for method in parts if method not in results.controls],
        controls=[cells(method) for method in parts if method in results.controls],
        caption=(
            f"{results.title(federation)}: validation {results.score(federation)} of every rate, mean over clients and"
            " seeds"
            f"{' ± standard deviation over seeds' if table['sd'].notna().any() else ''}. {_budget(results, table)}"
        ),
        notes=[
            CHOSEN_NOTE,
            *([SURE_NOTE] if known else []),
            *([EDGE_NOTE] if table["at_grid_edge"].any() else []),
        ],
    )


def main(comparison: GivenPath, csv: Path) -> None:
    """Write every rate's validation score, and the budget of the selection.

    Args:
        comparison: The comparison, `results/NAME/comparison.json`.
        csv: The table.
    """
    write_text(csv, frame(load(comparison)).to_csv(index=False))


def _budget(results: Results, table: pd.DataFrame) -> str:
    """Whether all methods had the same budget, and which see the images more often for it."""
    spent = {(len(own), own["runs"].max(), own["rounds"].max()) for _, own in table.groupby("method")}
    if len(spent) > 1:
        return "The methods had different budgets: compare their runs and rounds."
    [(rates, seeds, rounds)] = spent
    passes = table["image_passes"] / table["rounds"]
    greedy = set(table["method"][passes > passes.min()])
    titles = ", ".join(results.methods[method].title for method in results.order if method in greedy)
    return (
        f"Every method, controls included, had the same budget: {counted(rates * seeds, 'run')} of"
        f" {counted(rounds, 'round')} ({counted(rates, 'rate')}, {counted(seeds, 'seed')})."
        + (f" In a round, {titles} made more passes over the images than the others." if titles else "")
    )


def _number(value: float | None, decimals: int) -> Cell:
    return Cell("") if pd.isna(value) else Cell(f"{value:.{decimals}f}", float(value))


def _in_order(column: Any) -> Any:
    return column.astype(float) if column.name == "rate" else column


def _score(row: Any) -> Cell:
    """A rate's score, marked where it was chosen."""
    chosen = bool(row["chosen"])
    marks = "✓" * chosen + "†" * bool(row["at_grid_edge"]) + "=" * bool(row["tie"])
    marks = marks and f" {marks}"
    if row["diverged"]:
        return Cell(f"diverged{marks}", bold=chosen)
    spread = "" if pd.isna(row["sd"]) else f" ± {row['sd']:.3f}"
    return Cell(f"{row['mean']:.3f}{spread}{marks}", round(row["mean"], 3), bold=chosen)


if __name__ == "__main__":
    raise SystemExit(run(main))
