"""Jobs that read results start fast: they never load torch."""

import subprocess
import sys

import pytest

JOBS = [
    *(f"benchmark.evaluation.{name}" for name in ("select", "collect", "stability", "checks")),
    *(f"benchmark.reporting.{name}" for name in ("tables", "leaderboard", "figures", "examples", "overlays")),
    *(f"benchmark.reporting.{name}" for name in ("report", "readme", "outside", "overlays_outside")),
]


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    learned = (f"benchmark.tasks.{name}" for name in ("classification", "segmentation"))
    program = f"import sys, {', '.join([*learned, *JOBS])}; print(*sys.modules)"
    return set(
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    )


@pytest.mark.parametrize("heavy", ["torch", "timm", "peft", "snakemake", "sklearn", "matplotlib.pyplot"])
def test_no_job_loads_what_it_does_not_need(heavy: str, loaded: set[str]) -> None:
    assert "benchmark.reporting.report" in loaded
    assert heavy not in loaded
