"""What the project draws is equal to the bit on every CPU."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from tests.data.bits import KEPT
from tests.federation.small import ROOT


def features() -> str:
    """What numpy chooses by the CPU here, beyond what it needs at least."""
    extensions = np.show_config(mode="dicts")["SIMD Extensions"]
    return " ".join(extensions.get("found", []))


# Without them, numpy, torch and libjpeg-turbo compute as on a CPU that has none of the newer instructions.
PLAIN = {"NPY_DISABLE_CPU_FEATURES": features(), "ATEN_CPU_CAPABILITY": "default", "JSIMD_FORCENONE": "1"}


@pytest.mark.parametrize("variables", [{}, PLAIN], ids=["as it is", "without SIMD"])
def test_all_that_is_drawn_has_the_kept_hashes(variables: dict[str, str]) -> None:
    """Images through their files and packs, tables, first values, orders: in a process of its own.

    Who draws otherwise on purpose writes the hashes anew: `python -m tests.data.bits --write`.
    """
    command = [sys.executable, "-W", "error::ImportWarning", "-m", "tests.data.bits"]
    child = subprocess.run(
        command, env={**os.environ, **variables}, cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert json.loads(child.stdout) == json.loads(KEPT.read_text(encoding="utf-8"))
