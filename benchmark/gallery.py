"""The names of all figures, and the headings below which they stand. `reporting.figures` draws them."""

from collections.abc import Iterable, Sequence

GROUPS = {
    "Results": ("average_rank", "critical_difference", "stability", "clients", "bytes"),
    "Training": ("rate_curves", "learning_curves"),
    "Adapters": ("overlap",),
    "Data": ("examples",),
}
"""The figures that every comparison has, below their headings, in order."""
FOR_CLINICIANS = ("reliability",)
"""The figures that stand in the report's part for clinicians, and not among the others."""
EACH = "each"
"""The adaptation that serves every expert alone: without it nothing is known of single experts."""
OF_OUTSIDE = ("transfer", "overlays_outside")
"""The figures of hospitals outside, which stand in the report's part about these."""
OF_TASKS = "Tasks"
"""The heading of the figures that single tasks have: `Task.figures`."""
FROM_IMAGES = ("examples", "overlays", "overlays_outside")
"""The figures that show images, and are no drawing of results alone: each has a job of its own."""

KEPT = {
    "clients": "svg",
    "bytes": "svg",
    "overlays": "jpg",
    "transfer": "svg",
    "overlays_outside": "jpg",
}
"""The figures that are committed with a comparison's numbers, where it has them, and as which kind of file."""


def names(of_tasks: Iterable[Sequence[str]], *, experts: bool = False, pictured: bool = False) -> list[str]:
    """All figures of a comparison.

    Args:
        of_tasks: The figures of each of its tasks.
        experts: Whether every expert alone is tested at hospitals outside.
        pictured: Whether cases of these are shown.

    Returns:
        Their names, each once.
    """
    general = [name for figures in GROUPS.values() for name in figures]
    own = [name for figures in of_tasks for name in figures]
    served = [name for name, there in zip(OF_OUTSIDE, (experts, pictured), strict=True) if there]
    return list(dict.fromkeys([*general, *own, *served]))
