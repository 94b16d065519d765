"""The table of communication: FLAP-SAM's printed numbers, from shapes alone."""

import json

import pandas as pd
import pytest
import yaml

from benchmark.plan import Plan
from benchmark.reporting.communication import Federation, Method, write
from benchmark.sources import ROOT

PRINTED = {
    "sam_full": 67.45,
    "sam_decoder": 2.91,
    "sam_head": 0.36,
    "sam_lora": 1.02,
    "sam_lora_decoder": 3.93,
    "flap_sam": 1.38,
}
"""Figure 1 of arXiv 2407.21739. Its attention row, 23.60, does not come out of 30,053,104 parameters."""


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The paper's setting, as it is configured: ViT-B, 224 px, rank 32, six sites, three classes, 25 rounds."""
    values = yaml.safe_load((ROOT / "config/flap_sam.yaml").read_text(encoding="utf-8"))
    kits = {"fed_kits19": values["federations"]["fed_kits19"]}
    plan = Plan.of({**values, "federations": kits, "methods": ["sam", "fedsa_lora", "pooled"], "own": []})
    output = tmp_path_factory.mktemp("tables") / "communication.csv"
    federations = tuple(map(Federation.model_validate, json.loads(plan.each_federation)))
    methods = tuple(map(Method.model_validate, json.loads(plan.each_method)))
    write(json.loads(plan.protocol), federations, methods, output)
    return pd.read_csv(output).set_index("method")


def test_the_printed_numbers_come_out(table: pd.DataFrame) -> None:
    assert {name: table.loc[name, "as_printed"] for name in PRINTED} == PRINTED
    assert table.loc["sam_attention", ["parameters", "as_printed"]].tolist() == [30_053_104, 22.39]
    ratios = table["times_less_as_printed"].round(1)
    assert ratios["flap_sam"] == 48.9
    assert ratios["sam_head"] == 187.4
    assert round(table.loc["sam_lora_decoder", "as_printed"] / table.loc["flap_sam", "as_printed"], 1) == 2.8


def test_bytes_are_those_of_the_leaves(table: pd.DataFrame) -> None:
    """Four bytes a number, up and down, of six clients and 25 rounds; nothing where all images are pooled."""
    for name in PRINTED:
        own = table.loc[name]
        assert own["bytes_up"] == own["bytes_down"] == 4 * own["parameters"], name
        assert own["total_bytes"] == 6 * 25 * 8 * own["parameters"], name
    assert table.loc["fedsa_lora", "bytes_up"] < table.loc["sam_lora", "bytes_up"] + 4 * 478_320
    assert table.loc["pooled", "total_bytes"] == 0
    assert pd.isna(table.loc["pooled", "times_less"])
