"""How sure the results are, as tables for the report: which method beats which, and how stable ranks and rates are."""

from collections import Counter

from benchmark.evaluation.statistics import ALL
from benchmark.reporting.grid import Cell, Column, Grid, measured
from benchmark.reporting.inputs import Results
from benchmark.reporting.measure import Measure


def friedman(results: Results) -> str:
    """What Friedman's test and those after it found, in a few sentences."""
    test = results.statistics.significance
    if not test["computed"]:
        return f"Friedman's test over clients was not computed: {test['reason']}."
    methods, blocks, alpha = test["methods"], len(test["blocks"]), test["alpha"]
    differ = "these trained models differ on these clients" if test["p_value"] < alpha else "no difference is found"
    pairs = len(methods) * (len(methods) - 1) // 2
    parts = [
        f"Friedman's test over {blocks} clients and {len(methods)} ranked methods: statistic {test['statistic']:.2f},"
        f" p = {test['p_value']:.2g}; at the level {alpha} {differ}.",
    ]
    tests = {
        "nemenyi": f"Nemenyi's test (critical difference {test['critical_difference']:.2f})",
        "wilcoxon_holm": "Wilcoxon's signed-rank test with Holm's correction",
    }
    for name, title in tests.items():
        why = test["powerless"].get(name)
        tells = f"tells {_pairs(test[name], alpha)} of {pairs} pairs apart"
        parts.append(f"{title} {f'cannot tell any pair apart: {why}' if why else tells}.")
    if test["left_out"]:
        parts.append(f"Left out for want of a result: {', '.join(test['left_out'])}.")
    parts.append(
        "These tests take clients for independent. Clients of one federation share a model, so that a small p says that"
        " these models differ here, not that the methods would differ elsewhere."
    )
    return " ".join(parts)


def _pairs(matrix: dict[str, dict[str, float]], alpha: float) -> int:
    """How many pairs of methods differ at a level."""
    return sum(p < alpha for method, row in matrix.items() for other, p in row.items() if method < other)


def places(results: Results) -> Grid | None:
    """How often a method is first over all federations, and the average rank of each seed alone.

    None where there are no statistics.
    """
    shares, table = results.statistics.places(), results.statistics.stability
    if table.empty:
        return None
    shares = shares.reindex([name for name in results.order if name in shares.index])
    by_seed = table[(table["federation"] == ALL) & (table["quantity"] == "average_rank")]
    alone = dict(zip(zip(by_seed["method"], by_seed["setting"], strict=True), by_seed["value"], strict=True))
    seeds = [str(seed) for seed in results.seeds] if len(results.seeds) > 1 else []
    numbered = range(1, shares.shape[1] + 1)
    columns = [
        Column("Method", number=False),
        Column("First", "max"),
        Column("First three", "max"),
        Column("Median place", "min"),
        *(Column(f"Average rank, seed {seed} alone", "min") for seed in seeds),
    ]
    rows = []
    for method, line in shares.iterrows():
        cumulated = line.cumsum()
        median = next(place for place in numbered if cumulated[place] >= 0.5 - 1e-9)
        rows.append(
            [
                Cell(results.methods[str(method)].title),
                _percent(float(line.iloc[0])),
                _percent(float(line.iloc[:3].sum())),
                Cell(str(median), median),
                *(measured(Measure(alone[str(method), seed]), 2) for seed in seeds),
            ]
        )
    rough = (
        " Some test sets are too small to say how that is, so that these shares are rough."
        if any(results.statistics.without_intervals(name) for name in results.counted)
        else ""
    )
    single = (
        f" Average rank among the {len(rows)} methods with one seed alone, at the rate that all seeds chose."
        if seeds
        else " There is one seed: how ranks vary from seed to seed is not known."
    )
    caption = (
        f"Places of {len(rows)} ranked methods by average rank over all federations: how often a method is first, or"
        " among the first three, and its median place, where scores are drawn as other test sets of this size would"
        f" give them.{rough}{single}"
    )
    return Grid(columns, rows, [], caption)


def ranks_by_draw(results: Results, name: str) -> Grid | None:
    """How stable average ranks are over the draws of a split, the best of all draws together first.

    None where there are no statistics.
    """
    table = results.statistics.by_draw(name)
    if table.empty:
        return None
    together = results.federation_ranks.T[name].reindex(table.index).sort_values(kind="stable")
    ranks = table.loc[together.index]
    count, rows = len(ranks.columns), []
    for place, (method, own) in enumerate(zip(ranks.index, ranks.to_numpy(float), strict=True)):
        last = place + 1 == len(ranks)
        ahead = 0 if last else int((own < ranks.iloc[place + 1].to_numpy(float)).sum())
        rows.append(
            [
                Cell(results.methods[str(method)].title),
                measured(Measure(float(together[method])), 2),
                *(measured(Measure(float(rank)), 2) for rank in own),
                measured(Measure(float(own.mean())), 2),
                measured(Measure(float(own.max() - own.min())), 2),
                Cell("—") if last else Cell(f"{ahead} of {count}", ahead),
            ]
        )
    columns = [
        Column("Method", number=False),
        Column("Together", "min"),
        *(Column(f"Draw {number + 1}", "min") for number in range(count)),
        Column("Mean of draws", "min"),
        Column("Range", "min"),
        Column("Before the next in"),
    ]
    caption = (
        f"{results.title(name)}: average ranks of {len(rows)} methods on {count} draws of the split. Every draw is"
        " trained and tested by itself, at a rate of its own. Together: of scores on the test images of all draws."
        " Range: the largest less the smallest. Before the next in: in how many draws the method has a better average"
        " rank than the one below it; in the others the two have changed places, or are equal."
    )
    return Grid(columns, rows, [], caption)


def rates(results: Results, federation: str) -> Grid:
    """A federation's chosen rates, and what other evidence would choose."""
    seeds = len(results.seeds) > 1
    columns = [
        Column("Method", number=False),
        Column("Chosen"),
        Column("By window"),
        *([Column("By seed")] if seeds else []),
        Column("Clients agree", "max"),
    ]
    ranked: list[list[Cell]] = []
    controls: list[list[Cell]] = []
    for method in results.order:
        if (federation, method) not in results.selected:
            continue
        rate = results.selected[federation, method]["rate"]
        row = [
            Cell(results.methods[method].title),
            Cell(rate, float(rate)),
            Cell(_counted(results.statistics.rates_by("rounds", federation, method))),
            *([Cell(_counted(results.statistics.rates_by("seeds", federation, method)))] if seeds else []),
            _percent(results.statistics.agreement(federation, method, rate)),
        ]
        (controls if results.methods[method].control else ranked).append(row)
    by_seed = " By seed: the rate of each seed alone." if seeds else ""
    caption = (
        f"{results.title(federation)}: the chosen rate, and the rates that other evidence would choose. By window:"
        f" where validation scores are averaged over the last k evaluated rounds, k being 1, 2 and so on.{by_seed}"
        " Clients agree: how often the same rate is chosen where as many clients are drawn with replacement."
    )
    return Grid(columns, ranked, controls, caption)


def _counted(chosen: dict[str, str]) -> str:
    """Rates, the most frequent first, with how often each is chosen where there are several."""
    counts = Counter(chosen.values()).most_common()
    return ", ".join(f"{rate} ({n} of {len(chosen)})" if len(counts) > 1 else rate for rate, n in counts)


def _percent(share: float) -> Cell:
    return Cell(f"{100 * share:.0f} %", round(share, 2))
