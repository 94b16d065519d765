"""What the floor of FedOPAL-R's cosine does: the same training with several floors, on real images.

    python benchmarks/studies/floor.py --configfile config/fed_ham10000.yaml --config local_files=/path/to/folder
        [--clients 3 5] [--floors 1e-6 1e-4 1e-3 1e-2 1e-1] [--rates 1e-3 1e-2] [--rounds 3] [--cores 2]

Both adapters' outputs begin at zero, where a cosine has no gradient; the floor `eps` of each norm keeps it finite. As
long as outputs are shorter than the floor, the penalty is a scaled product of both, which holds them down. Printed are,
for every floor and rate, after the last round, over clients: the share of tokens at which either output is shorter than
the floor, the mean |cos| of both outputs without a floor, the norm of all B (the mean of both adapters'), and the
validation score; FedPAL (no penalty) stands beside them. Images are packed by Snakemake; nothing is tested.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
import yaml  # noqa: E402
from torch import Tensor  # noqa: E402

from benchmark import provenance  # noqa: E402
from benchmark.config import TrainingJob, read  # noqa: E402
from benchmark.data.augmentation import to_float  # noqa: E402
from benchmark.federation.client import ClientData, Lane  # noqa: E402
from benchmark.federation.engine import Engine, State  # noqa: E402
from benchmark.federation.job import Inputs, Job  # noqa: E402
from benchmark.federation.model import Images  # noqa: E402
from benchmark.leaf import pairs  # noqa: E402
from benchmark.methods import method_file  # noqa: E402
from benchmark.plan import Plan  # noqa: E402

IMAGES = 64
"""Training images of a client whose tokens are looked at."""


def main() -> None:
    """Train, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configfile", required=True, type=Path)
    parser.add_argument("--config", nargs="*", default=[], metavar="KEY=VALUE", help="settings in the file's place")
    parser.add_argument("--clients", nargs="+", help="otherwise all of the federation's")
    parser.add_argument("--floors", nargs="+", default=["1e-6", "1e-4", "1e-3", "1e-2", "1e-1"])
    parser.add_argument("--rates", nargs="+", default=["1e-3", "1e-2"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cores", type=int, default=2)
    given = parser.parse_args()
    values = {**read(given.configfile, given.config), "rates": given.rates, "rounds": given.rounds}
    (federation,) = values["federations"]
    if given.clients:
        values["federations"][federation]["clients"] = given.clients
    plan = Plan.of(values, str(given.configfile))
    _pack(plan, values, given.cores)
    torch.set_num_threads(1)
    print(f"{provenance.hardware(torch.device('cpu'))}; torch {torch.__version__}; commit {provenance.commit()[:12]}")
    print("| floor | rate | tokens below it | mean abs(cos) | norm of B | validation score |")
    print("|:--|--:|--:|--:|--:|--:|")
    for method, floor in (("fedpal", "no penalty"), *(("fedopal_r", floor) for floor in given.floors)):
        engine = _engine(plan, federation, method, {} if method == "fedpal" else {"eps": float(floor)})
        for rate, row in measured(engine, given.rates, 0.0 if method == "fedpal" else float(floor)).items():
            below = "" if method == "fedpal" else f"{row['below']:.0%}"
            cells = [floor, rate, below, *(f"{row[name]:.3f}" for name in ("cosine", "norm", "score"))]
            print(f"| {' | '.join(cells)} |", flush=True)


def measured(engine: Engine, rates: Sequence[str], floor: float) -> dict[str, dict[str, float]]:
    """Train, and look at both adapters' outputs.

    Args:
        engine: Of a method with the adapters `global` and `personal`.
        rates: The learning rates.
        floor: The floor of the norms.

    Returns:
        By rate, means over clients of `below`, `cosine`, `norm` and `score`; see the module.
    """
    lanes = [Lane(rate, 0) for rate in rates]
    state = engine.start(lanes)
    for _ in range(engine.rounds):
        state, _ = engine.round(state, lanes)
    scores = torch.stack([found[engine.model.task.score_name] for found in engine.validate(state)]).mean(0)
    return {
        rate: {**_outputs(engine, state, place, floor), "score": float(scores[place])}
        for place, rate in enumerate(rates)
    }


def _outputs(engine: Engine, state: State, lane: int, floor: float) -> dict[str, float]:
    """Means over clients, projections, images and tokens."""
    found = []
    for k, client in enumerate(engine.clients):
        params = {name: leaf[k, lane] for name, leaf in state.params.items()}
        both = _traced(engine, client, params)
        norms = [z.norm(dim=-1) for z in both]
        cosines = (both[0] * both[1]).sum(-1).abs() / (norms[0] * norms[1]).clamp(min=torch.finfo(torch.float32).tiny)
        size = [
            sum(float((B**2).sum()) for _, B in pairs(params, name).values()) ** 0.5 for name in ("global", "personal")
        ]
        below = (torch.minimum(*norms) < floor).float().mean()
        found.append(torch.tensor([float(below), float(cosines.mean()), sum(size) / 2]))
    return dict(zip(("below", "cosine", "norm"), torch.stack(found).mean(0).tolist(), strict=True))


def _traced(engine: Engine, client: ClientData, params: Mapping[str, Tensor]) -> list[Tensor]:
    """Both adapters' outputs at all projections but the last block's, whose queries are those of one token alone."""
    images = to_float(client.training.images[:IMAGES], engine.dtype)
    with torch.no_grad():
        traced = Images(engine.model, images, None)(params, trace=True).adapters
    return [torch.stack(list(traced[name])) for name in ("global", "personal")]


def _engine(plan: Plan, federation: str, method: str, settings: Mapping[str, Any]) -> Engine:
    """The engine of a method with settings."""
    job = json.loads(plan.training(federation, method)) | {"method_settings": settings}
    pack, backbone = ROOT / "results/packs" / plan.pack(federation), ROOT / plan.backbone
    path = ROOT / method_file(method)
    return Job.of(Inputs(TrainingJob.model_validate_json(json.dumps(job)), path, pack, backbone), "cpu").engine


def _pack(plan: Plan, values: Mapping[str, Any], cores: int) -> None:
    """The pack and the backbone, by Snakemake."""
    path = ROOT / plan.results / "config.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(dict(values)), encoding="utf-8")
    targets = [*(f"results/packs/{name}/manifest.json" for name in plan.packs), f"{plan.backbone}/backbone.json"]
    command = [sys.executable, "-m", "snakemake", *targets, "--cores", str(cores), "--configfile", str(path), "--quiet"]
    if subprocess.run(command, cwd=ROOT, check=False).returncode:
        raise SystemExit(f"images or backbone could not be had; see logs/ for {plan.config.name}")


if __name__ == "__main__":
    main()
