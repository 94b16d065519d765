"""The numbers that the report draws in its reader's browser: every method on every client, and every difference.

They stand in the page as JSON, each once: what a client's test set holds with the client, what a method does there with
the method. Numbers have four digits; null stands where there is none.
"""

import math
from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any

import pandas as pd

from benchmark.comparison import LOCAL
from benchmark.evaluation.statistics import ALL, FEW_GROUPS
from benchmark.methods import discovered
from benchmark.reporting.inputs import Difference, Results
from benchmark.reporting.origin import mark
from benchmark.reporting.tested import ClientTest, ClientTests, confusions

_DIGITS = 4
Numbers = dict[str, Any]


def numbers(results: Results, tested: ClientTests, published: pd.DataFrame) -> Numbers:
    """All that the page draws.

    Returns:
        `methods` in the leaderboard's order; `federations`, with their clients and a row for each method; `pairs`, how
        every two methods compare, over all federations and on each; `local`, the name of the control that clients
        are compared with, or null; `few`, the number of groups below which a class is small.
    """
    ranked = [name for name in results.order if name not in results.controls]
    quantities = [("average_rank", ALL), *([("corrected_mean", ALL)] if results.correctable else [])]
    quantities += [("mean", federation) for federation in results.federations]
    return {
        "methods": [
            {"name": name, "title": method.title, "control": method.control, "group": _group(results, name)}
            for name in results.order
            for method in (results.methods[name],)
        ],
        "ranked": len(ranked),
        "federations": [_federation(results, name, tested[name], published) for name in results.federations],
        "pairs": [_pairs(results, *what) for what in quantities],
        "local": LOCAL if LOCAL in results.methods else None,
        "few": FEW_GROUPS,
    }


def _group(results: Results, method: str) -> str:
    """The group that a method belongs to: `controls`, the folder of its file, or `own`."""
    groups = discovered().groups.items()
    named = next((group for group, members in groups if method in members), "own")
    return "controls" if results.methods[method].control else named


def _federation(
    results: Results, federation: str, tested: Mapping[str, ClientTest], published: pd.DataFrame
) -> Numbers:
    """A federation: what its task is, its clients, and a row for each method that was trained on it."""
    task, sites = results.task(federation), results.sites(federation)
    metrics = results.metrics[results.metrics["federation"] == federation]
    by_metric = metrics.pivot_table(index=["method", "client"], columns="metric", values="value", dropna=False)
    sizes = metrics.groupby(["client", "metric"])["n"].first()
    names = [] if task.parts is None else [f"{task.parts.metric}[{name}]" for name in task.classes]
    clients = [
        {
            "id": client,
            "title": title,
            "samples": tested[client].samples if client in tested else None,
            "groups": tested[client].groups if client in tested else None,
            "cases": tested[client].cases if client in tested else None,
            "chance": _number(results.chances.get((federation, client), math.nan)),
            "support": None if client not in tested or (shown := tested[client].support) is None else shown.tolist(),
            "of": [int(sizes.get((client, name), 0)) for name in names],
        }
        for client, title in sites.items()
    ]
    here = published[published["federation"] == federation]
    rows = {}
    for method in (name for name in results.order if name in results.trained(federation)):
        own = here[here["method"] == method].set_index("quantity")["value"]
        rows[method] = {
            **_row(results, federation, method, list(sites)),
            "rank": _number(results.rank(method, federation).mean),
            "published": {q: str(own[q]) for q in ("mean", "average_rank") if q in own},
            "parts": _metrics(by_metric, method, sites, names),
            "measures": _metrics(by_metric, method, sites, list(task.measures)),
        }
    return {
        "name": federation,
        "title": results.title(federation),
        "task": task.name,
        "score": results.score(federation),
        "higher": task.higher_is_better,
        "perfect": task.perfect,
        "groups": results.groups([federation]),
        "classes": list(task.classes),
        "parts": None if task.parts is None else {"title": task.parts.title, "share": task.parts.share},
        "measures": [[name.replace("_", " "), says] for name, says in task.measures.items()],
        "clients": clients,
        "rows": rows,
    }


def _row(results: Results, federation: str, method: str, clients: list[str]) -> Numbers:
    """What a method reached on a federation, client by client."""
    scores = {client: results.score_of(federation, method, client) for client in clients}
    own = results.cells_of(federation, method)
    each = own.pivot(index="client", columns="seed", values="value").reindex(clients)
    against = [results.difference(method, LOCAL, "score", federation, client) for client in clients]
    taken, mean = confusions(results, federation, method), results.mean(federation, method)
    return {
        "rate": results.rate(federation, method),
        "mark": mark(results, method, federation),
        "mean": _all((mean.mean, mean.sd, mean.low, mean.high)),
        "why": [score.reason for score in scores.values()],
        "score": _all(score.mean for score in scores.values()),
        "sd": _all(score.sd for score in scores.values()),
        "interval": [_all((score.low, score.high)) for score in scores.values()],
        "corrected": _all(results.above_chance(federation, client, score.mean) for client, score in scores.items()),
        "ranks": [_number(_rank(results, federation, client, method)) for client in clients],
        "local": [None if found is None else _difference(found) for found in against],
        "seeds": [int(seed) for seed in each.columns],
        "each": [_all(row) for row in each.to_numpy(float)],
        "taken": [taken[client].astype(int).ravel().tolist() if client in taken else None for client in clients],
    }


def _rank(results: Results, federation: str, client: str, method: str) -> float:
    """A method's rank on one client; NaN for a control."""
    return float(results.ranks[method].get((federation, client), math.nan)) if method in results.ranks else math.nan


def _pairs(results: Results, quantity: str, federation: str) -> Numbers:
    """How every two methods compare in one quantity: the first one's less the second one's, each pair once."""
    found = [
        (a, b, results.difference(results.order[a], results.order[b], quantity, federation))
        for a, b in combinations(range(len(results.order)), 2)
    ]
    return {
        "quantity": quantity,
        "federation": federation,
        "higher": results.higher(quantity, federation),
        "of": [[a, b, *_difference(pair)] for a, b, pair in found if pair is not None],
    }


def _difference(found: Difference) -> list[float | None]:
    return _all((found.value, found.low, found.high))


def _metrics(table: pd.DataFrame, method: str, clients: Iterable[str], names: list[str]) -> list[list[float | None]]:
    """Metrics of a method on every client, averaged over seeds."""
    there = table.reindex(columns=names).reindex([(method, client) for client in clients])
    return [_all(row) for row in there.to_numpy(float)]


def _all(values: Iterable[float]) -> list[float | None]:
    return [_number(float(value)) for value in values]


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, _DIGITS)
