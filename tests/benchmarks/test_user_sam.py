"""The user's SAM does the work of the engine's: one round on drawn volumes, and both end with the same losses."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmark.federation.client import Lane
from benchmark.federation.job import Inputs, Job
from benchmark.methods import method_file
from benchmark.sources import ROOT
from benchmarks.user import Learner, Site
from benchmarks.workload import Workload


@pytest.fixture(scope="module")
def workload(tmp_path_factory: pytest.TempPathFactory) -> Workload:
    """Few drawn volumes, and a small SAM."""
    folder = str(tmp_path_factory.mktemp("workload"))
    sam = Workload(folder, ("1",), (0,), 1, 32, 0.1, 8, "float32", "segmentation", "sam", "flap_sam")
    sam.prepare()
    return sam


def losses(workload: Workload, method: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Every client's validation loss after a round, by the engine and by the user's loop."""
    workload, rate = replace(workload, method=method), workload.rates[0]
    root = Path(workload.folder)
    inputs = Inputs(workload.job(), ROOT / method_file(method), root / "pack", root / "backbone")
    engine = Job.of(inputs, "cpu").engine
    state, _ = engine.round(engine.start([Lane(rate, 0)]), [Lane(rate, 0)])
    ours = torch.cat([own["loss"] for own in engine.validate(state)])
    learner, sites = Learner(workload, 0, "cpu"), [Site(workload, own.name, 0, 0) for own in engine.clients]
    start, found = learner.weights(), []
    for site in sites:
        learner.load(start)
        learner.fit(site.train, float(rate))
        found.append(learner.weights())
    shares = engine.weights.tolist()
    learner.load({name: sum(w * own[name] for w, own in zip(shares, found, strict=True)) for name in start})
    return ours, torch.tensor([learner.loss(site.validation) for site in sites], dtype=torch.float64)


def test_rows_of_sam_end_with_the_users_losses(workload: Workload) -> None:
    """Adapters change the losses by far more than both sides differ."""
    rows = [losses(workload, method) for method in ("flap_sam", "sam_head")]
    for ours, theirs in rows:
        assert torch.allclose(ours, theirs, rtol=0, atol=1e-6)
    assert (rows[0][0] - rows[1][0]).abs().min() > 1e-5
