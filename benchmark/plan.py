"""What there is to do, and where everything stands: the Snakefile's and the tests' only source of names and paths.

The plan knows methods and datasets by their files, without importing them: a broken method does not stop the others
from being planned. It reads no data, so that a plan can be made before anything is downloaded.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmark import adaptations, federations, fitness, gallery
from benchmark.baselines.match import found
from benchmark.baselines.rows import Baselines, hashes
from benchmark.comparison import LOCAL, NONE, Places
from benchmark.config import (
    Config,
    ConfigError,
    FederationSettings,
    ProtocolSettings,
    RunningSettings,
    ServingJob,
    TrainingJob,
    VariantSettings,
    parse,
)
from benchmark.federation import shard
from benchmark.files import digest, sha256
from benchmark.methods import method_file
from benchmark.sources import ROOT, closure, code, fetching

_ROW = ("{federation}", "{method}")
"""A row in patterns of paths."""
_SERVED = ("{federation}", "{client}", "{method}")
"""A row and a hospital outside, likewise."""
_OF_FEDERATION = ("federation", "clients", "context", "task")
"""What of a training is its federation's."""
_OF_METHOD = ("method", "variant", "method_settings", "head", "trains")
"""What is its method's."""


@dataclass(frozen=True)
class Plan:
    """A configuration's jobs and artefacts.

    Attributes:
        config: The validated configuration.
    """

    config: Config

    @classmethod
    def of(cls, values: Mapping[str, Any], where: str = "configuration") -> "Plan":
        """Plan a configuration.

        Args:
            values: The parsed YAML, as Snakemake holds it.
            where: What error messages call it.

        Returns:
            The plan.

        Raises:
            ConfigError: A fault of the configuration, or a method, method setting or dataset that does not exist.
        """
        config = parse(values, where)
        if faults := fitness.faults(config):
            raise ConfigError("\n".join(f"{where}: {fault}" for fault in faults))
        return cls(federations.expanded(config))

    # What there is.

    @property
    def federations(self) -> list[str]:
        """Names of the federations."""
        return list(self.config.federations)

    @property
    def draw_of(self) -> dict[str, str]:
        """By federations that are one draw of several: the name that these share."""
        return {name: own.draw_of for name, own in self.config.federations.items() if own.draw_of}

    @property
    def tabled(self) -> list[str]:
        """The names that have a table: federations, then those that draws share."""
        return list(dict.fromkeys([*self.federations, *self.draw_of.values()]))

    @cached_property
    def methods(self) -> list[str]:
        """Names of the rows of a federation: methods that are named, the user's own, and variants; each sorted."""
        return [*self.plain, *self.variants]

    @cached_property
    def variants(self) -> dict[str, VariantSettings]:
        """By name, the rows that are a method once more.

        The configuration's; with `head: both` personal heads; with `alone` what methods train, trained alone.
        """
        alone = {
            name: VariantSettings(method=LOCAL, trains=trains)
            for trains in self._trained.values()
            if (name := self._partner(trains)) != LOCAL
        }
        return dict(sorted({**alone, **self._given}.items()))

    @property
    def alone(self) -> dict[str, str]:
        """With `alone`, by ranked row the one in which each client trains the same leaves alone."""
        return {row: self._partner(trains) for row, trains in self._trained.items()}

    @cached_property
    def _trained(self) -> dict[str, tuple[str, ...]]:
        """With `alone`, what every ranked row trains."""
        given = {**{name: VariantSettings(method=name) for name in self.plain}, **self._given}
        ranked = {row: own for row, own in given.items() if not fitness.fixed(own.method, "control")}
        asked = ranked if self.config.alone else {}
        return {row: fitness.trained(self.config, own.method, own.trains) for row, own in asked.items()}

    def _partner(self, trains: tuple[str, ...]) -> str:
        """The row in which each client trains these leaves alone: `local`, or `local_head`, say."""
        return LOCAL if trains == tuple(sorted(self.config.trains)) else "_".join([LOCAL, *trains])

    @cached_property
    def _given(self) -> dict[str, VariantSettings]:
        policies = {name: fitness.fixed(name, "head") for name in self.plain} if self.config.head == "both" else {}
        heads = {
            f"{name}_personal_head": VariantSettings(method=name, head="personal")
            for name, fixed in policies.items()
            if fixed is None
        }
        return {**heads, **self.config.variants}

    def method(self, row: str) -> str:
        """The method of a row."""
        return self.variants[row].method if row in self.variants else row

    def method_file(self, row: str) -> str:
        """The file of a row's method, from the project's root."""
        return method_file(self.method(row))

    @cached_property
    def plain(self) -> list[str]:
        """The methods that are rows under their own name."""
        return fitness.chosen(self.config)

    @property
    def datasets(self) -> list[str]:
        """Names of the datasets of all federations."""
        return sorted({self.dataset(name) for name in self.federations})

    @cached_property
    def rows(self) -> list[tuple[str, str]]:
        """Every row there is: its federation and its method."""
        return [(federation, method) for federation in self.federations for method in self.methods]

    def dataset(self, federation: str) -> str:
        """The dataset of a federation."""
        return self.config.federations[federation].dataset or federation

    def task(self, federation: str) -> str:
        """What is learned on a federation, as its dataset's module says, which is read and not imported."""
        return fitness.task(self.dataset(federation))

    @property
    def tasks(self) -> list[str]:
        """What is learned on all federations."""
        return sorted({self.task(name) for name in self.federations})

    def located(self, federation: str) -> FederationSettings:
        """A federation's settings; the user's own copy of the data, if there is one, with the path where it stands."""
        settings = self.config.federations[federation]
        return settings.model_copy(update={"source": self._local(settings.source)}) if settings.source else settings

    # Where everything stands.

    @property
    def results(self) -> str:
        """The folder of this configuration's results."""
        return f"results/{self.config.name}"

    @property
    def figures(self) -> str:
        """The folder of its figures."""
        return f"figures/{self.config.name}"

    @cached_property
    def folders(self) -> dict[str, str]:
        """By data folder's name, the federation that says how it is filled: equal settings share a folder."""
        return {self.data_folder(name): name for name in reversed(self.federations)}

    @cached_property
    def packs(self) -> dict[str, str]:
        """By pack's name, the federation that says how it is packed: equal settings share a pack."""
        return {self.pack(name): name for name in reversed(self.federations)}

    def data_folder(self, federation: str) -> str:
        """Name of the folder below `data_root` that holds a federation's images, or says where they are."""
        settings, dataset = self.located(federation), self.dataset(federation)
        own = {"source": settings.source, "options": settings.options}
        return f"{dataset}-{digest(own)[:8]}" if settings.source or settings.options else dataset

    def pack(self, federation: str) -> str:
        """Name of the folder below `results/packs/` that holds a federation's packed images."""
        settings = _packing(self.config.federations[federation])
        key = digest([self.data_folder(federation), settings])[:8]
        return f"{self.dataset(federation)}-{settings['image_size']}px-{key}"

    @property
    def pack_files(self) -> list[str]:
        """The files of a pack beside its manifest, which is written last."""
        ends = (".npy", ".targets.npy", ".parquet", ".cases.parquet")
        return [f"{split}{end}" for split in ("train", "test") for end in ends]

    def packed(self, file: str) -> Callable[[Any], str]:
        """A file of a federation's pack, as Snakemake asks for it: given the wildcard `federation`."""
        return lambda wildcards: f"results/packs/{self.pack(wildcards.federation)}/{file}"

    def log(self, name: str) -> str:
        """Where the job of this name writes what it says; the name may hold wildcards."""
        return f"logs/{self.config.name}/{name}.log"

    @property
    def backbone(self) -> str:
        """The folder of the pretrained weights."""
        return f"results/backbones/{self.config.backbone.name}-{digest(json.loads(self.fetching()))[:8]}"

    @property
    def places(self) -> Places:
        """Where the results stand."""
        return Places(self.results)

    @property
    def selected(self) -> str:
        """Pattern of a method's selection, over the wildcards `federation` and `method`."""
        return self.places.selected(*_ROW)

    @property
    def overlap(self) -> str:
        """Pattern of a method's overlap of adapters, over the wildcards `federation` and `method`."""
        return self.places.overlap(*_ROW)

    @property
    def runs(self) -> str:
        """Pattern of the folder of a row's runs, over the wildcards `federation` and `method`."""
        return self.places.runs(*_ROW)

    def of_runs(self, file: str) -> list[str]:
        """Patterns of a file of every run, over the wildcards `federation` and `method`."""
        return [self.places.run(*_ROW, rate, seed, file) for rate in self.config.rates for seed in self.config.seeds]

    @property
    def gathered(self) -> list[str]:
        """Patterns of what the comparison reads of a row's runs, over the wildcards `federation` and `method`."""
        return [self.places.gathered(*_ROW, kind) for kind in ("json", "parquet")]

    @property
    def tested(self) -> list[str]:
        """Patterns of what a row's models made of the test images, over the wildcards `federation` and `method`."""
        files = ("counts.parquet", "predictions.parquet")
        tests = [self.places.test(*_ROW, seed, file) for file in files for seed in self.config.seeds]
        return [*tests, self.places.looks(*_ROW)]

    @property
    def collected(self) -> dict[str, str]:
        """What every job reads that reports on the comparison, by names for a rule's input."""
        files = {"comparison": "comparison.json", "clients": "clients.parquet", "rows": "rows.json"}
        return {name: self.places.of(file) for name, file in files.items()}

    def every(self, *patterns: str) -> list[str]:
        """Patterns over `federation` and `method` filled in for all of both."""
        return _filled(self.rows, patterns)

    def every_trained(self, *patterns: str) -> list[str]:
        """The same for the rows that are trained here."""
        return _filled(self.baselines.trained, patterns)

    # Hospitals outside.

    @property
    def outside(self) -> list[str]:
        """The clients outside of any federation."""
        return sorted({client for settings in self.config.federations.values() for client in settings.outside})

    @property
    def served(self) -> list[str]:
        """The federations whose models serve them; their rows are all trained here."""
        return [name for name in self.federations if self.config.federations[name].outside]

    @property
    def adaptations(self) -> dict[str, str]:
        """How they are served: files from the project's root, by name; none where nobody is outside."""
        names = adaptations.chosen(self.config.adaptations) if self.outside else []
        return {name: adaptations.adaptation_file(name) for name in names}

    def of_served(self, file: str) -> list[str]:
        """Patterns of a file of every adaptation and seed, over `federation`, `client` and `method`."""
        seeds = self.config.seeds
        return [self.places.outside(*_SERVED, name, seed, file) for name in self.adaptations for seed in seeds]

    @property
    def outside_tests(self) -> list[str]:
        """What all hospitals outside are served with, tested."""
        files = ("counts.parquet", "predictions.parquet", "adapted.json")
        return [
            pattern.format(federation=federation, client=client, method=method)
            for federation, method in self.rows
            for client in self.config.federations[federation].outside
            for file in files
            for pattern in self.of_served(file)
        ]

    @property
    def pictured(self) -> list[str]:
        """The federations whose hospitals outside have cases that are shown: as they are served by `none`."""
        there = NONE in self.adaptations
        return [name for name in self.served if there and "overlays" in fitness.figures(self.task(name))]

    @property
    def shown_outside(self) -> str:
        """Pattern of these cases with every adaptation of a row, over `federation`, `client` and `method`."""
        return self.places.shown_outside(*_SERVED)

    @property
    def all_shown_outside(self) -> list[str]:
        """The same of every row and hospital outside."""
        return [
            self.places.shown_outside(federation, client, method)
            for federation in self.pictured
            for client in self.config.federations[federation].outside
            for method in self.methods
        ]

    @property
    def families(self) -> dict[str, list[str]]:
        """Those federations, draws of one together, by the one that they are without a client each, else by itself."""
        found: dict[str, dict[str, None]] = {}
        for name in self.served:
            own = self.config.federations[name]
            counted = own.draw_of or name
            found.setdefault(federations.family(counted, own.outside), {})[counted] = None
        return {family: list(names) for family, names in found.items()}

    def serving(self, federation: str, client: str) -> str:
        """Settings of the jobs that serve a hospital outside, as JSON."""
        given = self.config.adaptation_settings
        own = {file: given.get(name, {}) for name, file in self.adaptations.items()}
        modules = f"benchmark.models.{self.config.backbone.network}", f"benchmark.tasks.{self.task(federation)}"
        job = ServingJob(
            client=client,
            adapting=self.config.adapting,
            adaptations=own,
            code=code("benchmark.evaluation.adapt", *modules),
        )
        return job.model_dump_json()

    # Rows that are kept with the project; see `Baselines`.

    @property
    def row_files(self) -> list[str]:
        """Patterns of all that reports need of a row, over the wildcards `federation` and `method`."""
        return [self.selected, *self.gathered, *self.tested, self.overlap]

    @property
    def statistics(self) -> list[str]:
        """How sure and how stable the results are: what tables, figures, checks and report read beside the results."""
        names = ("intervals.parquet", "comparisons.csv", "significance.json", "stability.csv")
        return [self.places.of(name) for name in (*names, *(["outside.parquet"] if self.outside else []))]

    @property
    def reference(self) -> str:
        """The folder of this configuration's committed numbers, where there are any."""
        return f"results/reference/{self.config.name}"

    @property
    def kept(self) -> str:
        """Pattern of the archive that keeps a row, over the wildcards `federation` and `method`."""
        return f"{self.reference}/rows/{{federation}}/{{method}}.zip"

    @property
    def every_kept(self) -> list[str]:
        """The archives of all rows that another comparison may take: of none whose models serve hospitals outside."""
        return _filled([row for row in self.rows if row[0] not in self.served], [self.kept])

    @cached_property
    def baselines(self) -> Baselines:
        """Which of the rows are taken from the reference, and which are trained here."""
        asked = self.config.baselines == "reference"
        files, found = self.row_files, self._found
        return Baselines(asked, self.rows, self.results, self.kept, files, self._hashes, found, self.served)

    def _found(self, federation: str) -> tuple[dict[str, str], str]:
        pack = Path(f"results/packs/{self.pack(federation)}")
        return found(pack, Path(self.backbone))

    def _hashes(self, federation: str, method: str) -> dict[str, str]:
        settings = self.config.federations[federation]
        data = [self.dataset(federation), settings.options, _packing(settings)]
        task = self.task(federation)
        return hashes(self.config, self.training(federation, method), self.method_file(method), data, task)

    @property
    def where_trained(self) -> str:
        """What the wildcard `federation` matches in paths of rows that are trained here."""
        return self._where(self.baselines.trained)

    @property
    def where_nobody_is_outside(self) -> str:
        """What it matches in paths of those among them that serve no hospital outside."""
        return self._where([row for row in self.baselines.trained if row[0] not in self.served])

    @property
    def where_referenced(self) -> str:
        """What it matches in paths of rows that are taken from the reference."""
        return self._where(self.baselines.taken)

    def _where(self, rows: list[tuple[str, str]]) -> str:
        """Regex that restricts the wildcard `federation` to paths whose method belongs to `rows`."""
        methods = {name: [method for federation, method in rows if federation == name] for name in self.federations}
        return "|".join(f"{name}(?=/(?:{'|'.join(own)})[/.])" for name, own in methods.items() if own) or "(?!)"

    @property
    def targets(self) -> list[str]:
        """What `rule all` asks for. Every run is named, so that one whose training failed is never passed over."""
        tables = [self.places.table(name, kind) for name in self.tables for kind in ("csv", "md", "tex")]
        drawn = [f"{self.figures}/{name}.{kind}" for name in self.figure_names for kind in ("pdf", "svg", "csv")]
        return [
            *self.every_trained(*self.of_runs("run.json")),
            *self.every(*self.gathered),
            *self.outside_tests,
            *tables,
            *drawn,
            *self.statistics,
            *map(self.places.of, ("leaderboard.csv", "leaderboard.md", "selection.csv", "checks.csv", "report.html")),
            self.places.of("tables/communication.csv"),
            *([self.places.of("appendix/selection.csv")] if self.appendix else []),
        ]

    @property
    def validated(self) -> dict[str, Any]:
        """How methods compare on validation images, by names for a rule's input and output."""
        names = ("leaderboard.csv", *(f"{name}.{kind}" for name in self.tabled for kind in ("md", "csv")))
        return {
            "leaderboard": self.places.of("develop/leaderboard.md"),
            "others": [self.places.of(f"develop/{name}") for name in names],
        }

    @property
    def all_rates(self) -> str:
        """Pattern of every rate's test scores, over the wildcards `federation` and `method`."""
        return self.places.all_rates(*_ROW)

    @property
    def appendix(self) -> list[str]:
        """Every rate's test scores of the rows in the appendix: rows from the reference keep no leaves to test."""
        return self.every_trained(self.all_rates) if self.config.appendix else []

    @property
    def tables(self) -> list[str]:
        """The tables, by name: those of federations and of draws together, and that of hospitals outside."""
        return [*self.tabled, *(["outside"] if self.outside else [])]

    @property
    def described(self) -> str:
        """What `comparison.json` says of this comparison beside what its federations hold, as JSON."""
        config = self.config
        served = {"adaptations": list(self.adaptations), "adapting": config.adapting}
        return _json(
            {
                "name": config.name,
                "title": config.title or config.name,
                "rows": self.rows,
                "rates": config.rates,
                "seeds": config.seeds,
                "last_rounds": config.selection.last_rounds,
                "appendix": self.baselines.trained if config.appendix else [],
                "unused": [[*row, fault] for row, fault in self.baselines.unused.items()],
                "taken": self.baselines.taken,
                "alone": self.alone,
                "clients": {name: settings.clients for name, settings in config.federations.items()},
                "outside": {name: settings.outside for name, settings in config.federations.items()},
                "draw_of": self.draw_of,
                **({**served, "families": self.families} if self.outside else {}),
            }
        )

    @property
    def packed_at(self) -> str:
        """The folder of every federation's pack, as JSON."""
        return _json({name: f"results/packs/{self.pack(name)}" for name in self.federations})

    @property
    def figure_names(self) -> list[str]:
        """The figures: those that every comparison has, and those of its tasks."""
        return gallery.names(
            map(fitness.figures, self.tasks), experts=gallery.EACH in self.adaptations, pictured=bool(self.pictured)
        )

    @property
    def kept_figures(self) -> list[str]:
        """The files of the figures that are committed of this comparison."""
        return [f"{name}.{kind}" for name, kind in gallery.KEPT.items() if name in self.figure_names]

    @property
    def drawn_from_results(self) -> list[str]:
        """The figures that one job draws, from results alone."""
        return [name for name in self.figure_names if name not in gallery.FROM_IMAGES]

    @property
    def shown(self) -> str:
        """Pattern of what a row's model makes of the cases that are shown, over `federation` and `method`."""
        return self.places.shown(*_ROW)

    @property
    def cases(self) -> str:
        """Pattern of which test cases are shown, over the wildcard `federation`."""
        return self.places.cases("{federation}")

    @property
    def all_cases(self) -> list[str]:
        """The same of every federation whose task has overlays."""
        return [self.places.cases(name) for name in self._overlaid]

    @property
    def all_shown(self) -> list[str]:
        """The same of every row whose task has overlays, and which is trained here: others keep no model."""
        return _filled([row for row in self.baselines.trained if row[0] in self._overlaid], [self.shown])

    def shown_after(self, cases: Any) -> Callable[[Any], list[str]]:
        """All of them for a rule's input, asked for after Snakemake's checkpoint `cases` has chosen what is shown."""

        def asked(wildcards: Any) -> list[str]:
            for federation in self._overlaid:
                cases.get(federation=federation)
            return self.all_shown

        return asked

    def chosen(self, federation: str) -> str:
        """A hash of which cases of a federation are shown; empty before they are chosen."""
        path = Path(self.places.cases(federation))
        return sha256(path) if path.is_file() else ""

    @property
    def where_shown(self) -> str:
        """What the wildcard `federation` matches in their paths."""
        return "|".join(self._overlaid) or "(?!)"

    @cached_property
    def _overlaid(self) -> list[str]:
        """The federations whose task has overlays."""
        return [name for name in self.federations if "overlays" in fitness.figures(self.task(name))]

    @property
    def templates(self) -> list[str]:
        """The files that the report is rendered from."""
        folder = ROOT / "benchmark/reporting/templates"
        return sorted(path.relative_to(ROOT).as_posix() for path in folder.rglob("*") if path.is_file())

    # What decides the result of a job: parameters that rerun it when they change.

    def preparation(self, folder: str) -> str:
        """Settings of the job that fills a data folder, as JSON."""
        settings = self.located(self.folders[folder])
        return _json(settings.model_dump(mode="json", include={"source", "options", "split_seed"}))

    def packing(self, pack: str) -> str:
        """Settings of the job that packs a dataset, as JSON."""
        return _json(_packing(self.config.federations[self.packs[pack]]))

    def fetching(self) -> str:
        """Settings of the job that brings the backbone, as JSON."""
        settings = self.config.backbone
        if settings.weights not in ("hub", "drawn"):
            settings = settings.model_copy(update={"weights": self._local(settings.weights)})
        return settings.model_dump_json()

    @property
    def fetching_modules(self) -> list[str]:
        """The modules of the job that brings the backbone."""
        return fetching(self.config.backbone.network)

    @property
    def own_weights(self) -> list[str]:
        """The project's own file of weights, where it is the one that is asked for."""
        drawn = self.config.backbone.network == "vit" and self.config.backbone.weights == "drawn"
        return ["benchmark/models/drawn.safetensors"] if drawn else []

    def training(self, federation: str, method: str) -> str:
        """Settings of a `train` job, as JSON."""
        config = self.config
        settings = config.federations[federation]
        clients = settings.clients
        variant = self.variants.get(method, VariantSettings(method=method))
        job = TrainingJob(
            federation=federation,
            clients=None if clients is None else tuple(sorted(clients)),
            context=settings.context,
            method=method,
            variant=variant.described,
            method_settings=config.method_settings.get(variant.method, {}) | variant.settings,
            task=config.tasks.get(self.task(federation), {}),
            network=config.backbone.network,
            backbone=config.backbone.name,
            arguments=config.backbone.arguments,
            head=variant.head or ("personal" if config.head == "personal" else "shared"),
            **{name: getattr(config, name) for name in ProtocolSettings.model_fields if name != "trains"},
            trains=variant.trains or config.trains,
        )
        return job.model_dump_json()

    @property
    def protocol(self) -> str:
        """What of a training all rows have, as JSON."""
        training = json.loads(self.training(*self.rows[0]))
        return _json({k: v for k, v in training.items() if k not in (*_OF_FEDERATION, *_OF_METHOD)})

    @property
    def each_federation(self) -> str:
        """What each federation has of its own, as JSON: a list of `reporting.communication.Federation`."""
        own = {name: self._of_training(name, self.methods[0], _OF_FEDERATION) for name in self.federations}
        sizes = {name: federation.image_size for name, federation in self.config.federations.items()}
        return _json([{"own": own[n], "dataset": self.dataset(n), "image_size": sizes[n]} for n in self.federations])

    @property
    def each_method(self) -> str:
        """What each method has of its own on every federation, as JSON: a list of `reporting.communication.Method`."""
        own = {name: self._of_training(self.federations[0], name, _OF_METHOD) for name in self.methods}
        return _json([{"own": own[name], "file": self.method_file(name)} for name in self.methods])

    def _of_training(self, federation: str, method: str, names: Sequence[str]) -> dict[str, Any]:
        """These of the settings of a row's training."""
        return {key: value for key, value in json.loads(self.training(federation, method)).items() if key in names}

    # How jobs run, which decides no result: never a parameter.

    @property
    def farewell(self) -> str:
        """The last line of a run that ended well: where to look."""
        report, leaderboard = self.places.of("report.html"), self.places.of("leaderboard.md")
        if not Path(report).is_file():
            return f"Done; `snakemake all` goes on to {report}"
        return f"Report: {report}; tables: {leaderboard} and {self.places.of('tables/')}; figures: {self.figures}/"

    @property
    def running(self) -> str:
        """How `train` jobs run, as JSON."""
        return self.config.model_dump_json(include=set(RunningSettings.model_fields))

    @property
    def shard(self) -> str:
        """Pattern of what a shard of a training says of its lanes, over `federation`, `method` and its number."""
        return f"{self.runs}/{shard.FOLDER}/{{shard}}of{self.config.shards}/{shard.LANES}"

    @property
    def shards(self) -> list[str]:
        """Patterns of what all shards of a training say, over `federation` and `method`; none where it is in one."""
        numbers = range(1, self.config.shards + 1) if self.config.shards > 1 else ()
        return [self.shard.replace("{shard}", str(number)) for number in numbers]

    @property
    def wanted(self) -> str:
        """Whose data would lie where, as JSON: federations' settings by folder, for the check of licences."""
        federations = {
            f"{self.config.data_root}/{folder}": {
                **self.located(name).model_dump(mode="json", include={"source", "options"}),
                "dataset": self.dataset(name),
            }
            for folder, name in self.folders.items()
        }
        return _json(federations)

    @property
    def accepted(self) -> str:
        """What the user accepts, as JSON: for the same check."""
        return _json({"licences_accepted": self.config.licences_accepted})

    def access(self, folder: str) -> str:
        """How the job that fills a data folder may fetch it, as JSON."""
        mirrors = self.config.federations[self.folders[folder]].mirrors
        return _json({"licences_accepted": self.config.licences_accepted, "mirrors": mirrors})

    def threads(self, cores: int | None) -> int:
        """Threads to claim for a job that computes with one, given the cores Snakemake was promised.

        Promised cores that the machine does not have are shared out among the jobs, so that `--cores 8` on two cores
        runs two trainings at once and not eight.
        """
        return max(1, (cores or 1) // (os.cpu_count() or 1))

    def sources(self, *modules: str, dataset: str = "", tasks: Sequence[str] = ()) -> list[str]:
        """The project's files that a job runs: its inputs, since Snakemake does not follow imports.

        Args:
            *modules: The job's module, and others that it imports by name.
            dataset: The dataset whose module the job imports by name.
            tasks: The tasks whose modules it imports by name.

        Returns:
            Paths from the project's root, sorted.
        """
        named = [f"benchmark.tasks.{task}" for task in tasks]
        named += [f"benchmark.data.datasets.{dataset}"] if dataset else []
        return sorted({path for name in (*modules, *named) for path in closure(name)})

    def of_model(self, module: str) -> Callable[[Any], list[str]]:
        """The files of a job that runs a row's model, which imports network and task by name; for its wildcards."""
        network = f"benchmark.models.{self.config.backbone.network}"
        return lambda wildcards: self.sources(module, network, tasks=[self.task(wildcards.federation)])

    def _local(self, path: str) -> str:
        """A path of the user's, which is relative to `local_files`."""
        return os.path.normpath(os.path.join(*(os.path.expanduser(p) for p in (self.config.local_files, path))))


def _filled(rows: list[tuple[str, str]], patterns: Sequence[str]) -> list[str]:
    return [pattern.format(federation=f, method=m) for f, m in rows for pattern in patterns]


def _packing(settings: FederationSettings) -> dict[str, Any]:
    names = {"image_size", "resize", "protocol", "validation", "training_images", "split_seed"}
    return settings.model_dump(mode="json", include=names, exclude_none=True)


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
