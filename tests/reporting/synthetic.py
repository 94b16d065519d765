"""Results as the engine would leave them, drawn from a seed: what selection and reporting are tested with."""

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import save_file

from benchmark.evaluation import collect, overlap, select, stability, uncertainty
from benchmark.files import write_json

TITLES = {
    "fedit": "FedIT",
    "fedpal": "FedPAL",
    "fedopal_r": "FedOPAL-R",
    "local": "Local",
    "pooled": "Pooled",
}
TWO_ADAPTERS = ("feddpa_t", "feddpa_f", "fedpal", "fedopal_w", "fedopal_r", "ditto", "apfl")
# Of three classes or more, the last client lacks the last one.
DATASETS: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
    "toy_lesions": (["naevus", "melanoma", "keratosis"], ["bcn", "vidir", "msk"]),
    "toy_slides": (["normal", "tumour"], ["0", "1"]),
}
ROUNDS = 3


@dataclass(frozen=True)
class Tree:
    """Where the drawn results stand."""

    root: Path
    runs: list[Path]
    selected: list[Path]
    predictions: list[Path]
    manifests: list[Path]
    clients: Path
    confusion: Path
    overlap: list[Path]
    statistics: list[Path] = field(default_factory=list)

    def arguments(self) -> list[str]:
        """The arguments that reporting jobs share."""
        lists = {"--selected": self.selected, "--runs": self.runs, "--manifests": self.manifests}
        lists |= {"--statistics": self.statistics} if self.statistics else {}
        shared = ["--clients", str(self.clients)]
        for option, paths in lists.items():
            shared += [option, *map(str, paths)]
        return shared

    def extras(self) -> list[str]:
        """The arguments that only figures need."""
        return ["--confusion", str(self.confusion), "--overlap", *map(str, self.overlap)]


def write(
    root: Path,
    *,
    datasets: Mapping[str, tuple[Sequence[str], Sequence[str]]] = DATASETS,
    methods: Sequence[str] = ("fedit", "fedpal", "fedopal_r", "local"),
    rates: Sequence[str] = ("1e-3", "1e-2"),
    seeds: Sequence[int] = (0, 1),
    diverged: Sequence[tuple[str, str, str]] = (("toy_slides", "fedpal", "1e-2"),),
) -> Tree:
    """Write a complete set of results.

    Args:
        root: The folder that stands for `results/{name}`.
        datasets: Classes and clients of each dataset.
        methods: Methods; `local` and `pooled` are controls.
        rates: Learning rates.
        seeds: Seeds.
        diverged: What diverged: dataset, method and rate.

    Returns:
        Where everything stands. Selections and the table of metrics come from the jobs themselves.
    """
    tree = Tree(root, [], [], [], [], root / "clients.parquet", root / "confusion.parquet", [])
    for dataset, (classes, clients) in datasets.items():
        tree.manifests.append(root / "data" / dataset / "manifest.json")
        write_json(tree.manifests[-1], manifest(dataset, classes, clients))
        for method in methods:
            folders = []
            for rate in rates:
                for seed in seeds:
                    folder = root / "runs" / dataset / method / f"lr={rate}" / f"seed={seed}"
                    lost = (dataset, method, rate) in diverged
                    write_run(folder, run(dataset, method, rate, seed, clients, lost), lost)
                    folders.append(folder)
            tree.runs.extend(folders)
            tree.selected.append(root / "selected" / dataset / f"{method}.json")
            assert not select.main(["--runs", *map(str, folders), "--output", str(tree.selected[-1])])
            states = [str(folder / "state.safetensors") for folder in folders]
            tree.overlap.append(root / "overlap" / dataset / f"{method}.csv")
            options = ["--selected", str(tree.selected[-1]), "--output", str(tree.overlap[-1])]
            assert not overlap.main([*options, "--states", *states])
            for seed in seeds:
                path = root / "test" / dataset / method / f"seed={seed}" / "predictions.parquet"
                path.parent.mkdir(parents=True)
                predictions(dataset, method, seed, classes, clients).to_parquet(path)
                tree.predictions.append(path)
    assert not collect.main(
        [
            *("--predictions", *map(str, tree.predictions)),
            *("--manifests", *map(str, tree.manifests)),
            *("--output", str(tree.clients)),
            *("--confusion", str(tree.confusion)),
        ]
    )
    return tree


def with_statistics(tree: Tree) -> Tree:
    """Add intervals, comparisons, tests and stability, as the jobs compute them, with few resamples."""
    names = ("intervals.parquet", "comparisons.csv", "significance.json", "stability.csv")
    files = [tree.root / name for name in names]
    shared = ["--predictions", *map(str, tree.predictions), "--clients", str(tree.clients)]
    shared += ["--runs", *map(str, tree.runs), "--resamples", "200"]
    written = [part for path in files[:3] for part in (f"--{path.stem}", str(path))]
    assert not uncertainty.main([*shared, *written])
    assert not stability.main([*shared, "--selected", *map(str, tree.selected), "--output", str(files[3])])
    return replace(tree, statistics=files)


def generator(*key: object) -> np.random.Generator:
    """A generator of random numbers that depends on the key alone."""
    return np.random.default_rng(zlib.crc32(repr(key).encode()))


def manifest(dataset: str, classes: Sequence[str], clients: Sequence[str]) -> dict[str, Any]:
    """A dataset's manifest; its clients' counts fall from one client to the next."""
    lacks = len(classes) > 2
    counts = {
        client: {
            split: [size // (place + 1)] * (len(classes) - 1) + [0 if lacks and place == len(clients) - 1 else 3]
            for split, size in {"train": 400, "validation": 60, "test": 80}.items()
        }
        for place, client in enumerate(clients)
    }
    return {
        "dataset": dataset,
        "title": dataset.replace("_", " ").capitalize(),
        "task": "classification",
        "classes": list(classes),
        "clients": {client: {"name": f"Site {client}", "counts": counts[client]} for client in clients},
        "missing_clients": [],
        "image_size": 32,
        "protocol": "published",
        "caption": "Drawn by a test.",
        "licence": {"name": "CC0"},
        "homepage": "",
    }


def run(
    dataset: str, method: str, rate: str, seed: int, clients: Sequence[str], diverged: bool = False
) -> dict[str, Any]:
    """A run's `run.json`."""
    return {
        "federation": dataset,
        "method": {
            "name": method,
            "title": TITLES.get(method, method),
            "paper": "arXiv:0000.00000",
            "control": method in ("local", "pooled"),
            "settings": {},
        },
        "rate": rate,
        "seed": seed,
        "rounds": ROUNDS,
        "clients": list(clients),
        "task": {"name": "classification", "score": "balanced_accuracy", "higher_is_better": True},
        "settings": {"rounds": ROUNDS, "lora": {"rank": 4}},
        "hashes": {"data": "0" * 64, "method": "1" * 64},
        "versions": {"python": "3.11", "torch": "2.0"},
        "device": "Drawn GPU",
        "commit": "abcdef0123456789",
        "costs": {
            "trainable_parameters": 1000,
            "bytes_up": 0 if method == "local" else 36_864 * 4,
            "bytes_down": 0 if method == "local" else 36_864 * 4,
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


def predictions(dataset: str, method: str, seed: int, classes: Sequence[str], clients: Sequence[str]) -> pd.DataFrame:
    """Predictions of models that are right more often than by chance."""
    parts = []
    described = manifest(dataset, classes, clients)
    for client in clients:
        counts = described["clients"][client]["counts"]["test"]
        labels = np.repeat(np.arange(len(classes)), counts)
        draw = generator(dataset, method, client, seed)
        scores = draw.normal(size=(len(labels), len(classes)))
        scores += draw.uniform(1, 2) * np.eye(len(classes))[labels]
        probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        columns = {f"probability_{c}": probabilities[:, c].astype(np.float32) for c in range(len(classes))}
        samples = [f"{client}-{i}" for i in range(len(labels))]
        parts.append(pd.DataFrame({"sample": samples, "client": client, "label": labels, "group": samples, **columns}))
    return pd.concat(parts, ignore_index=True)
