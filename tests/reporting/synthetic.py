"""Results as the engine would leave them, drawn from a seed: what selection and reporting are tested with."""

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from safetensors.numpy import save_file

from benchmark.comparison import Places
from benchmark.counted import ABOUT, frame
from benchmark.evaluation import select
from benchmark.files import read_json, write_json
from benchmark.job import run as run_job

TITLES = {
    "fedit": "FedIT",
    "fedpal": "FedPAL",
    "fedopal_r": "FedOPAL-R",
    "local": "Local",
    "pooled": "Pooled",
}
TWO_ADAPTERS = ("feddpa_t", "feddpa_f", "fedpal", "fedopal_w", "fedopal_r", "ditto", "apfl")
# Of three classes or more, the last client lacks the last one.
FEDERATIONS: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
    "toy_lesions": (["naevus", "melanoma", "keratosis"], ["bcn", "vidir", "msk"]),
    "toy_slides": (["normal", "tumour"], ["0", "1"]),
}
ADAPTATIONS = {"each": "Each expert", "mean": "Mean of experts", "none": "Common model", "norm": "TENT"}
ROUNDS = 3


@dataclass(frozen=True)
class Tree:
    """Where the drawn results stand."""

    root: Path
    runs: list[Path] = field(default_factory=list)
    tests: list[Path] = field(default_factory=list)

    @property
    def comparison(self) -> Path:
        """The file that all jobs take."""
        return self.root / "comparison.json"

    @property
    def clients(self) -> Path:
        """The table of test metrics."""
        return self.root / "clients.parquet"

    def change(self, **values: Any) -> None:
        """Write other values into the comparison's file."""
        write_json(self.comparison, {**read_json(self.comparison), **values})

    def select(self, federation: str, method: str) -> None:
        """Select a row's rate, as its rule does."""
        places, row = Places(str(self.root)), (federation, method)
        gathered = [places.gathered(*row, kind) for kind in ("json", "parquet")]
        options = ["--output", places.selected(*row), "--gathered", *gathered, "--overlaps", places.overlap(*row)]
        assert run_job(select.main, [places.runs(*row), *options]) == 0

    def job(self, module: str, *options: object) -> int:
        """Run a job on the comparison; its exit status."""
        work = import_module(f"benchmark.{module}").main
        return run_job(work, [str(self.comparison), *map(str, options)])


def write(
    root: Path,
    *,
    federations: Mapping[str, tuple[Sequence[str], Sequence[str]]] = FEDERATIONS,
    methods: Sequence[str] = ("fedit", "fedpal", "fedopal_r", "local"),
    rates: Sequence[str] = ("1e-3", "1e-2"),
    seeds: Sequence[int] = (0, 1),
    diverged: Sequence[tuple[str, str, str]] = (("toy_slides", "fedpal", "1e-2"),),
) -> Tree:
    """Write a complete set of results.

    Args:
        root: The folder that stands for `results/{name}`.
        federations: Classes and clients of each federation.
        methods: Methods; `local` and `pooled` are controls.
        rates: Learning rates.
        seeds: Seeds.
        diverged: What diverged: federation, method and rate.

    Returns:
        Where everything stands. Selections, with overlaps, and the table of metrics come from the jobs themselves.
    """
    tree, places = Tree(root), Places(str(root))
    for federation, (classes, clients) in federations.items():
        for method in methods:
            for rate in rates:
                for seed in seeds:
                    folder = Path(places.run(federation, method, rate, seed))
                    lost = (federation, method, rate) in diverged
                    write_run(folder, run(federation, method, rate, seed, clients, lost), lost)
                    tree.runs.append(folder)
            tree.select(federation, method)
            for seed in seeds:
                folder = Path(places.test(federation, method, seed, ""))
                folder.mkdir(parents=True)
                write_test(folder, *predictions(federation, method, seed, classes, clients))
                tree.tests.append(folder)
            write_json(Path(places.looks(federation, method)), 1)
    write_json(
        tree.comparison,
        {
            "name": "drawn",
            "title": "A <title> & more",
            "rows": [(federation, method) for federation in federations for method in methods],
            "rates": rates,
            "seeds": seeds,
            "last_rounds": 1,
            "appendix": [],
            "unused": [],
            "manifests": {name: manifest(name, *content) for name, content in federations.items()},
        },
    )
    assert not tree.job("evaluation.collect")
    return tree


def leave_one_out(root: Path, family: str = "toy_lesions", **others: Any) -> Tree:
    """The same of the federations without one client each, and how that one is served: `each`, `mean`, `none`, `norm`.

    Args:
        root: The folder that stands for `results/{name}`.
        family: The federation that stands in none of them.
        **others: As in `write`.

    Returns:
        Where everything stands. `mean` is right more often than `none`, and `norm` takes everything for one class.
    """
    classes, clients = FEDERATIONS[family]
    without = {f"{family}_without_{own}": own for own in clients}
    sites = {name: (classes, [own for own in clients if own != out]) for name, out in without.items()}
    tree = write(root, federations=sites, diverged=(), **others)
    held, places = read_json(tree.comparison), Places(str(root))
    whole, methods = manifest(family, classes, clients), dict.fromkeys(method for _, method in held["rows"])
    for name, out in without.items():
        own = {"clients": {c: whole["clients"][c] for c in sites[name][1]}, "outside": {out: whole["clients"][out]}}
        held["manifests"][name] |= {"dataset": family, "title": whole["title"], **own}
        for method in methods:
            for seed in held["seeds"]:
                tested = predictions(family, f"{name} {method}", seed, classes, clients)
                inside = tested[0]["client"] != out
                write_test(Path(places.test(name, method, seed, "")), tested[0][inside], tested[1][inside])
                for adaptation, models in {
                    "mean": ["mean"],
                    "none": ["common"],
                    "norm": ["common"],
                    "each": sites[name][1],
                }.items():
                    folder = Path(places.outside(name, out, method, adaptation, seed, ""))
                    folder.mkdir(parents=True)
                    write_served(folder, adaptation, models, tested[0][~inside], tested[1][~inside])
    tree.change(
        **held, families={family: list(without)}, adaptations=["each", "mean", "none", "norm"], adapting="split"
    )
    assert not tree.job("evaluation.collect")
    return with_statistics(tree)


def write_served(
    folder: Path, adaptation: str, models: Sequence[str], about: pd.DataFrame, probabilities: npt.NDArray[np.float32]
) -> None:
    """Write what `outside` would of an adaptation, given what `none` predicts."""
    parts, true = [], np.eye(probabilities.shape[1], dtype=np.float32)[about["label"]]
    for place, model in enumerate(models):
        better = {"mean": 0.5, "each": 0.3 * place}.get(adaptation, 0.0)
        write_test(folder, about, probabilities + better * true if adaptation != "norm" else 0 * probabilities)
        parts.append(pd.read_parquet(folder / "counts.parquet").assign(model=model))
    pd.concat(parts, ignore_index=True).to_parquet(folder / "counts.parquet")
    shares = [1.0, 0.0] if adaptation == "norm" else [0.6, 0.4]
    told = {
        "entropy": {"before": 0.8, "after": shares[1]},
        "predicted": {"before": None, "after": dict(enumerate(shares))},
    }
    described = {"name": adaptation, "title": ADAPTATIONS[adaptation], "oracle": adaptation == "each"}
    write_json(folder / "adapted.json", {"adaptation": described, "models": dict.fromkeys(models, told)})


def with_statistics(tree: Tree) -> Tree:
    """Add intervals, comparisons, tests and stability, as the jobs compute them, with few draws."""
    families = ["families"] if read_json(tree.comparison).get("families") else []
    for job in ("uncertainty", "stability", *families):
        assert not tree.job(f"evaluation.{job}", "--draws", 200)
    return tree


def write_test(folder: Path, about: pd.DataFrame, probabilities: npt.NDArray[np.float32]) -> None:
    """Write what `evaluate` would: counts and predictions of samples (sample, client, label, group)."""
    classes = np.eye(probabilities.shape[1])
    true, predicted = classes[about["label"]], classes[probabilities.argmax(1)]
    predicted[np.isnan(probabilities).any(axis=1)] = np.nan
    about = about.assign(case=about["sample"])[ABOUT]
    values = np.stack([predicted * true, predicted, true], axis=-1)
    frame(about, values, ("hit", "predicted", "true")).to_parquet(folder / "counts.parquet")
    columns = {f"probability_{c}": probabilities[:, c] for c in range(len(classes))}
    about.assign(**columns).to_parquet(folder / "predictions.parquet")


def generator(*key: object) -> np.random.Generator:
    """A generator of random numbers that depends on the key alone."""
    return np.random.default_rng(zlib.crc32(repr(key).encode()))


def manifest(federation: str, classes: Sequence[str], clients: Sequence[str]) -> dict[str, Any]:
    """A federation's manifest; its clients' counts fall from one client to the next."""
    lacks = len(classes) > 2
    counts = {
        client: {
            split: [size // (place + 1)] * (len(classes) - 1) + [0 if lacks and place == len(clients) - 1 else 3]
            for split, size in {"train": 400, "validation": 60, "test": 80}.items()
        }
        for place, client in enumerate(clients)
    }
    return {
        "dataset": federation,
        "title": federation.replace("_", " ").capitalize(),
        "task": "classification",
        "classes": list(classes),
        "group_name": "lesions" if "lesions" in federation else "patients",
        "clients": {client: {"name": f"Site {client}", "counts": counts[client]} for client in clients},
        "missing_clients": [],
        "image_size": 32,
        "protocol": "published",
        "caption": "Drawn by a test.",
        "source": {"samples": 540},
        "licence": {"name": "CC0"},
        "homepage": "",
    }


def run(
    federation: str, method: str, rate: str, seed: int, clients: Sequence[str], diverged: bool = False
) -> dict[str, Any]:
    """A run's `run.json`."""
    return {
        "federation": federation,
        "method": {
            "name": method,
            "title": TITLES.get(method, method),
            "paper": "arXiv:0000.00000",
            "control": method in ("local", "pooled"),
            "settings": {},
        },
        "head": {"policy": "personal" if method == "local" else "shared", "fixed": method == "local"},
        "moved": {"A": {"global": 0.04}, "update": {"all": None if diverged else 0.02}, "head": {"head": 2.0}},
        "rate": rate,
        "seed": seed,
        "rounds": ROUNDS,
        "clients": list(clients),
        "task": {"name": "classification", "score": "balanced_accuracy", "higher_is_better": True},
        "settings": {"rounds": ROUNDS, "lora": {"rank": 4}},
        "hashes": {"data": "0" * 64, "method": "1" * 64, "backbone": "2" * 64, "engine": "3" * 64},
        "versions": {"python": "3.11", "torch": "2.0"},
        "device": "Drawn GPU",
        "commit": "abcdef0123456789",
        "costs": {
            "trainable_parameters": 1000,
            "image_passes": ROUNDS,
            "bytes_up": 0 if method == "local" else 36_864 * 4,
            "bytes_down": 0 if method == "local" else 36_864 * 4,
            "bytes_up_total": 0 if method == "local" else ROUNDS * 36_864 * 4,
            "bytes_down_total": 0 if method == "local" else ROUNDS * 36_864 * 4,
            "seconds": 12.5,
            "peak_memory_bytes": 10**9,
        },
        "origin": "trained",
        "diverged_round": 2 if diverged else None,
    }


def write_run(folder: Path, content: dict[str, Any], diverged: bool = False) -> None:
    """Write `run.json` and `metrics.parquet`: scores that rise from round to round, or end in NaN."""
    rows = []
    for client in content["clients"]:
        key = (content["federation"], content["method"]["name"], content["rate"], client)
        level = generator(*key).uniform(0.5, 0.8)
        noise = generator(*key, content["seed"])
        for finished in range(1, content["rounds"] + 1):
            score = level * (1 - 0.6 ** (finished + 1)) + noise.normal(0, 0.01)
            for metric, value in {"balanced_accuracy": score, "loss": 1.5 - score}.items():
                lost = diverged and finished >= content["diverged_round"]
                rows.append((finished, client, "validation", metric, float("nan") if lost else value, 60))
            rows.append((finished, client, "train", "loss", 1.4 - score, 400))
    write_json(folder / "run.json", content)
    write_state(folder / "state.safetensors", content)
    columns = ["round", "client", "split", "metric", "value", "n"]
    pd.DataFrame(rows, columns=columns).to_parquet(folder / "metrics.parquet", index=False)


def write_state(path: Path, content: dict[str, Any]) -> None:
    """Write the leaves of two blocks: a global adapter, and a personal one where the method is said to have it."""
    clients, name = content["clients"], content["method"]["name"]
    draw = generator(content["federation"], name, content["rate"], content["seed"])
    leaves = {
        f"{adapter}/blocks.{block}.attn.{projection}.{factor}": draw.normal(size=(len(clients), *shape)).astype("f4")
        for adapter in (("global", "personal") if name in TWO_ADAPTERS else ("global",))
        for block in range(2)
        for projection in ("q", "v")
        for factor, shape in {"A": (2, 12), "B": (12, 2)}.items()
    }
    save_file(leaves, path, {"clients": json.dumps(clients)})


def predictions(
    federation: str, method: str, seed: int, classes: Sequence[str], clients: Sequence[str]
) -> tuple[pd.DataFrame, npt.NDArray[np.float32]]:
    """Samples (sample, client, label, group), and probabilities of models that are right more often than by chance."""
    parts, probabilities = [], []
    described = manifest(federation, classes, clients)
    for client in clients:
        images = described["clients"][client]["counts"]["test"]
        labels = np.repeat(np.arange(len(classes)), images)
        draw = generator(federation, method, client, seed)
        scores = draw.normal(size=(len(labels), len(classes)))
        scores += draw.uniform(1, 2) * np.eye(len(classes))[labels]
        probabilities.append((np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)).astype(np.float32))
        samples = [f"{client}-{i}" for i in range(len(labels))]
        parts.append(pd.DataFrame({"sample": samples, "client": client, "label": labels, "group": samples}))
    return pd.concat(parts, ignore_index=True), np.concatenate(probabilities)
