"""What a user of the workflow reads of a wrong setting."""

import pytest

from tests.workflow.conftest import Project

pytestmark = pytest.mark.workflow


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("seeds=3", "configuration: seeds: expected a list, seeds=[3] (got 3)"),
        (
            'rates=["5e3"]',
            "configuration: rates.0: a learning rate is a number from 1e-10 to 100, such as 5e-4 (got '5e3')",
        ),
        ("methods=[fedt]", "configuration: methods: there is no method or group fedt; did you mean fedit?"),
    ],
)
def test_a_wrong_setting_is_one_line(finished: Project, given: str, line: str) -> None:
    """Without Snakemake's frames."""
    said = finished.snakemake("all", "-n", "--config", given, ok=False).splitlines()
    assert said[-1] == line
    assert not any("File " in other or "Traceback" in other for other in said)
