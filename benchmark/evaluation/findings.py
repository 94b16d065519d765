"""Findings: what a reader should know before believing a table, one function for each kind.

A finding has a severity (error, warning or note), the check that made it, and a message; where it is about one of them,
a federation, a method, a client and a value.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from benchmark.evaluation.counts import Counts
from benchmark.evaluation.merit import merit
from benchmark.evaluation.ranks import client_ranks, federation_ranks
from benchmark.evaluation.statistics import FEW_GROUPS, MEAN, Statistics

COLUMNS = ["severity", "check", "federation", "method", "client", "value", "message"]

Finding = dict[str, Any]

# Committed numbers have six decimals.
_ROUNDING = 1e-6
# Methods that a message names.
_NAMED = 12
# An update of the adapted weights, relative to them. With smaller ones (8e-4 to 3e-3) most methods of the quickstart
# had equal scores, whatever they share; with 1e-2 and more they differed.
_HARDLY = 5e-3
# A choice that other validation images would make as seldom as this is a coin toss.
_TOSS = 0.5
# Predictions of which one class has more are taken to be all of that class.
_ONE_CLASS = 0.999
# Scores that differ in no decimal of a published table are equal.
_DIGITS = 9


def selection(choices: Iterable[Mapping[str, Any]]) -> list[Finding]:
    """Chosen rates at the edge of the grid, and rates that diverged."""
    findings = []
    for choice in choices:
        where = {"federation": choice["federation"], "method": choice["method"]}
        if choice["at_grid_edge"]:
            message = f"the chosen rate {choice['rate']} is at the edge of the grid: a better one may lie outside"
            findings.append(finding("warning", "edge of grid", message, **where, value=float(choice["rate"])))
        for rate, details in choice["scores"].items():
            if details["diverged"]:
                chosen = rate == choice["rate"]
                message = f"rate {rate} diverged" + (" as all others did, and stands in the tables" if chosen else "")
                severity = "error" if chosen else "note"
                findings.append(finding(severity, "diverged", message, **where, value=float(rate)))
    return findings


def coin_toss(choices: Iterable[Mapping[str, Any]]) -> list[Finding]:
    """Chosen rates that are less probably the best than not, as far as the validation images can tell.

    Args:
        choices: The selections. Those that were made before this was measured are passed over.

    Returns:
        A note for each. The value is the probability.
    """
    findings = []
    for choice in choices:
        sure, rate = choice.get("sure", {"best": {}}), choice["rate"]
        probability = sure["best"].get(rate)
        if probability is not None and probability < _TOSS:
            message = (
                f"the chosen rate {rate} is the best one with a probability of {probability:.2f} alone: validation"
                f" images do not tell rates apart; the choice costs {sure['loss']:.4f} of the score in the mean"
            )
            findings.append(
                finding("note", "coin toss", message, choice["federation"], choice["method"], value=probability)
            )
    return findings


def missing_cells(cells: pd.DataFrame) -> list[Finding]:
    """Results that the runs should have led to, but that are not there."""
    absent = cells[cells["missing"]].groupby(["federation", "method", "client"], sort=False)["seed"].agg(list)
    return [
        finding(
            "error",
            "missing cell",
            f"no test result of seeds {row.seed}",
            row.federation,
            row.method,
            row.client,
        )
        for row in absent.reset_index().itertuples()
    ]


def missing_clients(manifests: Mapping[str, Mapping[str, Any]]) -> list[Finding]:
    """Clients whose data was not there when it was packed."""
    return [
        finding(
            "warning",
            "missing client",
            "its data was not found, so nothing was trained on it",
            federation,
            "",
            c,
        )
        for federation, manifest in manifests.items()
        for c in manifest["missing_clients"]
    ]


def below_chance(cells: pd.DataFrame, metrics: pd.DataFrame) -> list[Finding]:
    """Clients on which a method is worse than a prediction that looks at no image.

    Args:
        cells: The expected test scores, columns `ranks.CELLS`.
        metrics: The tidy table of test metrics, with the metric `chance`.

    Returns:
        A warning for each method and client.
    """
    keys = ["federation", "method", "client"]
    chance = metrics[metrics["metric"] == "chance"].groupby(keys)["value"].mean().rename("chance")
    scores = _means(cells, keys).join(chance, on=keys).dropna()
    worse = _merit(scores, "value") < _merit(scores, "chance")
    return [
        finding(
            "warning",
            "below chance",
            f"{row.value:.3f} is below chance, {row.chance:.3f}",
            row.federation,
            row.method,
            row.client,
            row.value,
        )
        for row in scores[worse].itertuples()
    ]


def worse_than_local(cells: pd.DataFrame) -> list[Finding]:
    """Methods whose mean over clients is worse than that of training alone.

    Args:
        cells: The expected test scores, columns `ranks.CELLS`.

    Returns:
        A warning for each method and federation. A method with a missing or diverged cell has a finding of its
        own.
    """
    means = _means(cells, ["federation", "method"])
    local = means[means["method"] == "local"].set_index("federation")["value"].rename("local")
    means = means.join(local, on="federation").dropna()
    worse = _merit(means, "value") < _merit(means, "local")
    return [
        finding(
            "warning",
            "worse than local",
            f"its mean {row.value:.3f} is worse than that of training alone, {row.local:.3f}",
            row.federation,
            row.method,
            value=row.value,
        )
        for row in means[worse].itertuples()
    ]


def seed_spread(cells: pd.DataFrame, controls: Collection[str]) -> list[Finding]:
    """Federations on which average ranks vary more from seed to seed than neighbours on the leaderboard differ.

    Args:
        cells: The expected test scores, columns `ranks.CELLS`.
        controls: Methods that are not ranked.

    Returns:
        A warning for each federation, with the number of such methods; none with a single seed. The value is the
        largest standard deviation over seeds (n - 1 below the line).
    """
    averages = {seed: federation_ranks(client_ranks(own, controls)) for seed, own in cells.groupby("seed")}
    findings = []
    for federation in cells["federation"].unique() if len(averages) > 1 else []:
        table = pd.DataFrame({seed: ranks.loc[federation] for seed, ranks in averages.items()}).dropna()
        table = table.loc[table.mean(axis=1).sort_values(kind="stable").index]
        spread = pd.DataFrame({"sd": table.std(axis=1), "gap": table.mean(axis=1).diff(-1).abs()})
        unsure = spread[spread["sd"] > spread["gap"]]
        if len(unsure):
            about = listed(f"{m} (± {sd:.2f}, ahead by {gap:.2f})" for m, sd, gap in unsure.itertuples())
            message = (
                f"the average ranks of {len(unsure)} of {len(table)} methods vary more over seeds than they are ahead"
                f" of the next: {about}"
            )
            findings.append(finding("warning", "seed spread", message, federation, value=float(unsure["sd"].max())))
    return findings


def within_noise(statistics: Statistics, federations: Iterable[str]) -> list[Finding]:
    """Neighbours on the leaderboard, or in a federation's table, that their paired difference does not tell apart.

    Args:
        statistics: The statistics.
        federations: The federations; `all` stands for all together.

    Returns:
        A note for each federation. The value is the number of such neighbours.
    """
    findings = []
    for federation in federations:
        table = statistics.of("average_rank", federation).dropna(subset="value").sort_values("value", kind="stable")
        apart = statistics.pairs("average_rank", federation)["apart"]
        neighbours = list(zip(table.index, table.index[1:], strict=False))
        clear = [f"{a} before {b}" for a, b in neighbours if apart.get((a, b), False)]
        if unsure := len(neighbours) - len(clear):
            message = (
                f"of the {len(neighbours)} neighbours among {len(table)} ranked methods {unsure} are not told apart by"
                f" the difference of their average ranks, all pairs compared at once; clear: {listed(clear) or 'none'}"
            )
            findings.append(finding("note", "within noise", message, federation, value=unsure))
    return findings


def few_groups(statistics: Statistics, names: Mapping[str, str]) -> list[Finding]:
    """Clients of whose classes few groups are tested, and clients of too few groups for any interval.

    Args:
        statistics: The statistics.
        names: What every federation calls its groups: lesions, patients, ...

    Returns:
        For each federation, a warning of the clients without intervals, whose value is the smallest number of groups,
        and a note of those with small classes, whose value is how many there are.
    """
    findings = []
    for federation, name in names.items():
        if without := statistics.without_intervals(federation):
            message = f"too few {name} in the test set for intervals, also of means: clients {_counted(without)}"
            findings.append(finding("warning", "no intervals", message, federation, value=min(without.values())))
        if small := statistics.few_groups(federation):
            message = (
                f"fewer than {FEW_GROUPS} {name} show one part of the score, so that a single one moves it far:"
                f" clients {_counted(small)}"
            )
            findings.append(finding("note", "few groups", message, federation, value=len(small)))
    return findings


def drift(
    cells: pd.DataFrame,
    rates: Mapping[tuple[str, str], str],
    reference: pd.DataFrame,
    reference_rates: Mapping[tuple[str, str], str],
    settings_differ: Sequence[str],
) -> list[Finding]:
    """Methods whose scores or rate are not those of the committed numbers of the same configuration.

    The test images are the same, so that numbers are compared as they are, to the six decimals that are committed.

    Args:
        cells: The expected test scores, columns `ranks.CELLS`.
        rates: The chosen rates, by federation and method.
        reference: The committed table of test metrics, of the same score: federation, method, seed, client, value.
        reference_rates: The committed rates.
        settings_differ: Names of settings that the committed numbers were not made with.

    Returns:
        A warning for each method and federation; a single note, and no comparison, where settings differ. Methods that
        the committed table does not have on the very same clients are not compared.
    """
    if settings_differ:
        message = f"not compared with the committed numbers, which have other settings: {', '.join(settings_differ)}"
        return [finding("note", "drift from reference", message)]
    findings = []
    for (federation, method), own in cells.groupby(["federation", "method"], sort=False):
        theirs = reference[(reference["federation"] == federation) & (reference["method"] == method)]
        if set(theirs["client"]) != set(own["client"]):
            continue
        both = own.merge(theirs, on=["seed", "client"], suffixes=("", "_theirs"))
        away = (both["value"] - both["value_theirs"]).abs()
        # A model that diverged here or there alone is a drift.
        other = (away > _ROUNDING) | (both["value"].isna() ^ both["value_theirs"].isna())
        clients = list(dict.fromkeys(both.loc[other, "client"]))
        found = []
        if clients:
            mean, committed = own["value"].mean(skipna=False), theirs["value"].mean(skipna=False)
            found.append(
                f"its scores on {listed(clients)} are not the committed ones (mean {mean:.4f}, {committed:.4f})"
            )
        rate, theirs_rate = (held.get((str(federation), str(method))) for held in (rates, reference_rates))
        if theirs_rate is not None and float(rate or "nan") != float(theirs_rate):
            found.append(f"its rate {rate} is not the committed {theirs_rate}")
        if found:
            value = float(away.max()) if clients else None
            findings.append(
                finding("warning", "drift from reference", "; ".join(found), federation, method, value=value)
            )
    return findings


def hardly_moved(runs: Iterable[Mapping[str, Any]], choices: Iterable[Mapping[str, Any]]) -> list[Finding]:
    """Methods whose adapters changed the network so little, at the chosen rate, that the row is little but its head.

    Args:
        runs: The content of every run's `run.json`.
        choices: The selections.

    Returns:
        A warning for each method and federation. The value is the largest update over seeds, |W - W0| / |W0|. Runs that
        were measured before this was are passed over.
    """
    chosen = {(choice["federation"], choice["method"]): choice["rate"] for choice in choices}
    updates: dict[tuple[str, str], list[float]] = {}
    for run in runs:
        row = run["federation"], run["method"]["name"]
        update = run.get("moved", {}).get("update", {}).get("all")
        if update is not None and run["rate"] == chosen[row]:
            updates.setdefault(row, []).append(update)
    return [
        finding(
            "warning",
            "adapters hardly moved",
            f"at the chosen rate {chosen[row]} adapters change the weights that they adapt by {max(found):.1e} of their"
            " norm: what the row shows is its head",
            *row,
            value=max(found),
        )
        for row, found in updates.items()
        if max(found) < _HARDLY
    ]


def same_rows(cells: pd.DataFrame) -> list[Finding]:
    """Methods whose scores are equal on every client and seed.

    Args:
        cells: The expected test scores, columns `ranks.CELLS`.

    Returns:
        A warning for each group of equal methods and federation; the value is their number. Of rows that equal `local`
        it says that what they share changes nothing. Rows with a missing or diverged cell are compared with none.
    """
    findings = []
    for federation, own in cells.groupby("federation", sort=False):
        table = own.pivot_table(index="method", columns=["seed", "client"], values="value", dropna=False, sort=False)
        equal = table.dropna().round(_DIGITS).groupby(list(table.columns), sort=False)
        for names in (sorted(group.index, key=lambda name: (name == "local", name)) for _, group in equal):
            if len(names) > 1:
                why = ": what they share changes nothing" if "local" in names else ": they cannot be told apart here"
                message = f"equal on every client: {listed(names)}{why}"
                findings.append(finding("warning", "equal rows", message, federation, names[0], value=len(names)))
    return findings


def never_predicted(counts: Sequence[Counts], names: Mapping[str, str]) -> list[Finding]:
    """Parts of the score (classes, mostly) that rows predict nowhere at a client whose test images show them.

    Args:
        counts: Of every client. Where the task says of no part that it can be shown, nothing is found.
        names: What every federation calls its groups: lesions, patients, ...

    Returns:
        A warning for each federation, which counts the rows by part and client, the most of them first. The value is
        their largest number. With several seeds no model of a row predicts the part; rows of which one diverged are
        passed over.
    """
    findings = []
    for federation, name in names.items():
        cases = [(own, *case) for own in counts if own.federation == federation for case in _unpredicted(own)]
        cases.sort(key=lambda case: -len(case[2]))
        if not cases:
            continue
        about = [
            f"{own.task.part_names[part]} at client {own.client} ({name} that show it: {own.support[part]}) by "
            + (rows[0] if len(rows) == 1 else f"{len(rows)} of {tested} rows")
            for own, part, rows, tested in cases
        ]
        (first, _, most, _), every = cases[0], {row for _, _, rows, _ in cases for row in rows}
        alone = len(cases) == 1
        message = f"never predicted: {listed(about)}" + (f": {listed(most)}" if alone and len(most) > 1 else "")
        where = (federation, most[0] if len(every) == 1 else "", first.client if alone else "")
        findings.append(finding("warning", "never predicted", message, *where, value=len(most)))
    return findings


def worse_than_common(outside: pd.DataFrame, higher_is_better: bool) -> list[Finding]:
    """Adaptations that make a method reliably worse at hospitals outside than the common model as it is.

    Args:
        outside: What is known of one family, columns `reading.OUTSIDE_COLUMNS`.
        higher_is_better: Direction of its score.

    Returns:
        A warning for each pair that is worse in the mean over clients, and a note for each that is at one of several.
        The value is the difference.
    """
    several = outside.loc[outside["client"] != MEAN, "client"].nunique() > 1  # One client alone is the mean.
    where = {"mean": "in the mean over clients outside", **({"score": "at this client"} if several else {})}
    rows = outside[outside["quantity"].isin(list(where)) & ~outside["oracle"]]
    best_end = rows["difference_high"] if higher_is_better else -rows["difference_low"]
    return [
        finding(
            "warning" if row.quantity == "mean" else "note",
            "worse outside",
            f"reliably worse {where[str(row.quantity)]} than the common model as it is: {row.difference:+.3f}"
            f" ({row.difference_low:+.3f} to {row.difference_high:+.3f})",
            row.family,
            _pair(row),
            "" if row.quantity == "mean" else row.client,
            row.difference,
        )
        for row in rows[best_end < 0].itertuples()
    ]


def one_class(outside: pd.DataFrame) -> list[Finding]:
    """Pairs that take everything that a hospital outside has for one class.

    Args:
        outside: As in `worse_than_common`.

    Returns:
        A warning for each pair and client. The value is the share of the class.
    """
    rows = outside[(outside["quantity"] == "one_class") & (outside["client"] != MEAN) & (outside["value"] > _ONE_CLASS)]
    return [
        finding(
            "warning",
            "one class",
            f"{row.value:.2%} of what it predicts is one class",
            row.family,
            _pair(row),
            row.client,
            row.value,
        )
        for row in rows.itertuples()
    ]


def surer_and_worse(outside: pd.DataFrame, higher_is_better: bool) -> list[Finding]:
    """Adaptations whose predictions became surer, and are worse than `none`'s: what is minimised is no score.

    Both entropies are of the adaptation's own model, before its first step and after its last one: where it normalises
    by statistics of batches, both do. The score is compared with that of the common model as it is, which normalises by
    running statistics, so that what is worse may be these statistics and not the steps.

    Args:
        outside: As in `worse_than_common`.
        higher_is_better: Direction of its score.

    Returns:
        A note for each pair and client. The value is the score less that of the common model as it is.
    """
    keys = ["family", "client", "method", "adaptation"]
    scores = outside[(outside["quantity"] == "score") & ~outside["oracle"]].set_index(keys)["difference"]
    entropy = outside[outside["quantity"] == "entropy"].set_index(keys)[["value", "difference"]]
    rows = entropy.join(scores.rename("score"), how="inner").reset_index()
    rows["before"] = rows["value"] - rows["difference"]
    worse = -merit(rows["score"], higher_is_better=higher_is_better) > 0
    return [
        finding(
            "note",
            "surer and worse",
            f"in adapting, the entropy of its predictions fell from {row.before:.3f} to {row.value:.3f}; its score"
            f" less that of the common model as it is: {row.score:+.3f}",
            row.family,
            _pair(row),
            row.client,
            row.score,
        )
        for row in rows[worse & rows["score"].notna() & (rows["difference"] < 0)].itertuples()
    ]


def reference_rows(runs: Iterable[Mapping[str, Any]], unused: Iterable[Sequence[str]]) -> list[Finding]:
    """Rows that were not trained here, and rows that were although the reference was asked for.

    Args:
        runs: The content of every run's `run.json`.
        unused: Federation, method and why its kept row was not used.

    Returns:
        A note for each.
    """
    taken = {
        (run["federation"], run["method"]["name"]): f"measured at {run['commit'][:12]} on {run['device']}, not here"
        for run in runs
        if run["origin"] == "reference"
    }
    return [
        *(finding("note", "reference row", message, *row) for row, message in taken.items()),
        *(
            finding("note", "not used", f"trained here: {why}", federation, method)
            for federation, method, why in unused
        ),
    ]


def _unpredicted(own: Counts) -> Iterator[tuple[int, list[str], int]]:
    """Parts that targets show and some rows never predict: the part's place, these rows, and how many were tested."""
    whole = ~own.missing.any(axis=1) & ~np.isnan(own.values).any(axis=(1, 2, 3, 4))
    shown = own.task.appearances(own.values[whole]) if whole.any() else None
    if shown is not None:
        methods = np.array(own.methods, dtype=object)[whole]
        true, predicted = (np.asarray(one.any(axis=(1, 2))) for one in shown)  # (methods, parts)
        for part in np.flatnonzero((true & ~predicted).any(axis=0)):
            yield int(part), methods[~predicted[:, part]].tolist(), len(methods)


def finding(
    severity: str,
    check: str,
    message: str,
    federation: Any = "",
    method: Any = "",
    client: Any = "",
    value: Any = None,
) -> Finding:
    """A finding, by its `COLUMNS`."""
    return dict(zip(COLUMNS, (severity, check, federation, method, client, value, message), strict=True))


def listed(texts: Iterable[str]) -> str:
    """The first of several texts, and how many there are besides."""
    found = list(texts)
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return ", ".join(found[:_NAMED]) + more


def _pair(row: Any) -> str:
    return f"{row.method} with {row.adaptation}"


def _counted(clients: Mapping[str, object]) -> str:
    return ", ".join(f"{client} ({about})" for client, about in clients.items())


def _means(cells: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Mean scores by some of a cell's columns, NaN where a cell is missing or diverged, with the score's direction."""
    grouped = cells.groupby(keys, sort=False)
    higher = grouped["higher_is_better"].first()
    return grouped["value"].mean(skipna=False).to_frame().join(higher).reset_index()


def _merit(scores: pd.DataFrame, column: str) -> Any:
    return merit(scores[column], higher_is_better=scores["higher_is_better"])
