"""What a run keeps of its validation images, so that others can be drawn from them."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmark.evaluation import choice, select
from benchmark.evaluation.counts import by_unit, of_clients
from benchmark.federation.client import ClientData
from benchmark.federation.engine import Engine
from benchmark.tasks.classification import Classification
from tests.federation.jobs import Workplace, runs
from tests.federation.small import CLASSES


def test_the_validation_counts_of_a_run_give_the_score_that_selection_reads(
    place: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of every client, after the last round, also where the run comes from the store; and every sample is there.

    For it, no image is predicted that is not validated anyway: of three clients, after each of two rounds.
    """
    predicted, asked = Engine.predictions, []

    def spy(self: Engine, client: ClientData, *given: Any) -> Any:
        asked.append(client.name)
        return predicted(self, client, *given)

    monkeypatch.setattr(Engine, "predictions", spy)
    for output in (tmp_path / "trained", tmp_path / "stored"):
        assert place.train(output, store=tmp_path / "store", rounds=2) == 0
        held = pd.read_parquet(place.folder / "pack/train.parquet")
        for folder in runs(output).values():
            scores = pd.read_parquet(folder / "metrics.parquet").query("metric == 'balanced_accuracy' and round == 2")
            last = scores[scores["split"] == "validation"].set_index("client")["value"]
            task = Classification(CLASSES)
            found = list(of_clients([folder / choice.FILE], task))
            assert {client for client, _, _ in found} == set(last.index)
            for client, about, values in found:
                assert float(task.score(by_unit(about, values, task))) == pytest.approx(last[client])
                own = held[(held["client"] == client) & (held["split"] == "validation")]
                assert about["sample"].tolist() == own["sample"].tolist()
    assert sorted(asked) == sorted(["east", "north", "south"] * 2)
    rows = select.of_folder(tmp_path / "trained")
    counts = choice.read(rows)
    assert counts[0].methods == ["2e-2", "1e-1"]
    assert [own.client for own in counts] == list(rows[0]["clients"])
