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
    "sam_attention": 23.60,
    "sam_decoder": 2.91,
    "sam_head": 0.36,
    "sam_lora": 1.02,
    "sam_lora_decoder": 3.93,
    "flap_sam": 1.38,
}
"""Figure 1 of arXiv 2407.21739. Its attention row does not come out of 30,053,104 parameters."""


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The paper's setting, as it is configured: ViT-B, 224 px, rank 32, six sites, three classes, 25 rounds."""
    values = yaml.safe_load((ROOT / "config/flap_sam.yaml").read_text(encoding="utf-8"))
    kits, methods = (
        {"fed_kits19": values["federations"]["fed_kits19"]},
        ["sam", "fedsa_lora", "ditto", "local", "pooled"],
    )
    plan = Plan.of({**values, "federations": kits, "methods": methods, "own": []})
    output = tmp_path_factory.mktemp("tables") / "communication.csv"
    federations = tuple(map(Federation.model_validate, json.loads(plan.each_federation)))
    each = tuple(map(Method.model_validate, json.loads(plan.each_method)))
    write(json.loads(plan.protocol), federations, each, ROOT / "results/reference/published.csv", output)
    return pd.read_csv(output).set_index("method")


def test_the_printed_numbers_come_out(table: pd.DataFrame) -> None:
    found = {name: table.loc[name, "as_printed"] for name in PRINTED}
    assert found == {**PRINTED, "sam_attention": 22.39}
    assert table.loc["sam_attention", "parameters"] == 30_053_104
    ratios = table["times_less_as_printed"].round(1)
    assert ratios["flap_sam"] == 48.9
    assert ratios["sam_head"] == 187.4
    assert round(table.loc["sam_lora_decoder", "as_printed"] / table.loc["flap_sam", "as_printed"], 1) == 2.8


def test_published_numbers_stand_beside_and_the_one_that_does_not_come_out_is_marked(table: pd.DataFrame) -> None:
    assert table["published"].dropna().to_dict() == PRINTED
    assert table["comes_out"].dropna().to_dict() == {**dict.fromkeys(PRINTED, "yes"), "sam_attention": "no"}


def test_what_is_sent_is_counted_and_not_what_is_trained(table: pd.DataFrame) -> None:
    """FedSA-LoRA sends A alone, Ditto one of its two models; FLAP-SAM's own rows send what they train."""
    encoder, decoder = 12 * 2 * 768, (2 * 3 + 1) * 2 * 256  # Widths of q's and v's inputs, summed over attentions.
    a = 32 * (encoder + decoder)
    assert table.loc["fedsa_lora", "bytes_up"] == 4 * a
    assert table.loc["fedsa_lora", "as_printed"] == round(a * 25 * 32 / 2**30, 2) == 0.52
    assert table.loc["ditto", "parameters"] == 2 * table.loc["flap_sam", "parameters"]
    assert table.loc["ditto", "as_printed"] == table.loc["flap_sam", "as_printed"]
    assert table.loc["pooled", "as_printed"] == table.loc["local_all", "as_printed"] == 0


def test_bytes_are_those_of_the_leaves(table: pd.DataFrame) -> None:
    """Four bytes a number, up and down, of six clients and 25 rounds; nothing where all images are pooled."""
    for name in PRINTED:
        own = table.loc[name]
        assert own["bytes_up"] == own["bytes_down"] == 4 * own["parameters"], name
        assert own["total_bytes"] == 6 * 25 * 8 * own["parameters"], name
    assert table.loc["pooled", "total_bytes"] == 0
    assert pd.isna(table.loc["pooled", "times_less"])
