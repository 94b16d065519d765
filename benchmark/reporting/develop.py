"""Job: how methods compare on validation images, while one of them is being made.

The tables are those of the results, with validation scores in place of test scores: of every row at its chosen rate, at
the end of training. Nothing that was tested is read. They flatter: the rate was chosen by these very scores.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd

from benchmark.comparison import Comparison
from benchmark.evaluation.collect import COLUMNS, join
from benchmark.evaluation.select import final_scores, scores_by_round
from benchmark.files import write_text
from benchmark.job import GivenPath, run
from benchmark.reporting import leaderboard, tables
from benchmark.reporting.grid import markdown
from benchmark.reporting.inputs import Results

NOTE = "Scores on validation images flatter: each row's rate was chosen by them."
_UNPUBLISHED = pd.DataFrame(columns=["federation", "method", "quantity", "value", "source"])


def on_validation(comparison: Comparison) -> Results:
    """The results that there would be if validation images were test images.

    Their metrics hold one score for every client and seed of every row, at the chosen rate.
    """
    rows, validation = join(comparison)
    lanes = {key: scores for key, scores in validation.groupby(["federation", "method", "rate", "seed"])}
    parts = []
    for row in rows:
        about, chosen = (row["federation"], row["method"]), row["selected"]
        for own in (held for held in row["runs"] if held["rate"] == chosen["rate"]):
            by_round = scores_by_round(own, lanes[*about, own["rate"], own["seed"]])
            scores = final_scores(own, by_round, chosen["last_rounds"])
            parts.append(
                scores.assign(federation=about[0], method=about[1], metric=chosen["score"], n=float("nan"))[COLUMNS]
            )
    metrics = pd.concat(parts, ignore_index=True)
    metrics = pd.concat([metrics, _over_draws(metrics, comparison.draw_of)], ignore_index=True)
    return Results(
        comparison=comparison,
        metrics=metrics,
        runs=[own for row in rows for own in row["runs"]],
        selected={(row["federation"], row["method"]): row["selected"] for row in rows},
        images="validation",
    )


def main(comparison: GivenPath, output: Path) -> None:
    """Compare methods on validation images.

    Args:
        comparison: The comparison, `results/NAME/comparison.json`.
        output: The folder that receives `leaderboard.csv` and `.md`, and the same of every federation.
    """
    results = on_validation(Comparison.read(comparison))
    made = {"leaderboard": (leaderboard.frame(results), leaderboard.grid(results))} | {
        name: (tables.frame(results, name, _UNPUBLISHED), tables.grid(results, name, _UNPUBLISHED))
        for name in results.tabled
    }
    for name, (frame, grid) in made.items():
        write_text(output / f"{name}.csv", frame.to_csv(index=False))
        write_text(output / f"{name}.md", markdown(replace(grid, notes=[*grid.notes, NOTE])))


def _over_draws(metrics: pd.DataFrame, draw_of: Mapping[str, str]) -> pd.DataFrame:
    """Under the name that draws share, the mean of their scores, since no samples are kept; NaN where one diverged."""
    shared = metrics.assign(federation=metrics["federation"].map(draw_of)).dropna(subset="federation")
    keys = [name for name in COLUMNS if name not in ("value", "n")]
    means = shared.groupby(keys, sort=False)["value"].mean(skipna=False).reset_index()
    return means.assign(n=float("nan"))[COLUMNS]


if __name__ == "__main__":
    raise SystemExit(run(main))
