"""The job that gathers findings."""

from pathlib import Path

import pandas as pd

from benchmark.evaluation import checks
from benchmark.evaluation.findings import worse_than_local
from benchmark.files import write_json
from tests.evaluation.test_findings import cells
from tests.reporting import synthetic


def test_the_committed_numbers_are_read_with_what_they_were_made_with(tmp_path: Path) -> None:
    runs = [synthetic.run("d", "fedit", "1e-3", seed, ["0"]) for seed in (0, 1)]
    table = cells({"fedit": [0.5]}).drop(columns="missing").assign(metric="balanced_accuracy")
    pd.concat([table, table.assign(metric="accuracy")]).to_csv(tmp_path / "clients.csv", index=False)
    pd.DataFrame(
        [("d", "fedit", "1e-3", False), ("d", "fedit", "5e-3", True)],
        columns=["federation", "method", "rate", "chosen"],
    ).to_csv(tmp_path / "selected.csv", index=False)
    scores, rates, differ = checks.read_reference(tmp_path, runs)
    assert (list(scores["client"]), rates, differ) == (["0"], {("d", "fedit"): "5e-3"}, ["seeds"])
    settings = {key: value for key, value in runs[0]["settings"].items() if key != "method"}
    write_json(tmp_path / "about.json", {"settings": {**settings, "rounds": 99}})
    assert checks.read_reference(tmp_path, runs[:1])[2] == ["rounds"]


def test_many_findings_of_one_kind_become_one() -> None:
    names = [f"m{place}" for place in range(checks.MOST + 1)]
    table = cells({"local": [0.9], **{name: [0.1] for name in names}})
    many = worse_than_local(table)
    (one,) = checks.merged(many)
    assert one["message"].startswith(f"the mean is worse than that of training alone ({len(names)} times): m0 (0.1), ")
    assert (one["severity"], one["check"], one["federation"]) == ("warning", "worse than local", "d")
    assert checks.merged(many[:-1]) == many[:-1]


def test_the_job_compares_with_what_is_committed(tmp_path: Path) -> None:
    only = {"toy_slides": synthetic.FEDERATIONS["toy_slides"]}
    tree = synthetic.with_statistics(synthetic.write(tmp_path, federations=only, methods=["fedit"]))
    table = pd.read_parquet(tree.clients).assign(value=0.0)
    (tmp_path / "committed").mkdir()
    table.to_csv(tmp_path / "committed/clients.csv", index=False)
    for folder, expected in {"committed": True, "absent": False}.items():
        output = tmp_path / f"{folder}.csv"
        assert not tree.job("evaluation.checks", "--reference", tmp_path / folder, "--output", output)
        assert ("drift from reference" in output.read_text()) is expected


def test_the_job_writes_errors_first(tmp_path: Path) -> None:
    tree = synthetic.with_statistics(synthetic.write(tmp_path))
    tree.change(unused=[("toy_slides", "local", "the engine has changed")])
    table = pd.read_parquet(tree.clients)
    lost = (table["federation"] == "toy_slides") & (table["method"] == "fedit") & (table["client"] == "1")
    table[~lost].to_parquet(tree.clients)
    for folder in tree.tests:
        counts = pd.read_parquet(folder / "counts.parquet")
        blind = (counts["client"] == "0") & (counts["class"] == 1) & (folder.parent.name == "local")
        counts.assign(**{name: counts[name].where(~blind, 0) for name in ("hit", "predicted")}).to_parquet(
            folder / "counts.parquet"
        )
    assert tree.job("evaluation.checks", "--output", tmp_path / "checks.csv") == 0
    found = pd.read_csv(tmp_path / "checks.csv", dtype={"client": str})
    assert list(found.columns) == checks.COLUMNS
    places = [checks.SEVERITIES.index(severity) for severity in found["severity"]]
    assert places == sorted(places)
    assert set(found.loc[found["severity"] == "error", "client"]) == {"1"}
    assert set(found["check"]) >= {"missing cell", "diverged", "edge of grid", "not used"}
    never = found[found["check"] == "never predicted"].set_index("federation")
    assert "at client 0 (" in never.loc["toy_slides", "message"]
    assert never.loc["toy_slides", "message"].endswith("by local")
