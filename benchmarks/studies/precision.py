"""What bfloat16 does to the final tables: one comparison run twice, in float32 and in bfloat16, through Snakemake.

    python benchmarks/studies/precision.py --configfile config/fed_ham10000.yaml --config local_files=/path/to/folder
        [--methods fedit local] [--rates 1e-3 1e-2] [--rounds 4] [--cores 2]

Runs in the project's folder; results stand below `results/{name}_float32/` and `results/{name}_bfloat16/`, and what the
store holds already is not trained again. Printed are every client's test score in both, the selected rates, the average
ranks, and the largest differences beside two kinds of noise: that of the test images (a bootstrap over them) and, where
there are several seeds, that of the seeds.
"""

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import yaml  # noqa: E402

from benchmark import provenance  # noqa: E402
from benchmark.config import read  # noqa: E402
from benchmark.files import read_json  # noqa: E402
from benchmark.plan import Plan  # noqa: E402

PRECISIONS = ("float32", "bfloat16")
SCORE = "balanced_accuracy"
RESAMPLED = 500
"""Draws of the bootstrap."""


def main() -> None:
    """Run both, and print the tables side by side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configfile", required=True, type=Path)
    parser.add_argument(
        "--config", nargs="*", default=[], metavar="KEY=VALUE", help="settings that override the file's"
    )
    parser.add_argument("--methods", nargs="+", help="otherwise the configuration's")
    parser.add_argument("--rates", nargs="+", help="likewise")
    parser.add_argument("--rounds", type=int, help="likewise")
    parser.add_argument("--cores", type=int, default=2)
    arguments = parser.parse_args()
    values = read(arguments.configfile, arguments.config)
    chosen = {"methods": arguments.methods, "rates": arguments.rates, "rounds": arguments.rounds}
    values |= {name: value for name, value in chosen.items() if value} | ({"own": []} if arguments.methods else {})
    plans = [_run(values, precision, arguments.cores) for precision in PRECISIONS]
    scores = pd.concat([_scores(plan) for plan in plans], axis=1, keys=PRECISIONS)
    print(f"{_where(plans[0])}\n\n{table(scores, _noise(plans[0]))}\n\n{_selected(plans)}\n\n{summary(scores)}")


def table(scores: pd.DataFrame, noise: pd.Series) -> str:  # type: ignore[type-arg]
    """Every client's score in both precisions, as Markdown.

    Args:
        scores: Columns float32 and bfloat16, by federation, method, seed and client.
        noise: By the same, the standard deviation of the float32 score over drawn test sets.

    Returns:
        Lines of text: the mean over seeds, and for each method the mean over its clients.
    """
    both = scores.assign(difference=scores["bfloat16"] - scores["float32"], noise=noise)
    clients = both.groupby(["federation", "method", "client"], sort=False).mean()
    means = clients.groupby(["federation", "method"], sort=False)[[*PRECISIONS, "difference"]].mean()
    lines = [
        "| federation | method | client | float32 | bfloat16 | difference | noise of the test images |",
        "|:--|:--|:--|--:|--:|--:|--:|",
    ]
    for (dataset, method), own in clients.groupby(["federation", "method"], sort=False):
        lines += [_row(dataset, method, name[-1], row, f"{row['noise']:.4f}") for name, row in own.iterrows()]
        lines.append(_row(dataset, method, "**mean**", means.loc[(dataset, method)], ""))
    return "\n".join(lines)


def summary(scores: pd.DataFrame) -> str:
    """The largest differences, the ranks, and what seeds alone change.

    Args:
        scores: As in `table`.

    Returns:
        Lines of text.
    """
    apart = (scores["bfloat16"] - scores["float32"]).abs()
    means = apart.groupby(["federation", "method"]).mean()
    ranks = pd.concat([_ranks(scores[name]) for name in PRECISIONS], axis=1, keys=PRECISIONS)
    lines = [
        f"largest difference of a client: {apart.max():.4f} ({' '.join(map(str, apart.idxmax()))})",
        f"largest mean difference of a method, unsigned: {means.max():.4f} ({' '.join(map(str, means.idxmax()))})",
        f"largest difference of an average rank: {(ranks['bfloat16'] - ranks['float32']).abs().max():.2f}",
        *(
            f"average rank, {name[0]} {name[1]}: {row['float32']:.2f} | {row['bfloat16']:.2f}"
            for name, row in ranks.iterrows()
        ),
    ]
    seeds = scores["float32"].groupby(["federation", "method", "client"]).std().dropna()
    noise = f"{seeds.mean():.4f} on average, {seeds.max():.4f} at most" if len(seeds) else "unknown: there is one seed"
    return "\n".join([*lines, f"standard deviation of a client's score over seeds: {noise}"])


def _run(values: Mapping[str, Any], precision: str, cores: int) -> Plan:
    """One comparison by Snakemake; its plan."""
    own = {
        **values,
        "name": f"{values['name']}_{precision}",
        "training": {**values.get("training", {}), "precision": precision},
    }
    plan = Plan.of(own)
    path = ROOT / plan.results / "config.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(own), encoding="utf-8")
    targets = [f"{plan.results}/clients.parquet"]
    command = [sys.executable, "-m", "snakemake", *targets, "--cores", str(cores), "--configfile", str(path)]
    if subprocess.run([*command, "--quiet"], cwd=ROOT, check=False).returncode:
        raise SystemExit(f"the {precision} comparison failed; its jobs' logs are in logs/{plan.config.name}/")
    return plan


def _scores(plan: Plan) -> pd.Series:  # type: ignore[type-arg]
    """Every client's test score, by federation, method, seed and client."""
    rows = pd.read_parquet(ROOT / plan.results / "clients.parquet")
    return rows[rows["metric"] == SCORE].set_index(["federation", "method", "seed", "client"])["value"]


def _noise(plan: Plan) -> pd.Series:  # type: ignore[type-arg]
    """By the same, the standard deviation of the score over test sets drawn from a client's own, with replacement."""
    source, found = np.random.default_rng(0), {}
    for dataset in plan.federations:
        for method in plan.methods:
            for seed in plan.config.seeds:
                counts = pd.read_parquet(ROOT / plan.places.test(dataset, method, seed, "counts.parquet"))
                for client, own in counts.query("true == 1").groupby("client"):
                    labels, hit = own["part"].to_numpy(), own["hit"].to_numpy()
                    drawn = source.integers(0, len(own), (RESAMPLED, len(own)))
                    scores = [_balanced(labels[rows], hit[rows]) for rows in drawn]
                    found[dataset, method, seed, str(client)] = float(np.std(scores))
    return pd.Series(found)


def _balanced(labels: np.ndarray[Any, Any], hit: np.ndarray[Any, Any]) -> float:
    """The mean over classes of the share of their images that are hit."""
    return float(np.mean([hit[labels == label].mean() for label in np.unique(labels)]))


def _ranks(scores: pd.Series) -> pd.Series:  # type: ignore[type-arg]
    """Every method's rank among those compared, averaged over seeds and clients, by dataset and method."""
    ranks = scores.groupby(["federation", "seed", "client"]).rank(ascending=False)
    return ranks.groupby(["federation", "method"]).mean()


def _selected(plans: Sequence[Plan]) -> str:
    """The rates that validation chose in both."""
    lines = []
    for dataset in plans[0].federations:
        for method in plans[0].methods:
            paths = [ROOT / plan.selected.format(federation=dataset, method=method) for plan in plans]
            rates = [read_json(path)["rate"] for path in paths]
            lines.append(
                f"selected rate, {dataset} {method}: {rates[0]} | {rates[1]}{'' if rates[0] == rates[1] else ' (!)'}"
            )
    return "\n".join(lines)


def _where(plan: Plan) -> str:
    """What was compared, on what."""
    run = read_json(ROOT / plan.every(plan.of_runs("run.json")[0])[0])
    rates = ", ".join(plan.config.rates)
    return (
        f"{run['device']}; torch {run['versions']['torch']}; commit {provenance.commit()[:12]}\n"
        f"{plan.config.rounds} rounds, rates {rates}, seeds {list(plan.config.seeds)}; {SCORE} on test images"
    )


def _row(dataset: str, method: str, client: str, row: Any, noise: str) -> str:
    cells = f"{row['float32']:.4f} | {row['bfloat16']:.4f} | {row['difference']:+.4f}"
    return f"| {dataset} | {method} | {client} | {cells} | {noise} |"


if __name__ == "__main__":
    main()
