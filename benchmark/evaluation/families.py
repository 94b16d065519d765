"""Job: how well hospitals outside the federation are served: every method with every adaptation.

A **pair** is a method and an adaptation. A **family** is what `leave_one_out` makes of a federation, or a federation
whose outside is named. Pairs are scored, compared and ranked over a family's outside clients as methods are over
clients (`benchmark.evaluation.standings`). `outside.parquet` has a row per number, columns `reading.OUTSIDE_COLUMNS`;
by `quantity`:

* `score` of a client and `mean` over clients; the difference is from `none` with the same method;
* `average_rank`, and `place`, whose low and high are the first and the last that a pair may have; of ranked methods
  with adaptations that are no oracles;
* `best`: the score of the best model that an oracle serves. Labels choose it, so that it has no interval;
* `effect` of an adaptation, with the method `all`: the mean over ranked methods; the difference is from `none`, and
  `apart` says whether it is not 0 with all adaptations compared at once;
* `inside`: a method's score on the client where this takes part, the mean over the family's other federations;
* `published`: what papers report in place of the score, as the task says; of a pair, and of a method where the client
  takes part, as `inside` is;
* `entropy` of predictions after adapting; the difference is from before its first step, and not from `none`: an
  adaptation may normalise by statistics of batches before it has learned anything. `one_class`: the largest share of
  predictions that one class has.

The client `mean` stands for all outside clients of a family, each with the same weight.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmark.comparison import NONE, Comparison
from benchmark.evaluation import counts
from benchmark.evaluation.counts import Counts
from benchmark.evaluation.estimate import Estimate, mean_of, of_client, over_trainings, simultaneous, weighed
from benchmark.evaluation.merit import merit
from benchmark.evaluation.reading import DESCRIBED, OUTSIDE, OUTSIDE_COLUMNS, controls_of, read_runs
from benchmark.evaluation.standings import DRAWS, Standings, generator, standings
from benchmark.evaluation.statistics import ALL, MEAN
from benchmark.evaluation.uncertainty import compared, frame
from benchmark.files import atomic, read_json
from benchmark.job import GivenPath, run
from benchmark.tasks import task as tasks
from benchmark.tasks.task import Task

_STANDING = ("score", "mean", "average_rank", "place")
_DIFFERENCE = {"difference": "difference", "difference_low": "low", "difference_high": "high"}


@dataclass(frozen=True)
class Served:
    """A model that serves clients outside: a pair's only one, or one of an oracle's."""

    method: str
    adaptation: str
    model: str = ""

    @property
    def name(self) -> str:
        """What it is called among all."""
        return "/".join(part for part in (self.method, self.adaptation, self.model) if part)


@dataclass(frozen=True)
class Family:
    """A family's outside clients, and what serves them.

    Attributes:
        comparison: What is compared.
        name: The family.
        controls: Methods that are not ranked.
    """

    comparison: Comparison
    name: str
    controls: Collection[str] = ()

    @property
    def federations(self) -> Sequence[str]:
        """Its federations; of draws the name that they share."""
        return self.comparison.families[self.name]

    @cached_property
    def task(self) -> Task:
        """What is learned."""
        return tasks.of(self.comparison.manifest(self.federations[0]))

    @cached_property
    def sites(self) -> dict[str, tuple[str, str]]:
        """Federation and client of all who stand outside, by the client; of one outside of several, by both."""
        outside = [(f, client) for f in self.federations for client in self.comparison.manifest(f)["outside"]]
        clients = [client for _, client in outside]
        return {c if clients.count(c) == 1 else f"{c} ({f})": (f, c) for f, c in outside}

    @cached_property
    def about(self) -> dict[str, dict[str, Any]]:
        """What every adaptation says of itself: `title`, and whether it is an `oracle`."""
        site, method = next(iter(self.sites.values())), self.comparison.methods[0]
        files = {name: self.files(site, Served(method, name), DESCRIBED)[0][0] for name in self.comparison.adaptations}
        return {name: read_json(path)["adaptation"] for name, path in files.items()}

    @cached_property
    def served(self) -> list[Served]:
        """All models."""
        found: dict[Served, None] = {}
        for site in self.sites.values():
            for method in self.comparison.methods:
                for name, about in self.about.items():
                    models = self.told(site, Served(method, name))[0] if about["oracle"] else [""]
                    found |= {Served(method, name, model): None for model in models}
        return list(found)

    @property
    def unranked(self) -> list[str]:
        """The models that are shown and not ranked."""
        return [own.name for own in self.served if own.model or own.method in self.controls]

    def files(self, site: tuple[str, str], served: Served, file: str) -> list[list[Path]]:
        """A file of a model on a client outside: of every seed, one for each draw of the split."""
        held, (federation, client) = self.comparison, site
        key = (client, served.method, served.adaptation)
        draws = held.draws(federation)
        return [[Path(held.places.outside(draw, *key, seed, file)) for draw in draws] for seed in held.seeds]

    def told(self, site: tuple[str, str], served: Served) -> list[dict[str, Any]]:
        """What adapting said of its models, by their names: of every seed and draw."""
        return [read_json(path)["models"] for paths in self.files(site, served, DESCRIBED) for path in paths]

    def counts(self) -> Iterator[Counts]:
        """The counts of every client outside; its methods are all that is served."""
        names, models, seeds = [own.name for own in self.served], [own.model for own in self.served], self._seeds
        for name, site in self.sites.items():
            paths = {
                (m, s): files
                for m, own in enumerate(self.served)
                for s, files in enumerate(self.files(site, own, counts.FILE))
            }
            for own in counts.assembled(self.name, self.task, [site[1]], names, seeds, paths, models):
                yield replace(own, client=name)

    def trained(self, client: str) -> list[tuple[str, int]]:
        """The trainings of the family's federations in which a client takes part: federation and seed."""
        held = self.comparison
        joined = [own for own in self.federations if client in held.manifest(own)["clients"]]
        # Other federations are other trainings, as other seeds are.
        return [(federation, seed) for federation in joined for seed in held.seeds]

    def inside(self) -> dict[str, Estimate]:
        """How methods do on those of the clients that take part in other federations of the family."""
        held, methods, found = self.comparison, self.comparison.methods, dict[str, Estimate]()
        for name, (_, client) in self.sites.items():
            trained = self.trained(client)
            paths = {
                (m, s): held.tests(federation, method, seed, counts.FILE)
                for m, method in enumerate(methods)
                for s, (federation, seed) in enumerate(trained)
            }
            places = list(range(len(trained)))
            for own in counts.assembled(self.name, self.task, [client], methods, places, paths) if trained else ():
                found[name] = over_trainings(of_client(own))
        return found

    @property
    def _seeds(self) -> list[int]:
        return list(self.comparison.seeds)


def table(family: Family, draws: int = DRAWS) -> pd.DataFrame:
    """All that is known of a family.

    Args:
        family: The family.
        draws: How often ranks are drawn.

    Returns:
        Columns `reading.OUTSIDE_COLUMNS`.
    """
    held, inside = standings(list(family.counts()), family.unranked, draws), family.inside()
    estimates = {client: site.scores for (_, client), site in held.sites.items()} | {MEAN: held.mean(family.name)}
    if set(inside) == set(family.sites):
        inside[MEAN] = mean_of(inside)
    found = pd.concat(
        [
            _standing(family, held, estimates),
            *(_effect(family, client, own) for client, own in estimates.items()),
            *(_inside(family, client, own) for client, own in inside.items()),
            _averaged(family, (row for client in inside if client != MEAN for row in _joined(family, client))),
            _averaged(family, (row for client in family.sites for row in _best(family, client, estimates[client]))),
            _averaged(family, (row for client in family.sites for row in _told(family, client))),
        ],
        ignore_index=True,
    )
    of = found["adaptation"].map(family.about)
    found["title"] = [own["title"] if isinstance(own, dict) else "" for own in of]
    found["oracle"] = [isinstance(own, dict) and bool(own["oracle"]) for own in of]
    nothing = {**dict.fromkeys(("adaptation", "model", "reason"), ""), "apart": False}
    return found.assign(family=family.name).reindex(columns=OUTSIDE_COLUMNS).fillna(nothing)


def main(comparison: GivenPath, draws: int = DRAWS) -> None:
    """Write `outside.parquet` beside the comparison.

    Args:
        comparison: The comparison, `results/NAME/comparison.json`.
        draws: How often ranks are drawn.
    """
    held = Comparison.read(comparison)
    controls = controls_of(read_runs(held))
    found = [table(Family(held, name, controls), draws) for name in held.families]
    with atomic(held.folder / OUTSIDE) as temporary:
        pd.concat(found, ignore_index=True).to_parquet(temporary, index=False)


def _standing(family: Family, held: Standings, estimates: Mapping[str, Estimate]) -> pd.DataFrame:
    """Scores, means, ranks and places of all models, and how these compare with `none`."""
    found = frame(held)
    found = found[(found["federation"] == family.name) & found["quantity"].isin(_STANDING)]
    against = pd.concat(_against_none(family, client, own) for client, own in estimates.items())
    found = found.merge(against, "left", on=["client", "quantity", "method"])
    names = {own.name: own for own in family.served}
    served = [names[name] for name in found["method"]]
    return found.assign(**{part: [getattr(own, part) for own in served] for part in ("method", "adaptation", "model")})


def _against_none(family: Family, client: str, estimate: Estimate) -> pd.DataFrame:
    """Every model's score less that of `none` with the same method."""
    places = {own: place for place, own in enumerate(family.served)}
    bases = {own: Served(own.method, NONE) for own in family.served}
    others = [own for own, base in bases.items() if base in places and own != base]
    rows, columns = [places[own] for own in others], [places[bases[own]] for own in others]
    found = compared(*estimate.differences(), np.inf, estimate.value, higher=family.task.higher_is_better)
    about = {"client": client, "quantity": "mean" if client == MEAN else "score"}
    numbers = {column: found[name][rows, columns] for column, name in _DIFFERENCE.items()}
    return pd.DataFrame({**about, "method": [own.name for own in others], **numbers})


def _effect(family: Family, client: str, estimate: Estimate) -> pd.DataFrame:
    """What every adaptation does to the mean over the ranked methods of which no model diverged."""
    adaptations = [name for name, about in family.about.items() if not about["oracle"]]
    values = dict(zip(family.served, estimate.value, strict=True))
    ranked = [name for name in family.comparison.methods if name not in family.controls]
    whole = [name for name in ranked if not any(np.isnan(values[Served(name, own)]) for own in adaptations)]
    if not whole or NONE not in adaptations:
        return pd.DataFrame()
    weights = np.zeros((len(adaptations), len(family.served)))
    for place, own in enumerate(family.served):
        if own.method in whole and own.adaptation in adaptations:
            weights[adaptations.index(own.adaptation), place] = 1 / len(whole)
    sums, base = weighed(estimate, weights), adaptations.index(NONE)
    critical = np.inf if sums.reason else simultaneous(sums.summands[0].sum(axis=0), generator(family.name, client))
    found = compared(*sums.differences(), critical, sums.value, higher=family.task.higher_is_better)
    low, high = sums.interval()
    about = {"client": client, "method": ALL, "adaptation": adaptations, "quantity": "effect", "reason": sums.reason}
    numbers = {column: found[name][:, base] for column, name in {**_DIFFERENCE, "apart": "apart"}.items()}
    return pd.DataFrame({**about, "value": sums.value, "low": low, "high": high, **numbers})


def _inside(family: Family, client: str, estimate: Estimate) -> pd.DataFrame:
    """What methods score where a client takes part."""
    low, high = estimate.interval()
    about = {"client": client, "method": family.comparison.methods, "quantity": "inside", "reason": estimate.reason}
    return pd.DataFrame({**about, "value": estimate.value, "low": low, "high": high})


def _best(family: Family, client: str, estimate: Estimate) -> Iterator[dict[str, Any]]:
    """Of every oracle the best model on a client; of equals the first by name."""
    values = dict(zip(family.served, estimate.value, strict=True))
    for method, adaptation in dict.fromkeys((own.method, own.adaptation) for own in family.served if own.model):
        own = [own for own in family.served if (own.method, own.adaptation) == (method, adaptation)]
        models = sorted(own, key=lambda one: one.model)
        better = merit([values[one] for one in models], higher_is_better=family.task.higher_is_better)
        best = models[int(better.argmax())]
        less = values[best] - values.get(Served(method, NONE), np.nan)
        yield {**vars(best), "client": client, "quantity": "best", "value": values[best], "difference": less}
        yield from _published(family, client, best)


def _told(family: Family, client: str) -> Iterator[dict[str, Any]]:
    """What is published of every pair on a client, and what adapting said of it: means over seeds and draws."""
    for own in (own for own in family.served if not own.model):
        yield from _published(family, client, own)
        told = [next(iter(models.values())) for models in family.told(family.sites[client], own)]
        entropies, shares = [one["entropy"] for one in told], [one["predicted"]["after"] for one in told]
        about = {**vars(own), "client": client}
        if all(None not in one.values() for one in entropies):
            after, before = (float(np.mean([one[when] for one in entropies])) for when in ("after", "before"))
            yield {**about, "quantity": "entropy", "value": after, "difference": after - before}
        if None not in shares:
            yield {**about, "quantity": "one_class", "value": float(np.mean([max(own.values()) for own in shares]))}


def _published(family: Family, client: str, served: Served) -> Iterator[dict[str, Any]]:
    """What papers report of a model, the mean over seeds and draws; nothing where the task knows of no such number."""
    task, site = family.task, family.sites[client]
    if task.published_as:
        paths = [path for of_seed in family.files(site, served, counts.FILE) for path in of_seed]
        value = _mean_published(task, paths, site[1], served.model)
        yield {**vars(served), "client": client, "quantity": "published", "value": value}


def _joined(family: Family, client: str) -> Iterator[dict[str, Any]]:
    """What papers report of methods where a client takes part, the mean over those trainings and their draws."""
    held, own = family.comparison, family.sites[client][1]
    for method in held.methods if family.task.published_as else ():
        trained = family.trained(own)
        paths = [path for name, seed in trained for path in held.tests(name, method, seed, counts.FILE)]
        about = {"client": client, "method": method, "adaptation": "", "model": "", "quantity": "published"}
        if all(path.is_file() for path in paths):
            yield {**about, "value": _mean_published(family.task, paths, own)}


def _mean_published(task: Task, paths: Iterable[Path], client: str, model: str = "") -> float:
    """The mean over files of what papers report of a client."""
    there = (counts.of_clients([path], task, model) for path in paths)
    return float(np.mean([task.published(own) for found in there for name, _, own in found if name == client]))


def _averaged(family: Family, rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Rows of clients, and below them the means over all clients, whichever model of an oracle serves them."""
    found = pd.DataFrame(rows, columns=["client", "method", "adaptation", "model", "quantity", "value", "difference"])
    found = found.astype({"value": "float64", "difference": "float64"})  # Where there is no row, too.
    grouped = found.groupby(["method", "adaptation", "quantity"], sort=False)
    means = grouped[["value", "difference"]].mean(skipna=False)[grouped.size() == len(family.sites)]
    return pd.concat([found, means.reset_index().assign(client=MEAN)])


if __name__ == "__main__":
    raise SystemExit(run(main))
