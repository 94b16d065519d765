"""A result small enough to check by hand: three methods, three clients, two seeds, and their predictions."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.comparison import Comparison
from benchmark.evaluation.ranks import CELLS
from tests.reporting import synthetic

METHODS, CLIENTS, SEEDS = ("a", "b", "c"), ("x", "y", "z"), (0, 1)

# Every client has four images, one per lesion: two of class 0, then two of class 1. What is written is which of them a
# model gets right, so that its balanced accuracy is a quarter of their number.
#
#            seed 0                      seed 1
#        x     y     z               x     y     z
# a   1.00  0.50  0.75            1.00  0.75  0.50
# b   0.75  1.00  0.75            0.50  1.00  0.25
# c   0.25  0.25  0.50            0.50  0.50  0.00
#
# Ranks, 1 being the best; ties share their mean rank:
#
#        x     y     z               x     y     z
# a      1     2   1.5               1     2     1
# b      2     1   1.5             2.5     1     2
# c      3     3     3             2.5     3     3
#
# Sums over six cells: a 8.5, b 10, c 17.5. Average ranks: 8.5/6, 10/6, 17.5/6.
# Scores averaged over seeds: a 1, 0.625, 0.625; b 0.625, 1, 0.5; c 0.375, 0.375, 0.25. Ranks of those: a 1, 2, 1;
# b 2, 1, 2; c 3, 3, 3. Rank sums 4, 5, 9. Friedman: 12/(3*3*4) * (16 + 25 + 81) - 3*3*4 = 122/3 - 36 = 14/3.
HITS = {
    ("a", 0): ("1111", "1100", "1110"),
    ("b", 0): ("1101", "1111", "1011"),
    ("c", 0): ("0001", "1000", "0110"),
    ("a", 1): ("1111", "0111", "1010"),
    ("b", 1): ("1010", "1111", "0100"),
    ("c", 1): ("1001", "0101", "0000"),
}
AVERAGE_RANKS = {"a": 8.5 / 6, "b": 10 / 6, "c": 17.5 / 6}
FRIEDMAN = 14 / 3


def score(hits: str) -> float:
    """Balanced accuracy of what is right."""
    return hits.count("1") / 4


def cells(federation: str = "d", higher_is_better: bool = True) -> pd.DataFrame:
    """The scores as the expected cells, columns `ranks.CELLS`."""
    rows = [
        (federation, method, seed, client, score(hits), False, higher_is_better)
        for (method, seed), line in HITS.items()
        for client, hits in zip(CLIENTS, line, strict=True)
    ]
    return pd.DataFrame(rows, columns=CELLS)


def write(root: Path, federation: str = "d", order: Sequence[str] = CLIENTS) -> Comparison:
    """Write the tests that give these scores.

    Args:
        root: The folder that stands for `results/{name}`.
        federation: The federation.
        order: The clients, in the order of the files' rows.

    Returns:
        The comparison.
    """
    manifest = {"task": "classification", "classes": ["no", "yes"]}
    found = Comparison(
        root, "hand", "By hand", [(federation, m) for m in METHODS], ["1e-3"], SEEDS, manifests={federation: manifest}
    )
    labels = np.array([0, 0, 1, 1])
    for (method, seed), line in HITS.items():
        hits = dict(zip(CLIENTS, line, strict=True))
        abouts, ones = [], []
        for client in order:
            right = np.array([hit == "1" for hit in hits[client]])
            ones.append(np.where(right, labels, 1 - labels).astype(np.float32))
            about = {"sample": [f"{client}{i}" for i in range(4)], "client": client, "label": labels}
            abouts.append(pd.DataFrame({**about, "group": [f"lesion {client}{i}" for i in range(4)]}))
        folder = Path(found.places.test(federation, method, seed, ""))
        folder.mkdir(parents=True)
        one = np.concatenate(ones)
        synthetic.write_test(folder, pd.concat(abouts, ignore_index=True), np.stack([1 - one, one], axis=1))
    return found
