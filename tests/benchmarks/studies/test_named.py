"""Every study stands among the commands of the studies' README."""

from benchmark.sources import ROOT

STUDIES = ROOT / "benchmarks/studies"


def test_every_study_has_its_command() -> None:
    """As a file or as a module; what is no study has none."""
    text = (STUDIES / "README.md").read_text(encoding="utf-8")
    commands = [line.split()[1:4] for line in text.splitlines() if line.startswith("python ")]
    named = {
        command[1].split(".")[-1] if command[0] == "-m" else command[0].split("/")[-1][:-3] for command in commands
    }
    assert named == {path.stem for path in STUDIES.glob("*.py")} - {"__init__"}
