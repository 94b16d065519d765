"""What a user of the workflow reads: of a wrong setting, of a plan, at the end."""

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


def test_a_plan_can_be_read(finished: Project) -> None:
    """A line for each job, neither its reason nor its files: a hundred bytes each, and the table of jobs."""
    said = finished.snakemake("all", "-n", "--forceall")
    assert len(said) < 10_000
    assert "input:" not in said


def test_the_last_lines_say_where_the_report_is(project: Project) -> None:
    (project.folder / "results/small/report.html").unlink()
    said = project.snakemake("all")
    assert "\nReport: results/small/report.html; tables: results/small/leaderboard.md and results/small/tables/" in said
