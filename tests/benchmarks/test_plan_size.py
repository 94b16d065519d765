"""A project of a leaderboard's size is one that can be planned."""

from pathlib import Path

import yaml

from benchmark.config import parse
from benchmark.fitness import faults
from benchmark.methods import discovered
from benchmarks.plan_size import Size, copy


def test_a_copy_holds_as_many_methods_as_are_asked_for(tmp_path: Path) -> None:
    """Each of a file of its own, however many are shipped; federations differ, so that none shares another's pack."""
    folder = copy(tmp_path / "project", Size(methods=50, federations=3, rates=2, seeds=2))
    config = parse(yaml.safe_load((folder / "config/size.yaml").read_text(encoding="utf-8")))
    methods = discovered(folder).chosen(config.methods, config.own)
    assert len(methods) == 50
    assert len({discovered(folder).files[name] for name in methods}) == 50
    assert len({str(settings.options) for settings in config.federations.values()}) == 3
    assert (len(config.rates), len(config.seeds)) == (2, 2)


def test_what_is_planned_can_be_trained(tmp_path: Path) -> None:
    """No method needs a part that the network has not."""
    folder = copy(tmp_path / "project", Size(methods=25, federations=1, rates=1, seeds=1))
    assert faults(parse(yaml.safe_load((folder / "config/size.yaml").read_text(encoding="utf-8")))) == []
