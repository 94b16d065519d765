"""Every rate's test scores: what testing each rate alone gives, scored by hand."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from benchmark.config import TrainingJob
from benchmark.data.packed import Split
from benchmark.evaluation.appendix import COLUMNS, scores
from benchmark.evaluation.evaluate import predictions
from benchmark.federation.train import Job
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
    images = np.concatenate([own.images[:].numpy() for own in clients()])
    rows = [(own.name, int(label)) for own in clients() for label in own.labels]
    table = pd.DataFrame(rows, columns=["client", "label"])
    order = np.random.default_rng(0).permutation(len(table))
    names = [str(number) for number in order]
    mixed = table.iloc[order].reset_index(drop=True).assign(sample=names, group=names)
    return Split(images[order], mixed["label"].to_numpy(), mixed)


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
    table = scores(job, held_out, tmp_path)
    assert list(table.columns) == COLUMNS
    found = table.set_index(["rate", "seed", "client"])["value"]
    assert len(found) == 3 * 2 * 3
    assert found.unstack("rate").nunique(axis=1).max() == len(RATES), "rates can be told apart"
    for (rate, seed), _ in found.groupby(["rate", "seed"]):
        alone = predictions(job, held_out, tmp_path / f"lr={rate}/seed={seed}/state.safetensors")
        for client, rows in alone.groupby("client"):
            hit = rows.filter(like="probability_").to_numpy().argmax(1) == rows["label"]
            expected = hit.groupby(rows["label"]).mean().mean()
            assert found[rate, seed, client] == pytest.approx(expected)
