"""A comparison: which rows there are, and where everything of it stands.

Every job that looks at more than one row is given one file, `results/NAME/comparison.json`, in whose folder all results
of the configuration stand. It holds what the plan knows (methods, rates, seeds, ...) and the manifest of every
federation, and nothing that was measured.

The paths are built here and nowhere else: the plan asks for them with the names of wildcards in place of names.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmark.files import read_json

NAME = "comparison.json"
"""The file's name in the folder of the results."""


def run_path(rate: str, seed: int | str, file: str = "") -> str:
    """Where a run stands in the folder of its row's runs, or a file in it: `lr=1e-3/seed=0`."""
    return f"lr={rate}/seed={seed}{f'/{file}' if file else ''}"


EVERY_RUN = run_path("*", "*")
"""A pattern of the runs in that folder."""


@dataclass(frozen=True)
class Places:
    """Where the results of one configuration stand. Names may be those of wildcards, `{federation}`.

    Attributes:
        folder: The folder of the results, `results/NAME`.
    """

    folder: str

    def of(self, name: str) -> str:
        """A file or folder of the whole comparison: `clients.parquet`."""
        return f"{self.folder}/{name}"

    def runs(self, federation: str, method: str) -> str:
        """The folder of all runs of a row."""
        return f"{self.folder}/runs/{federation}/{method}"

    def run(self, federation: str, method: str, rate: str, seed: int | str, file: str = "") -> str:
        """The folder of a run, or a file in it: `run.json`, `metrics.parquet`, `state.safetensors`."""
        return f"{self.runs(federation, method)}/{run_path(rate, seed, file)}"

    def selected(self, federation: str, method: str) -> str:
        """A row's selection."""
        return f"{self.folder}/selected/{federation}/{method}.json"

    def gathered(self, federation: str, method: str, kind: str) -> str:
        """What a row's runs say that the whole comparison reads: their `run.json` as `json`, scores as `parquet`."""
        return f"{self.folder}/gathered/{federation}/{method}.{kind}"

    def test(self, federation: str, method: str, seed: int | str, file: str) -> str:
        """What a row's model made of the test images at the selected rate: `counts.parquet`, `predictions.parquet`."""
        return f"{self.tests(federation, method)}/seed={seed}/{file}"

    def tests(self, federation: str, method: str) -> str:
        """The folder of a row's tests, one for each seed."""
        return f"{self.folder}/test/{federation}/{method}"

    def cases(self, federation: str) -> str:
        """Which test cases of a federation are shown."""
        return f"{self.folder}/cases/{federation}.csv"

    def shown(self, federation: str, method: str) -> str:
        """What a row's model makes of them."""
        return f"{self.tests(federation, method)}/shown.npz"

    def looks(self, federation: str, method: str) -> str:
        """With how many versions of its code and settings a method's test scores were looked at."""
        return f"{self.tests(federation, method)}/looks.json"

    def outside(self, federation: str, client: str, method: str, adaptation: str, seed: int | str, file: str) -> str:
        """What a hospital outside is served with: `adapted.safetensors`; `counts.parquet`, `adapted.json`, ..."""
        return f"{self.served(federation, client, method)}/{adaptation}/seed={seed}/{file}"

    def served(self, federation: str, client: str, method: str) -> str:
        """The folder of all that a row's models serve a hospital outside with."""
        return f"{self.folder}/outside/{federation}/{client}/{method}"

    def shown_outside(self, federation: str, client: str, method: str) -> str:
        """What a hospital outside's cases look like that are shown, with every adaptation of a row."""
        return f"{self.served(federation, client, method)}/shown.npz"

    def all_rates(self, federation: str, method: str) -> str:
        """A row's test scores with every rate, for the appendix."""
        return f"{self.folder}/appendix/{federation}/{method}.csv"

    def overlap(self, federation: str, method: str) -> str:
        """How much a row's adapters overlap."""
        return f"{self.folder}/overlap/{federation}/{method}.csv"

    def table(self, federation: str, kind: str) -> str:
        """A federation's table, as `csv`, `md` or `tex`."""
        return f"{self.folder}/tables/{federation}.{kind}"


NONE = "none"
"""The adaptation that others are compared with: the common model predicts as it is."""
LOCAL = "local"
"""The control that methods are compared with: each client trains alone."""


@dataclass(frozen=True)
class Comparison:
    """The rows that stand in the tables together.

    Attributes:
        folder: Where all results stand.
        name: The configuration's name.
        title: One line for the report.
        rows: Federation and method of every row.
        rates: The learning rates as the configuration writes them.
        seeds: The seeds.
        last_rounds: See `SelectionSettings`.
        appendix: Rows whose every rate is tested for the appendix.
        unused: With `baselines: reference`, rows that are trained all the same: federation, method and why.
        taken: Then the rows that are taken from the reference, so that no model of theirs is here.
        alone: By row, the one in which each client trains the same leaves alone; empty where nobody asks.
        manifests: What each federation holds, by its name.
        draw_of: By federations that are one draw of several: the name that these share.
        families: Federations with an outside (of draws the name that they share), by the one that they are without a
            client each; by itself one whose outside is named.
        adaptations: How clients outside are served.
        adapting: To which of their images; see `Config`.
    """

    folder: Path
    name: str
    title: str
    rows: Sequence[tuple[str, str]]
    rates: Sequence[str]
    seeds: Sequence[int]
    last_rounds: int = 1
    appendix: Sequence[tuple[str, str]] = ()
    unused: Sequence[tuple[str, str, str]] = ()
    taken: Sequence[tuple[str, str]] = ()
    alone: Mapping[str, str] = field(default_factory=dict)
    manifests: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    draw_of: Mapping[str, str] = field(default_factory=dict)
    families: Mapping[str, Sequence[str]] = field(default_factory=dict)
    adaptations: Sequence[str] = ()
    adapting: str = ""

    @classmethod
    def read(cls, path: Path) -> "Comparison":
        """The comparison that `results/NAME/comparison.json` describes; its folder will do.

        A ValueError says that the file is no comparison, an OSError that there is none.
        """
        file = path / NAME if path.is_dir() else path
        held: dict[str, Any] = read_json(file)
        try:
            lists = [key for key in ("rows", "appendix", "unused", "taken") if key in held]
            tuples: dict[str, Any] = {key: [tuple(row) for row in held[key]] for key in lists}
            return cls(folder=file.parent, **{**held, **tuples})
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"{file}: not a comparison ({error}); delete it and run Snakemake again") from None

    @cached_property
    def places(self) -> Places:
        """Where everything stands."""
        return Places(self.folder.as_posix())

    @property
    def federations(self) -> list[str]:
        """Names of the federations, in the order in which they are shown."""
        return list(dict.fromkeys(federation for federation, _ in self.rows))

    @property
    def counted(self) -> list[str]:
        """The names that count as one federation each: those of federations, and for draws the one that they share."""
        return list(dict.fromkeys(self.draw_of.get(name, name) for name in self.federations))

    def draws(self, name: str) -> list[str]:
        """The federations that a name stands for: all draws of one, or itself."""
        return [draw for draw, shared in self.draw_of.items() if shared == name] or [name]

    def manifest(self, name: str) -> Mapping[str, Any]:
        """What a federation holds; of draws, what the first one holds."""
        return self.manifests[self.draws(name)[0]]

    def tests(self, name: str, method: str, seed: int, file: str) -> list[Path]:
        """What a row's models made of the test images, of every draw."""
        return [Path(self.places.test(draw, method, seed, file)) for draw in self.draws(name)]

    @property
    def methods(self) -> list[str]:
        """Names of the methods."""
        return list(dict.fromkeys(method for _, method in self.rows))
