"""Which patients of a hospital train, which validate and which test.

    python benchmarks/studies/patients.py --root DIR

prints, for a copy of Camelyon17-WILDS, how good the committed assignment (`benchmark.data.camelyon17_slides`) is beside
the best one for the copy's own patches.

A hospital of Camelyon17 has seven to ten patients, and one slide can hold more than a third of its patches, so that a
random split by patients may leave a side without tumour. The criterion, in this order: no split lacks a class; then
the mean, over splits and classes, of |share of the class's patches - the split's target| is as small as can be. All
assignments are compared; the first of equals, patients in order, is taken.
"""

import argparse
import itertools
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import numpy.typing as npt  # noqa: E402
import pandas as pd  # noqa: E402

from benchmark.data.dataset import SPLITS  # noqa: E402
from benchmark.data.datasets.camelyon17 import DATASET  # noqa: E402

TARGETS = (0.65, 0.15, 0.20)  # shares of patches to train on, to validate and to test
MOST_PATIENTS = 12  # 3^12 assignments are compared in seconds


def assign(counts: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """The best assignment of one hospital's patients to splits.

    Args:
        counts: (P, C) patches of each patient and class.

    Returns:
        (P,) positions in `SPLITS`.

    Raises:
        ValueError: More patients than can be compared exhaustively, or fewer than there are splits.
    """
    if not len(SPLITS) <= len(counts) <= MOST_PATIENTS:
        raise ValueError(f"{len(counts)} patients; the search compares all assignments of 3 to {MOST_PATIENTS}")
    choices = np.array(list(itertools.product(range(len(SPLITS)), repeat=len(counts))))
    lacking, distance = criterion(counts, choices)
    return choices[np.lexsort((np.arange(len(choices)), distance.round(12), lacking))[0]]


def criterion(
    counts: npt.NDArray[np.float64], choices: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """How good assignments are; smaller is better, and the first counts before the second.

    Args:
        counts: (P, C) patches of each patient and class.
        choices: (N, P) positions in `SPLITS`.

    Returns:
        (N,) how many pairs of split and class have no patch, and (N,) the mean distance of shares from `TARGETS`.
    """
    taken = choices[:, :, None] == np.arange(len(SPLITS))  # (N, P, S)
    held = np.einsum("nps,pc->nsc", taken, counts)
    shares = held / counts.sum(0)
    return (held == 0).sum((1, 2)), np.abs(shares - np.array(TARGETS)[:, None]).mean((1, 2))


def compare(root: Path) -> None:
    """Print how good the committed assignment of patients is beside the best one.

    Args:
        root: The folder above camelyon17_v1.0.
    """
    table = DATASET.index(root, "patient_disjoint", 0)
    for client, rows in table.groupby("client"):
        counts = pd.crosstab(rows["group"], rows["label"])
        committed = rows.drop_duplicates("group").set_index("group")["split"].loc[counts.index]
        best = assign(counts.to_numpy(dtype=np.float64))
        both = np.stack([committed.map(SPLITS.index).to_numpy(dtype=np.int64), best])
        lacking, distance = criterion(counts.to_numpy(dtype=np.float64), both)
        print(f"hospital {client}: {len(rows)} patches of {len(counts)} patients")
        for name, choice, cells, cost in zip(("committed", "best here"), both, lacking, distance, strict=True):
            groups = {
                split: " ".join(counts.index[choice == number]) or "nobody" for number, split in enumerate(SPLITS)
            }
            print(
                f"  {name}: mean distance {cost:.3f}, {cells} empty;",
                "; ".join(f"{split}: {patients}" for split, patients in groups.items()),
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="the folder above camelyon17_v1.0")
    compare(parser.parse_args().root)
