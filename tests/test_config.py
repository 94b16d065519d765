"""The configuration: what is accepted, and what an error says."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from snakemake.cli import parse_config
from snakemake.utils import update_config

from benchmark.config import Config, ConfigError, parse, read

VALID: dict[str, Any] = {"name": "small", "federations": {"toy": {}}, "rates": ["1e-3"], "rounds": 2}


def faults(changes: dict[str, Any]) -> list[str]:
    """The lines of the error that a valid configuration with these changes gives."""
    with pytest.raises(ConfigError) as caught:
        parse(VALID | changes, "mine.yaml")
    return str(caught.value).splitlines()


def test_the_smallest_configuration_is_valid() -> None:
    """Four settings are required; each of them is missed by name."""
    assert isinstance(parse(VALID), Config)
    for key in VALID:
        with pytest.raises(ConfigError, match=f"^mine.yaml: {key}: this setting is required$"):
            parse({k: v for k, v in VALID.items() if k != key}, "mine.yaml")


@pytest.mark.parametrize(
    ("changes", "place", "allowed"),
    [
        ({"rats": 1}, "rats", Config.model_fields),
        ({"training": {"lr": 1}}, "training.lr", ["batch_size", "optimiser"]),
        ({"lora": {"ranks": 1}}, "lora.ranks", ["alpha", "rank", "targets"]),
        ({"augmentation": {"colour": 1}}, "augmentation.colour", ["brightness", "contrast"]),
        ({"selection": {"best": 1}}, "selection.best", ["last_rounds"]),
        ({"backbone": {"model": "x"}}, "backbone.model", ["arguments", "name", "weights"]),
        ({"training": {"optimiser": {"lr": 1}}}, "training.optimiser.lr", ["momentum", "schedule"]),
        ({"federations": {"toy": {"size": 1}}}, "federations.toy.size", ["dataset", "image_size"]),
        ({"federations": {"source": {"size": 1}}}, "federations.source.size", ["dataset", "image_size"]),
    ],
)
def test_an_unknown_key_is_an_error_that_lists_the_known_ones(
    changes: dict[str, Any], place: str, allowed: list[str]
) -> None:
    """At every level, also in a federation that bears the name of a setting."""
    (line,) = faults(changes)
    assert line.startswith(f"mine.yaml: {place}: there is no such setting")
    for setting in allowed:
        assert setting in line


@pytest.mark.parametrize(
    ("changes", "place", "value", "allowed"),
    [
        ({"rates": ["fast"]}, "rates.0", "'fast'", "a positive number such as 5e-4"),
        ({"rates": ["1e-3", "0"]}, "rates.1", "'0'", "a positive number"),
        ({"rates": ["5e3"]}, "rates.0", "'5e3'", "a learning rate is a number from 1e-10 to 100, such as 5e-4"),
        ({"rates": ["1e-11"]}, "rates.0", "'1e-11'", "a learning rate is a number from 1e-10 to 100, such as 5e-4"),
        ({"rates": ["-1e-3"]}, "rates.0", "'-1e-3'", "a positive number"),
        ({"rates": ["nan"]}, "rates.0", "'nan'", "a positive number"),
        ({"rates": ["inf"]}, "rates.0", "'inf'", "a positive number"),
        ({"rates": [None]}, "rates.0", "None", "a positive number"),
        ({"rates": [True]}, "rates.0", "True", "a positive number"),
        ({"rates": ["../1"]}, "rates.0", "'../1'", "a positive number"),
        ({"rates": []}, "rates", "[]", "at least 1 item"),
        ({"rates": "1e-3"}, "rates", "'1e-3'", "expected a list, rates=[1e-3]"),
        ({"seeds": 3}, "seeds", "3", "expected a list, seeds=[3]"),
        ({"own": "mine"}, "own", "'mine'", "expected a list, own=[mine]"),
        ({"seeds": {}}, "seeds", "{}", "expected a list"),
        ({"lora": {"rank": {"a": 1}}}, "lora.rank", "{'a': 1}", "integer"),
        ({"rates": ["1e-3", 0.001]}, "rates", "['1e-3', '0.001']", "twice"),
        ({"rates": ["1e-3", "10e-4"]}, "rates", "['1e-3', '10e-4']", "twice"),
        ({"seeds": [1, 1]}, "seeds", "[1, 1]", "twice"),
        ({"methods": ["fedit", "fedit"]}, "methods", "['fedit', 'fedit']", "twice"),
        ({"methods": ["../fedit"]}, "methods.0", "'../fedit'", "pattern"),
        ({"name": "My Run"}, "name", "'My Run'", "pattern"),
        ({"federations": {"My Toy": {}}}, "federations", "'My Toy'", "pattern"),
        ({"federations": {}}, "federations", "", "at least 1"),
        ({"federations": {"toy": None}}, "federations.toy", "None", "dictionary"),
        ({"federations": {"toy": {"validation": 0.5}}}, "federations.toy.validation", "0.5", "less than 0.5"),
        ({"federations": {"toy": {"resize": "fit"}}}, "federations.toy.resize", "'fit'", "'crop' or 'squash'"),
        ({"lora": {"targets": ["q", "x"]}}, "lora.targets.1", "'x'", "'q', 'k', 'v', 'qkv', 'proj', 'fc1' or 'fc2'"),
        ({"lora": {"targets": []}}, "lora", "", "at least one target"),
        ({"lora": {"targets": ["q", "q"]}}, "lora", "", "each once"),
        ({"lora": {"targets": ["qkv", "q"]}}, "lora", "", "leave out"),
        ({"lora": {"rank": 0}}, "lora.rank", "0", "greater than or equal to 1"),
        ({"lora": {"alpha": 0}}, "lora.alpha", "0", "greater than 0"),
        ({"training": {"optimiser": {"momentum": 1.0}}}, "training.optimiser.momentum", "1.0", "less than 1"),
        (
            {"training": {"optimiser": {"weight_decay": -1}}},
            "training.optimiser.weight_decay",
            "-1",
            "greater than or equal to 0",
        ),
        ({"training": {"precision": "half"}}, "training.precision", "'half'", "'float64' or 'bfloat16'"),
        ({"training": 3}, "training", "3", "dictionary"),
        ({"rounds": 0}, "rounds", "0", "greater than or equal to 1"),
        ({"rounds": 2.5}, "rounds", "2.5", "integer"),
        ({"rounds": "three"}, "rounds", "'three'", "integer"),
        ({"selection": {"last_rounds": 3}}, "selection.last_rounds", "3", "2 rounds"),
        (
            {"training": {"optimiser": {"schedule": "cosine", "decay_rounds": 1}}},
            "training.optimiser.decay_rounds",
            "1",
            "2 rounds",
        ),
        ({"head": "mine"}, "head", "'mine'", "'shared', 'personal' or 'both'"),
        ({"device": "tpu"}, "device", "'tpu'", "'auto', 'cpu' or 'cuda'"),
        ({"baselines": "none"}, "baselines", "'none'", "'train' or 'reference'"),
        ({"lanes": 0}, "lanes", "0", "auto"),
        ({"lanes": "many"}, "lanes", "'many'", "auto"),
    ],
)
def test_a_bad_value_is_an_error_of_one_line(changes: dict[str, Any], place: str, value: str, allowed: str) -> None:
    """One line that says where, which value, and what is allowed."""
    (line,) = faults(changes)
    assert line.startswith((f"mine.yaml: {place}: ", f"mine.yaml: {place} ", f"mine.yaml: {place}."))
    assert value in line
    assert allowed in line
    for leak in ("function-before", "literal[", "constrained-", "[key]", "Value error"):
        assert leak not in line


def test_every_fault_has_its_line() -> None:
    """All at once, so that a user does not meet them one by one."""
    lines = faults({"rounds": 0, "head": "mine", "training": {"lr": 1}})
    assert sorted(line.split(": ")[1] for line in lines) == ["head", "rounds", "training.lr"]


@pytest.mark.parametrize(
    ("text", "rate"),
    [("1e-3", "1e-3"), ('"1e-3"', "1e-3"), ("0.001", "0.001"), ("5e-4", "5e-4"), ('"5.0e-4"', "5.0e-4"), ("1", "1")],
)
def test_rates_keep_the_text_of_the_file(tmp_path: Path, text: str, rate: str) -> None:
    """YAML reads an unquoted 1e-3 as text and 0.001 as a number: both are rates, spelt as the user spelt them."""
    path = tmp_path / "mine.yaml"
    path.write_text(f"name: small\nfederations: {{toy: {{}}}}\nrounds: 1\nrates: [{text}]\n")
    assert parse(read(path), str(path)).rates == (rate,)


def test_a_small_rate_that_is_a_number_keeps_its_value() -> None:
    """Whatever the spelling."""
    for value in (1e-5, 3.3e-4, 0.1234567, 2):
        (rate,) = parse(VALID | {"rates": [value]}).rates
        assert float(rate) == value


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("rounds", "--config rounds: give key=value, as in --config rounds=3"),
        ("=3", "--config =3: give key=value, as in --config rounds=3"),
        (
            "training.momentum=0",
            "--config training.momentum=0: give a setting within others in braces: "
            "training='{optimiser: {momentum: 0}}'",
        ),
        ("lora.rank=3", "--config lora.rank=3: give a setting within others in braces: lora='{rank: 3}'"),
        ("seeds=[a", "--config seeds=[a: the value is not YAML: while parsing a flow sequence"),
    ],
)
def test_an_override_that_cannot_be_read_is_an_error_of_one_line(tmp_path: Path, given: str, said: str) -> None:
    """It says how to give it."""
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(VALID), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read(path, [given])
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "meant"),
    [
        (
            {"training": {"momentum": 0}},
            "training.momentum: there is no such setting (did you mean training.optimiser",
        ),
        ({"batch_size": 8}, "batch_size: there is no such setting (did you mean training.batch_size?)"),
        ({"round": 8}, "round: there is no such setting (did you mean rounds?); allowed here: "),
        ({"x": 8}, "x: there is no such setting; allowed here: "),
    ],
)
def test_a_setting_that_stands_elsewhere_is_named(changes: dict[str, Any], meant: str) -> None:
    (line,) = faults(changes)
    assert line.startswith(f"mine.yaml: {meant}")


@pytest.mark.parametrize(
    "given", ["rounds=3", "lora={rank: 8}", "federations={toy: {clients: [a]}, other: {}}", "rates=[1e-2]"]
)
def test_overrides_are_merged_as_snakemake_merges_them(tmp_path: Path, given: str) -> None:
    """So a command that is given the same `--config` speaks of the same configuration."""
    written = {**VALID, "federations": {"toy": {"image_size": 48}}, "lora": {"rank": 4, "alpha": 2.0}}
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(written), encoding="utf-8")
    update_config(written, parse_config([given]))
    assert parse(read(path, [given])) == parse(written)


def test_a_file_that_is_absent_is_an_error_that_names_it(tmp_path: Path) -> None:
    """One line."""
    with pytest.raises(ConfigError) as caught:
        parse(read(tmp_path / "absent.yaml"), str(tmp_path / "absent.yaml"))
    assert str(caught.value) == f"{tmp_path / 'absent.yaml'}: there is no such configuration file"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"rates: [1e-3", "not a YAML file"),
        (b"a: b: c", "not a YAML file"),
        (b"\xff\xfe\x00", "not a YAML file"),
        (b"- one\n- two\n", "a configuration is a mapping of settings, this is list"),
        (b"just words", "a configuration is a mapping of settings, this is str"),
        (b"", "a configuration is a mapping of settings, this is NoneType"),
    ],
)
def test_a_file_that_is_no_mapping_in_yaml_is_an_error_of_one_line(
    tmp_path: Path, content: bytes, expected: str
) -> None:
    """It names the file."""
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        parse(read(path), str(path))
    assert str(caught.value).startswith(f"{path}: {expected}")
    assert "\n" not in str(caught.value)


def test_a_configuration_survives_its_own_writing() -> None:
    """What is recorded with a run is the configuration again."""
    config = parse(
        VALID | {"lora": {"targets": ["qkv"]}, "method_settings": {"fedopal_w": {"strength": 0.5, "entries": "mean"}}}
    )
    assert parse(yaml.safe_load(yaml.safe_dump(config.model_dump(mode="json")))) == config


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[("1", 1), ("-3", -3), ("0.5", 0.5), (".5", 0.5), ("1e-3", 0.001), ("2E4", 20000.0)],
        *[("true", True), ("false", False)],
        *[("mean", "mean"), ("1x", "1x"), ("1_000", "1_000"), ("nan", "nan"), ("", "")],
    ],
)
def test_a_setting_that_reads_as_a_number_is_one(text: str, value: float | str) -> None:
    """As `--config adaptation_settings='{iop: {passes: 1}}'` gives it, of which Snakemake makes texts."""
    found = parse(VALID | {"adaptation_settings": {"iop": {"passes": text}}}).adaptation_settings["iop"]["passes"]
    assert (found, type(found)) == (value, type(value))


def test_settings_cannot_be_changed() -> None:
    """A configuration is read, never written to."""
    with pytest.raises(ValueError, match="frozen"):
        parse(VALID).rounds = 3
