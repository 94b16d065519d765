"""What a configuration will cost, from costs by hand."""

import pytest

from benchmark.config import read
from benchmark.plan import Plan
from benchmarks.noise import engine
from benchmarks.projection import FULL, ROOT, Cost, measured, said

PLAN = Plan.of({**read(ROOT / "config" / "paper.yaml"), "methods": ["fedit", "feddpa_f"]})


def test_a_sweep_is_images_times_rounds_times_lanes() -> None:
    """Ten training images, three rounds and a closing pass, two validations of four images, five lanes, by hand."""
    cost = Cost(training=2.0, closing=1.0, validation=0.5)
    assert cost.seconds(10, 4, rounds=3, validations=2, lanes=5) == 5 * (10 * (3 * 2 + 1) + 4 * 2 * 0.5)


def test_the_projection_is_the_sum_over_federations_and_methods() -> None:
    """A millisecond for every image, trained or validated, in 50 rounds and 5 lanes: 0.25 s for each image there is."""
    costs = {(name, method): Cost(1e-3, 0.0, 1e-3) for name in PLAN.federations for method in PLAN.methods}
    images = sum(count for count, _ in FULL.values())
    text = said(PLAN, costs)
    assert f": {2 * images * 0.25 / 3600:.1f} hours of this device" in text
    assert text.startswith("config/paper.yaml, 2 methods, 5 rates, 1 seeds, 50 rounds")


@pytest.mark.parametrize("name", ["fedit", "feddpa_f"])
def test_costs_are_measured(name: str) -> None:
    """On a tiny transformer: all parts take time, closing passes only where there are some."""
    small = {"patch_size": 8, "embed_dim": 12, "depth": 1, "num_heads": 3}
    config = PLAN.config.model_copy(
        update={
            "backbone": PLAN.config.backbone.model_copy(update={"arguments": small, "name": "vit_tiny_patch16_224"})
        }
    )
    cost = measured(engine(config, name, 32, 16, "cpu"), config)
    assert cost.training > 0
    assert cost.validation > 0
    assert (cost.closing > 0) == (name == "feddpa_f")
