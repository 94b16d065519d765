"""Methods look the same everywhere and different from each other."""

import pytest
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmark.reporting import style
from benchmark.reporting.style import look

PUBLISHED = ["fedit", "ffa_lora", "fedsa_lora", "feddpa_t", "feddpa_f", "fedpal", "fedopal_w", "fedopal_r"]


def test_published_methods_and_controls_have_colours_of_their_own() -> None:
    looks = [look(name, control=False) for name in [*PUBLISHED, "mine"]]
    looks += [look(name, control=True) for name in ("local", "pooled")]
    assert len({shown.colour for shown in looks}) == len(looks)


def test_published_methods_can_be_told_apart_in_grey() -> None:
    assert len({look(name, control=False).marker for name in PUBLISHED}) == len(PUBLISHED)


def test_a_look_depends_on_the_name_alone() -> None:
    assert look("mine", control=False) == look("mine", control=False)
    assert len({look(f"mine_{i}", control=False) for i in range(20)}) > 5


@pytest.mark.parametrize("width", [3.0, 4.2, 8.4])
def test_a_legend_fits_below_its_figure(width: float) -> None:
    """With one panel as with two: no title of a method is cut off at the edge."""
    with rc_context(style.RC):
        figure = Figure(figsize=(width, 5))
        figure.add_subplot()
        style.legend(figure, [("FedDPA-T longer", look(name, control=False)) for name in PUBLISHED])
        FigureCanvasAgg(figure).draw()
        box = figure.legends[0].get_window_extent().transformed(figure.transFigure.inverted())
    assert box.x0 >= 0
    assert box.x1 <= 1
