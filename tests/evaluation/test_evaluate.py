"""Tests of rows: every rate's scores are what testing each rate alone gives, scored by hand."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from sklearn.metrics import balanced_accuracy_score

from benchmark.config import TrainingJob
from benchmark.data.packed import Split
from benchmark.evaluation.evaluate import ALL_RATES, looks, of_every_rate, of_model
from benchmark.federation.job import Job
from benchmark.plan import Plan
from tests.federation.jobs import CONFIGURATION
from tests.federation.small import clients, engine, method

RATES, SEEDS = ("1e-1", "2e-2", "1e-2"), (0, 1)


@pytest.fixture
def job() -> Job:
    """A method on three hospitals, with three rates and two seeds."""
    plan = Plan.of({**CONFIGURATION, "rates": RATES, "seeds": SEEDS})
    settings = TrainingJob.model_validate_json(plan.training("hospitals", "fedit"))
    return Job(settings, engine(method("fedit")), {})


@pytest.fixture
def held_out() -> Split:
    """The hospitals' training images in place of test images, mixed."""
    images = np.concatenate([own.training.images[:].numpy() for own in clients()])
    rows = [(own.name, int(label)) for own in clients() for label in own.training.targets]
    table = pd.DataFrame(rows, columns=["client", "label"])
    order = np.random.default_rng(0).permutation(len(table))
    names = [str(number) for number in order]
    mixed = table.iloc[order].reset_index(drop=True).assign(sample=names, group=names, case=names)
    return Split(images[order], mixed["label"].to_numpy(), mixed)


def test_versions_of_a_method_that_were_tested_are_counted(job: Job, tmp_path: Path) -> None:
    """One that is tested again counts once; another file and other settings are others, other images begin anew."""
    first = replace(job, hashes={"method": "a"})
    edited = replace(job, hashes={"method": "b"})
    tuned = replace(first, settings=job.settings.model_copy(update={"rounds": 7}))
    versions = (first, first, edited, first, tuned, edited)
    assert [looks(version, "0" * 64, tmp_path) for version in versions] == [1, 1, 2, 2, 3, 3]
    assert looks(first, "1" * 64, tmp_path) == 1


@pytest.mark.filterwarnings("ignore:y_pred contains classes")
def test_rates_tested_together_are_those_tested_alone(job: Job, held_out: Split, tmp_path: Path) -> None:
    """Balanced accuracy by hand, from the predictions of one rate, one seed and one client at a time."""
    source, names = torch.Generator().manual_seed(0), ["south", "north", "east"]
    for rate in RATES:
        for seed in SEEDS:
            path = tmp_path / f"lr={rate}/seed={seed}/state.safetensors"
            path.parent.mkdir(parents=True)
            leaves = {
                name: 0.3 * torch.randn(len(names), *leaf.shape, generator=source, dtype=torch.float64)
                for name, leaf in job.engine.model.leaves.items()
            }
            save_file(leaves, path, {"clients": json.dumps(names)})
    table = of_every_rate(job, held_out, tmp_path)
    assert list(table.columns) == ALL_RATES
    found = table.set_index(["rate", "seed", "client"])["value"]
    assert len(found) == 3 * 2 * 3
    assert found.unstack("rate").nunique(axis=1).max() == len(RATES), "rates can be told apart"
    labels = held_out.table.set_index("sample")["label"]
    for (rate, seed), _ in found.groupby(["rate", "seed"]):
        counted, kept = of_model(job, held_out, tmp_path / f"lr={rate}/seed={seed}/state.safetensors")
        assert list(counted["sample"].unique()) == list(kept["sample"])
        assert (counted[counted["true"] == 1].set_index("sample")["class"] == labels[kept["sample"]]).all()
        for client, rows in kept.groupby("client"):
            guesses = rows.filter(like="probability_").to_numpy().argmax(1)
            own = counted[counted["client"] == client]
            assert (own.loc[own["predicted"] == 1, "class"].to_numpy() == guesses).all()
            assert (own["hit"] == own["predicted"] * own["true"]).all()
            expected = balanced_accuracy_score(labels[rows["sample"]], guesses)
            assert found[rate, seed, client] == pytest.approx(expected)
