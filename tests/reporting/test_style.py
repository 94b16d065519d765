"""Methods look the same everywhere and different from each other."""

from itertools import combinations

import numpy as np
import pytest
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from benchmark.reporting import style
from benchmark.reporting.style import look

FIRST = ["fedit", "ffa_lora", "fedsa_lora", "feddpa_t", "feddpa_f", "fedpal", "fedopal_w", "fedopal_r"]
BASELINES = ["fedavg_ft", "fedprox", "scaffold", "ditto", "fedper", "fedrep", "apfl", "fedex_lora", "flora"]
KNOWN = [*FIRST, *BASELINES, "flexlora", "rolora"]
CONTROLS = ["local", "pooled", "head_shared", "head_personal", "another_control"]

# Linear RGB as a deuteranope sees it (Machado, Oliveira and Fernandes 2009, severity 1), and sRGB's way to XYZ.
DEUTERANOPE = np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]])
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def seen(colours: list[str], eye: np.ndarray) -> np.ndarray:
    """Colours in CIELAB, where equal distances look equal; `eye` maps linear RGB to what is seen."""
    encoded = np.array([to_rgb(colour) for colour in colours])
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    xyz = np.clip(linear @ eye.T, 0, 1) @ XYZ.T / XYZ.sum(axis=1)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


def nearest(points: np.ndarray) -> float:
    return min(float(np.linalg.norm(x - y)) for x, y in combinations(points, 2))


@pytest.mark.parametrize("eye", [np.eye(3), DEUTERANOPE], ids=["usual", "deuteranope"])
def test_colours_of_known_methods_can_be_told_apart(eye: np.ndarray) -> None:
    """A distance of 2.3 is just noticeable; one of 10 is seen at a glance."""
    assert nearest(seen([look(name, control=False).colour for name in KNOWN], eye)) > 10


@pytest.mark.parametrize("eye", [np.eye(3), DEUTERANOPE], ids=["usual", "deuteranope"])
def test_colours_of_classes_can_be_told_apart(eye: np.ndarray) -> None:
    assert nearest(seen(style.class_colours(9), eye)) > 13


def test_known_methods_and_controls_can_be_told_apart_in_grey() -> None:
    """No two share a marker that is equally filled."""
    looks = [look(name, control=name in CONTROLS) for name in [*KNOWN, *CONTROLS]]
    assert len({(shown.marker, shown.hollow) for shown in looks}) == len(looks)
    assert len({(shown.colour, shown.marker, shown.line) for shown in looks}) == len(looks)


def test_a_new_method_looks_like_no_known_one() -> None:
    known = [look(name, control=name in CONTROLS) for name in [*KNOWN, *CONTROLS]]
    for name in (f"mine_{i}" for i in range(200)):
        new = look(name, control=False)
        assert new.colour not in {shown.colour for shown in known}
        assert new.marker not in {shown.marker for shown in known}


def test_a_look_depends_on_the_name_alone() -> None:
    assert look("mine", control=False) == look("mine", control=False)
    assert len({look(f"mine_{i}", control=False) for i in range(20)}) > 15


@pytest.mark.parametrize("width", [3.0, 4.2, 8.4])
def test_a_legend_fits_below_its_figure(width: float) -> None:
    """With one panel as with two: no title of a method is cut off at the edge."""
    with rc_context(style.RC):
        figure = Figure(figsize=(width, 5))
        figure.add_subplot()
        style.legend(figure, [("FedDPA-T longer", look(name, control=False)) for name in FIRST])
        FigureCanvasAgg(figure).draw()
        box = figure.legends[0].get_window_extent().transformed(figure.transFigure.inverted())
    assert box.x0 >= 0
    assert box.x1 <= 1
