"""How much a client's global and personal adapters do the same: the overlap of their weights, layer by layer.

A table of it, from the leaves of the selected rate, has the columns `COLUMNS`: `random` is what the measure would be
for weights of the same sizes in random directions. A method that has not both a `global` and a `personal` adapter has
no rows.

With A (rank, in) and B (out, rank), an adapter adds B A to a layer's weights. The measures:

* `cosine`: mean |cos| between a row of A_g and a row of A_p: do the adapters read the same directions?
* `penalty`: sum of |A_g A_p^T|, which FedOPAL-W's loss holds down (O-LoRA, arXiv 2310.14152); it depends on scale.
* `product`: |<B_g A_g, B_p A_p>| / (|B_g A_g| |B_p A_p|), Frobenius: do they change the layer in the same way?
* `subspace`: |U_g^T U_p|^2 / rank, the mean squared cosine of the principal angles between the columns of the
  products: do they write the same directions?

All but `penalty` lie between 0 (orthogonal) and 1 (the same), and are NaN where an adapter is zero or diverged.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from safetensors import safe_open

COLUMNS = ["seed", "client", "layer", "measure", "value", "random"]
MEASURES = ("cosine", "penalty", "product", "subspace")

_ADAPTERS = ("global", "personal")
_STATE = "state.safetensors"

Array = npt.NDArray[np.float64]
Factors = tuple[Array, Array]
"""An adapter's factors at one layer: A, `(rank, in)`, and B, `(out, rank)`."""


def measures(one: Factors, other: Factors) -> dict[str, tuple[float, float]]:
    """By measure, the overlap of two adapters at one layer, and what it would be for random directions.

    Their ranks may differ.
    """
    (A, B), (A2, B2) = one, other
    (out, _), (_, into) = B.shape, A.shape
    norms = np.outer(np.linalg.norm(A, axis=1), np.linalg.norm(A2, axis=1))
    products = np.abs(A @ A2.T)
    random = random_cosine(into)
    bases = columns(A, B), columns(A2, B2)
    return {
        "cosine": (float(np.mean(_ratio(products, norms))), random),
        "penalty": (float(products.sum()), random * float(norms.sum())),
        "product": (_product(one, other), 1 / math.sqrt(into * out)),
        "subspace": (subspace(*bases), max(basis.shape[1] for basis in bases) / out),
    }


def random_cosine(dimension: int) -> float:
    """The expected |cos| of two random directions, Gamma(d/2) / (sqrt(pi) Gamma((d+1)/2)): about sqrt(2 / (pi d))."""
    return math.exp(math.lgamma(dimension / 2) - math.lgamma((dimension + 1) / 2)) / math.sqrt(math.pi)


def columns(A: Array, B: Array) -> Array:
    """An orthonormal basis (out, its rank) of the columns of B A, from A (rank, in) and B (out, rank), not multiplied.

    The basis has no columns where the product is zero or not finite.
    """
    if not (np.isfinite(A).all() and np.isfinite(B).all()):
        return np.zeros((len(B), 0))
    basis, right = np.linalg.qr(B)
    left = np.transpose(np.linalg.qr(A.T)[1])
    vectors, values, _ = np.linalg.svd(right @ left)
    kept = values > values.max(initial=0) * np.finfo(np.float32).eps * max(len(B), A.shape[1])
    return np.asarray(basis @ vectors[:, kept])


def subspace(one: Array, other: Array) -> float:
    """The mean squared cosine of the principal angles between two subspaces, between 0 and 1.

    Each is given by an orthonormal basis, (out, rank); the smaller of the two ranks counts. NaN where one has no
    columns.
    """
    rank = min(one.shape[1], other.shape[1])
    return float(((one.T @ other) ** 2).sum() / rank) if rank else math.nan


def overlap(state: Path) -> pd.DataFrame:
    """Every measure for every client and layer of one run: client, layer, measure, value, random.

    `state` holds the leaves that each client predicts with, (K, ...), and the clients' names.
    """
    with safe_open(state, framework="numpy") as stream:
        clients = json.loads(stream.metadata()["clients"])
        names = set(stream.keys())
        # Float64: squares of small float32 weights can be zero.
        rows = [
            (client, site, measure, *values)
            for site in _sites(names)
            for client, pairs in zip(clients, _pairs(stream, site), strict=True)
            for measure, values in measures(*pairs).items()
        ]
    return pd.DataFrame(rows, columns=COLUMNS[1:])


def of_runs(runs: Mapping[int, Path]) -> pd.DataFrame:
    """The table of a row, from its runs' folders at one rate, by seed; a ValueError says which of them lacks leaves."""
    if absent := next((folder for folder in runs.values() if not (folder / _STATE).exists()), None):
        raise ValueError(f"{absent}: no {_STATE}; train the row again")
    return pd.concat(overlap(folder / _STATE).assign(seed=seed) for seed, folder in runs.items())[COLUMNS]


def natural(name: str) -> list[tuple[str, int]]:
    """A key that sorts `blocks.2` before `blocks.10`."""
    return [(text, int(number or -1)) for text, number in re.findall(r"(\D*)(\d*)", name)]


def _sites(names: set[str]) -> list[str]:
    """The layers at which both adapters stand, from the first block to the last."""
    sites = [
        {name[len(a) + 1 : -2] for name in names if name.startswith(f"{a}/") and name[-2:] == ".A"} for a in _ADAPTERS
    ]
    return sorted(set.intersection(*sites), key=natural)


def _pairs(stream: safe_open, site: str) -> Iterator[tuple[Factors, Factors]]:
    """Both adapters' factors at one layer, client by client."""
    leaves = [
        stream.get_tensor(f"{adapter}/{site}.{factor}").astype(np.float64) for adapter in _ADAPTERS for factor in "AB"
    ]
    for A, B, A2, B2 in zip(*leaves, strict=True):
        yield (A, B), (A2, B2)


def _product(one: Factors, other: Factors) -> float:
    """The normalised Frobenius product of two B A: tr(A^T B^T B' A') is a sum over rank x rank numbers."""
    inner = _inner(one, other)
    norm = math.sqrt(_inner(one, one) * _inner(other, other))
    return abs(inner) / norm if norm > 0 else math.nan


def _inner(one: Factors, other: Factors) -> float:
    return float(((one[1].T @ other[1]) * (one[0] @ other[0].T)).sum())


def _ratio(products: Array, norms: Array) -> Array:
    return np.divide(products, norms, out=np.full_like(products, np.nan), where=norms > 0)
