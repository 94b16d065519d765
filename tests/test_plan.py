"""The plan: which methods a configuration runs."""

import json
import re
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmark import fitness
from benchmark.config import ConfigError
from benchmark.methods import discovered
from benchmark.plan import Plan
from benchmark.sources import ROOT

VALUES: dict[str, Any] = {"name": "small", "federations": {"toy_lesions": {}}, "rates": ["1e-3"], "rounds": 2}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of two files of one's own, in a project that has them beside the methods that are shipped."""
    shutil.copytree(ROOT / "methods", tmp_path / "methods")
    for path in tmp_path.glob("methods/[!_]*.py"):
        path.unlink()  # Whatever else the project's user has.
    names = ["mine", "other"]
    for name in names:
        shutil.copy(ROOT / "methods/_template.py", tmp_path / f"methods/{name}.py")
    monkeypatch.setattr(fitness, "discovered", partial(discovered, tmp_path))
    return names


@pytest.mark.parametrize(
    "name", ["quickstart", "paper", "paper_likely", "fed_ham10000", "fed_ham10000_gpu", "toy_volumes", "lesions"]
)
def test_published_comparisons_rank_the_papers_rows(name: str, own: list[str]) -> None:
    """Eight rows of the paper, FedPer and four controls, and whatever file a user adds."""
    values = yaml.safe_load((ROOT / f"config/{name}.yaml").read_text(encoding="utf-8"))
    rows = ["feddpa_f", "feddpa_t", "fedit", "fedopal_r", "fedopal_w", "fedpal", "fedsa_lora", "ffa_lora"]
    rows += ["fedper", "head_personal", "head_shared", "local", "pooled"]
    assert Plan.of(values).methods == sorted([*rows, *own])
    assert Plan.of({**values, "own": ["mine"]}).methods == sorted([*rows, "mine"])


def test_what_was_probably_run_differs_from_the_papers_protocol_in_three_settings() -> None:
    """Side by side: whatever else is changed in one of the files belongs into the other."""
    said, likely = (
        yaml.safe_load((ROOT / f"config/{name}.yaml").read_text(encoding="utf-8")) for name in ("paper", "paper_likely")
    )
    said |= {key: likely[key] for key in ("name", "title", "tasks")}
    said["lora"]["targets"], said["federations"]["camelyon17"]["image_size"] = ["qkv"], 224
    assert said == likely
    assert likely["tasks"] == {"classification": {"loss": "weighted"}}


def test_the_full_size_of_the_real_hospitals_differs_in_size_alone() -> None:
    """Images, rates, seeds and rounds; what the small one was found with is not lost in the large one."""
    small, full = (
        yaml.safe_load((ROOT / f"config/{name}.yaml").read_text(encoding="utf-8"))
        for name in ("fed_ham10000", "fed_ham10000_gpu")
    )
    assert set(small["rates"]) < set(full["rates"])
    assert len(full["rates"]) == 5
    assert (full["federations"]["fed_ham10000"]["image_size"], full["seeds"], full["rounds"]) == (224, [0, 1, 2], 50)
    small["federations"]["fed_ham10000"]["image_size"] = 224
    sized = {key: full[key] for key in ("name", "title", "rates", "seeds", "rounds", "checkpoint_every")}
    assert small | sized == full
    job = json.loads(Plan.of(full).training("fed_ham10000", "fedopal_r"))
    assert (job["training"]["optimiser"]["name"], job["task"]) == ("adamw", {"loss": "weighted"})


def lesions(**settings: Any) -> dict[str, Any]:
    """A configuration of toy lesions with these settings of its federation."""
    return {**VALUES, "methods": ["fedit"], "federations": {"toy_lesions": {"options": {"scale": 0.1}, **settings}}}


def test_one_draw_is_no_setting() -> None:
    """No path changes, and nothing that a job is given."""
    one, none = Plan.of(lesions(draws=1)), Plan.of(lesions())
    names = ("targets", "packs", "folders", "described", "packed_at", "protocol", "each_federation", "each_method")
    for name in (*names, "wanted"):
        assert getattr(one, name) == getattr(none, name), name
    row = ("toy_lesions", "fedit")
    assert one.training(*row) == none.training(*row)
    (pack,), (folder,) = one.packs, one.folders
    assert (one.packing(pack), one.preparation(folder)) == (none.packing(pack), none.preparation(folder))
    assert json.loads(one.described)["draw_of"] == {}


def test_draws_are_federations_over_the_same_data() -> None:
    """They differ in their packs alone; the first has the pack that there is without draws."""
    drawn = Plan.of(lesions(draws=3, protocol="lesion_disjoint", split_seed=4))
    names = ["toy_lesions_draw1", "toy_lesions_draw2", "toy_lesions_draw3"]
    assert drawn.federations == names
    assert drawn.rows == [(name, "fedit") for name in names]
    assert list(drawn.folders) == list(Plan.of(lesions()).folders)
    first = Plan.of(lesions(protocol="lesion_disjoint", split_seed=4))
    assert drawn.pack(names[0]) == first.pack("toy_lesions")
    assert [json.loads(drawn.packing(drawn.pack(name)))["split_seed"] for name in names] == [4, 5, 6]
    assert {"results/small/tables/toy_lesions.md", "results/small/tables/toy_lesions_draw3.md"} <= set(drawn.targets)
    assert json.loads(drawn.described)["draw_of"] == dict.fromkeys(names, "toy_lesions")
    again = Plan.of(drawn.config.model_dump(mode="json"))
    assert again.targets == drawn.targets, "a publication writes what was resolved"


@pytest.mark.parametrize(
    ("federation", "said"),
    [
        ({"toy_lesions": {"draws": 3}}, "toy_lesions with the protocol flamby has one test set, which all 3 draws"),
        ({"toy_lesions": {"draws": 3}}, "set `protocol` to lesion_disjoint, or leave `draws` out"),
        ({"mine": {"dataset": "toy_volumes", "draws": 2}}, "federations.mine.draws: toy_volumes with the protocol"),
        ({"toy_slides": {"draws": 3, "protocol": "patient_folds"}}, "has 4 folds, each of which is tested once: set"),
        ({"camelyon17": {"draws": 2}}, "set `protocol` to patient_folds, or leave `draws` out"),
    ],
)
def test_draws_that_test_the_same_are_refused(federation: dict[str, Any], said: str) -> None:
    """In one line, before anything runs."""
    with pytest.raises(ConfigError) as caught:
        Plan.of({**VALUES, "methods": ["fedit"], "federations": federation})
    (line,) = str(caught.value).splitlines()
    assert said in line


@pytest.mark.parametrize(
    ("backbone", "size", "said"),
    [
        (
            {},
            100,
            "100 is no multiple of 16, the side of a patch of vit_tiny_patch16_224.augreg_in21k; set it to",
        ),
        ({"arguments": {"patch_size": 12}}, 50, "50 is no multiple of 12, the side of a patch of"),
        ({"network": "unet"}, 100, "100 is no multiple of 8, since 4 levels halve images 3 times; set it to 96 or 104"),
        ({"network": "sam", "name": "sam_tiny"}, 40, "40 is no multiple of 16, which the grid of SAM needs"),
        ({"network": "sam", "name": "mobile_sam"}, 80, "80 is no multiple of 32, which TinyViT needs; set it to 64 or"),
    ],
)
def test_images_of_a_side_that_the_network_cannot_take(backbone: dict[str, Any], size: int, said: str) -> None:
    """In one line, before anything is fetched or packed."""
    given = {**VALUES, "methods": ["fedavg_ft"], "trains": ["head"], "backbone": backbone}
    with pytest.raises(ConfigError) as caught:
        Plan.of({**given, "federations": {"toy_volumes": {"image_size": size}}})
    (line,) = str(caught.value).splitlines()
    assert f"federations.toy_volumes.image_size: {said}" in line


@pytest.mark.parametrize(
    ("federation", "changes", "said"),
    [
        ({"toy_lesions": {"context": [-1, 0, 1]}}, {}, "federations.toy_lesions.context: images of toy_lesions are in"),
        (
            {"toy_lesions": {}},
            {"training": {"stack": 5}},
            "training.stack: images of toy_lesions are in colour, and no",
        ),
        (
            {"a": {"dataset": "toy_volumes", "context": [0, 1]}},
            {},
            "a.context: 2 offsets, but vit reads 3 channels; name 3",
        ),
        (
            {"prostate": {"context": [-2, -1, 0, 1, 2]}},
            {"backbone": {"network": "unet"}, "trains": ["all"]},
            "prostate.context: 5 offsets, but unet reads 3 channels; set backbone.arguments.inputs to 5",
        ),
        ({"toy_volumes": {"context": [-1, 1]}}, {}, "context: the slice itself, 0, must be among the offsets"),
        ({"toy_volumes": {}}, {"training": {"stack": 4}}, "training.stack: a stack has as many slices before its own"),
    ],
)
def test_contexts_that_cannot_be_had_are_refused(
    federation: dict[str, Any], changes: dict[str, Any], said: str
) -> None:
    """In one line, before anything is fetched or packed."""
    with pytest.raises(ConfigError) as caught:
        Plan.of({**VALUES, "methods": ["fedavg_ft"], "trains": ["head"], "federations": federation, **changes})
    (line,) = str(caught.value).splitlines()
    assert said in line


def test_a_context_changes_training_alone() -> None:
    """The same images, packed once, whatever slices networks see."""
    federations = {"one": {"dataset": "toy_volumes"}, "three": {"dataset": "toy_volumes", "context": [-1, 0, 1]}}
    planned = Plan.of({**VALUES, "methods": ["fedit"], "federations": federations})
    assert len(planned.packs) == 1
    told = [json.loads(planned.training(name, "fedit"))["context"] for name in federations]
    assert told == [[], [-1, 0, 1]]


@pytest.mark.parametrize(
    ("federations", "said"),
    [
        (
            {"a": {"draws": 2}, "a_draw2": {}},
            "a_draw2 is a draw of a, and a federation of its own too",
        ),
        ({"a": {"draw_of": "b"}, "b": {}}, "b is a federation, and a says that it is a draw of it; rename one"),
        (
            {"a": {"draw_of": "c"}, "b": {"draw_of": "c", "image_size": 32}},
            "draws of c may differ in nothing but",
        ),
        ({"a": {"draw_of": "c", "draws": 2}}, "a is one draw of c, and cannot be drawn itself; leave out `draws`"),
    ],
)
def test_draws_have_names_and_settings_of_their_own(federations: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        Plan.of({**VALUES, "federations": federations})


@pytest.mark.usefixtures("own")
def test_who_stands_outside_has_a_table_of_a_family_and_a_figure() -> None:
    """A family is what stands in place of a federation that is left by each client, draws of one together."""
    left = {"clients": ["0", "1"], "draws": 2, "protocol": "lesion_disjoint"}
    named = {"clients": ["0", "1"], "outside": ["2"]}
    federations = {"toy_lesions": left, "some": {**named, "dataset": "toy_lesions"}, "toy_slides": {}}
    plan = Plan.of({**VALUES, "federations": federations, "leave_one_out": ["toy_lesions"], "methods": ["fedit"]})
    assert plan.families == {"toy_lesions": ["toy_lesions_without_0", "toy_lesions_without_1"], "some": ["some"]}
    described = json.loads(plan.described)
    assert (described["families"], described["adapting"]) == (plan.families, "transductive")
    assert described["adaptations"] == list(plan.adaptations)
    expected = {f"results/small/{name}" for name in ("outside.parquet", "tables/outside.csv", "tables/outside.tex")}
    assert expected | {"figures/small/transfer.svg"} <= set(plan.targets)
    without = Plan.of({**VALUES, "methods": ["fedit"]})
    assert not {"families", "adaptations", "adapting"} & set(json.loads(without.described))
    assert not [target for target in without.targets if "outside" in target or "transfer" in target]


def test_with_both_policies_every_method_without_its_own_has_a_row_for_each() -> None:
    """FedPer's head is personal, whatever the configuration says: it has one row."""
    both = Plan.of({**VALUES, "own": [], "methods": ["fedit", "fedper"], "head": "both"})
    assert both.methods == ["fedit", "fedper", "fedit_personal_head"]
    jobs = {row: json.loads(both.training("toy_lesions", row)) for row in both.methods}
    assert [jobs[row]["head"] for row in both.methods] == ["shared", "shared", "personal"]
    assert jobs["fedit_personal_head"]["variant"] == "personal head"
    assert both.method_file("fedit_personal_head") == "methods/fedopal/fedit.py"


@pytest.mark.usefixtures("own")
def test_a_variant_is_a_row_of_a_method_with_settings_of_its_own() -> None:
    """Over those that the method has in all rows."""
    variants = {"code": {"method": "feddpa_t", "settings": {"weighting": "code"}}, "late": {"method": "fedit"}}
    settings = {"feddpa_t": {"weight": 0.3, "weighting": "paper"}}
    ours = Plan.of({**VALUES, "own": [], "methods": ["feddpa_t"], "method_settings": settings, "variants": variants})
    assert ours.methods == ["feddpa_t", "code", "late"]
    found = [json.loads(ours.training("toy_lesions", row)) for row in ours.methods]
    assert [job["method_settings"] for job in found] == [
        {"weight": 0.3, "weighting": "paper"},
        {"weight": 0.3, "weighting": "code"},
        {},
    ]
    assert [job["variant"] for job in found] == ["", "weighting code", ""]


SAMS = {
    "federations": {"toy_volumes": {"image_size": 32}},
    "backbone": {"network": "sam", "name": "sam_tiny", "weights": "drawn"},
}


@pytest.mark.usefixtures("own")
def test_the_leaves_of_every_method_are_trained_alone_too() -> None:
    """In a row of `local` for each set of leaves that is not the configuration's; controls are not measured from it."""
    variants = {
        "norms": {"method": "fedit", "trains": ["norm", "head"]},
        "again": {"method": "local", "trains": ["norm"]},
    }
    methods = ["flap_sam", "sam_full", "sam_attention", "sam_head", "fedrep", "fedper", "local", "head_shared"]
    ours = Plan.of({**VALUES, **SAMS, "own": [], "methods": methods, "variants": variants, "alone": True})
    assert ours.alone == {
        "flap_sam": "local",
        "fedper": "local",
        "fedrep": "local",
        "sam_full": "local_all",
        "sam_attention": "local_attention_head",
        "sam_head": "local_head",
        "norms": "local_head_norm",
    }
    added = ["local_all", "local_attention_head", "local_head", "local_head_norm"]
    assert ours.methods == [*sorted(methods), "again", *added, "norms"]
    jobs = {row: json.loads(ours.training("toy_volumes", row)) for row in ours.methods}
    assert {jobs[row]["method_settings"] == {} for row in added} == {True}
    assert jobs["local_attention_head"]["trains"] == ["attention", "head"]
    assert jobs["local_attention_head"]["variant"] == "attention and head"
    assert jobs["norms"]["trains"] == ["norm", "head"]
    assert jobs["local"]["trains"] == jobs["flap_sam"]["trains"] == ["lora", "head"]
    assert ours.method_file("local_all") == "methods/controls/local.py"
    assert json.loads(ours.described)["alone"] == ours.alone
    assert [method["own"]["trains"] for method in json.loads(ours.each_method)] == [
        jobs[row]["trains"] for row in ours.methods
    ]
    assert "trains" not in json.loads(ours.protocol)


@pytest.mark.parametrize("path", sorted(ROOT.glob("config/*.yaml")), ids=lambda path: path.stem)
def test_what_a_row_trains_is_its_federations_its_methods_or_all_rows(path: Path) -> None:
    """So that the table of communication is given federations and methods, and not their many rows."""
    ours = Plan.of(yaml.safe_load(path.read_text(encoding="utf-8")))
    federations, methods = json.loads(ours.each_federation), json.loads(ours.each_method)
    crossed = [{**json.loads(ours.protocol), **f["own"], **m["own"]} for f in federations for m in methods]
    assert crossed == [json.loads(ours.training(*row)) for row in ours.rows]
    assert [f["dataset"] for f in federations] == [ours.dataset(name) for name in ours.federations]
    assert [m["file"] for m in methods] == [ours.method_file(name) for name in ours.methods]


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize("name", ["flap_sam", "sam_lesions"])
def test_comparisons_of_sam_say_what_each_part_gains(name: str) -> None:
    """Over the same part trained alone, one row for each; no control is one of these rows again."""
    ours = Plan.of({**yaml.safe_load((ROOT / f"config/{name}.yaml").read_text(encoding="utf-8")), "own": []})
    partners = {
        **{"sam_full": "local_all", "sam_attention": "local_attention_head", "sam_decoder": "local_decoder_head"},
        **{"sam_head": "local_head", "sam_lora": "local_lora", "sam_lora_decoder": "local_decoder_head_lora"},
        **{"flap_sam": "local", "fedsa_lora": "local", "ditto": "local"},
    }
    assert {row: ours.alone[row] for row in partners} == partners
    controls = {row for row in ours.methods if row not in ours.alone}
    assert controls == {*ours.alone.values(), "pooled"}


@pytest.mark.usefixtures("own")
def test_nothing_is_trained_alone_unasked() -> None:
    ours = Plan.of({**VALUES, **SAMS, "own": [], "methods": ["sam_head", "local"]})
    assert ours.alone == {}
    assert ours.methods == ["local", "sam_head"]


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"methods": ["sam_head"]},
            "alone: there is no row local, which gains are measured from; add local to `methods`",
        ),
        (
            {"methods": ["local"], "variants": {"local_norm": {"method": "fedit"}}},
            "variants.local_norm: with `alone`, rows of other leaves have such names; give the row another",
        ),
        (
            {"methods": ["local"], "variants": {"a": {"method": "sam_head", "trains": ["norm"]}}},
            "variants.a.trains: the file of sam_head says that it trains head; leave `trains` out",
        ),
        (
            {"methods": ["local"], "variants": {"a": {"method": "fedit", "trains": ["mine"]}}},
            "trains: fedit trains mine, which the network sam has not; it has",
        ),
    ],
)
def test_what_cannot_be_trained_alone_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=f"^configuration: {re.escape(said)}"):
        Plan.of({**VALUES, **SAMS, "own": [], "alone": True, **changes})


def test_a_method_that_is_named_runs_though_it_is_not_among_ones_own(own: list[str]) -> None:
    """So a publication, which names all its methods, is the same where others have files of their own."""
    assert Plan.of({**VALUES, "methods": ["mine", "fedit"], "own": []}).methods == ["fedit", "mine"]
    assert Plan.of({**VALUES, "methods": []}).methods == own
    with pytest.raises(ConfigError, match="methods: none is named, and none stands in methods/ itself"):
        Plan.of({**VALUES, "methods": [], "own": []})


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"methods": ["fedits"]}, r"methods: there is no method or group fedits; did you mean fedit\?"),
        ({"methods": ["control"]}, r"methods: there is no method or group control; did you mean controls\?"),
        ({"own": ["min"]}, r"own: there is no methods/min.py; did you mean mine\?"),
        ({"own": ["fedit"]}, r"own: there is no methods/fedit.py; there are mine, other"),
        ({"variants": {"a": {"method": "ditt"}}}, r"variants.a.method: there is no method ditt; did you mean ditto\?"),
        ({"variants": {"ditto": {"method": "fedit"}}}, "variants.ditto: there is a method or group of this name"),
        (
            {"variants": {"a": {"method": "fedper", "head": "shared"}}},
            "variants.a.head: the file of fedper says that its head is personal; leave `head` out",
        ),
        (
            {"variants": {"a": {"method": "fedprox", "settings": {"nu": 1}}}},
            "variants.a.settings.nu: there is no such setting; allowed: mu",
        ),
        ({"method_settings": {"ditt": {}}}, r"method_settings: there is no method ditt; did you mean ditto\?"),
        ({"method_settings": {"zzz": {}}}, "method_settings: there is no method zzz; there are apfl, "),
    ],
)
def test_a_name_that_does_not_exist_is_an_error_with_the_nearest(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=f"^configuration: {said}"):
        Plan.of({**VALUES, **changes})


def test_a_unet_is_planned_with_methods_that_need_no_lora() -> None:
    values = yaml.safe_load((ROOT / "config/retinal_vessels.yaml").read_text(encoding="utf-8"))
    planned = Plan.of(values)
    assert {"ditto", "fedit", "fedper", "local", "pooled"} <= set(planned.methods)
    assert {"case_scores", "overlays"} <= set(planned.figure_names)
    assert not {"labels", "confusion"} & set(planned.figure_names)


def test_a_network_that_predicts_pixels_alone_is_refused_where_images_are_classified() -> None:
    """In one line, before anything runs; so are methods that mean nothing without projections for LoRA."""
    unet = {"backbone": {"network": "unet", "name": "unet", "weights": "drawn"}, "trains": ["all"]}
    said = r"backbone.network: unet makes no prediction of images, which classification needs \(toy_lesions\); take"
    with pytest.raises(ConfigError, match=said):
        Plan.of({**VALUES, **unet, "methods": ["fedit"]})
    masks = {**VALUES, **unet, "federations": {"fed_ham10000_lesions": {"source": "."}}}
    assert "fedit" in Plan.of({**masks, "methods": ["fedit"]}).methods
    with pytest.raises(ConfigError, match="trains: flora needs lora, but what is trained is all"):
        Plan.of({**masks, "methods": ["flora"]})


def test_a_method_that_trains_what_the_network_has_not_is_refused() -> None:
    """SAM's decoder, on a vision transformer."""
    with pytest.raises(ConfigError, match="trains: sam_decoder trains decoder, which the network vit has not; it has"):
        Plan.of({**VALUES, "methods": ["fedit", "sam_decoder"]})
    assert "sam_full" in Plan.of({**VALUES, "methods": ["fedit", "sam_full"]}).methods
