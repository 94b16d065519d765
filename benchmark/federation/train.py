"""Job: train one method on one federation, with every rate and seed.

    python -m benchmark.federation.train --settings JSON --method FILE --pack DIR --backbone DIR --store DIR
        --output DIR

writes, for every rate and seed, `OUTPUT/lr={rate}/seed={seed}/` with `metrics.parquet`, `state.safetensors` (the
leaves each client predicts with), `adapters/{client}/` (the same in PEFT's format) and `run.json`. Only the pack's
training and validation images are opened. With `--part K/N` one of N equal parts of the lanes is trained into the
store, and `OUTPUT/lanes.json` says what became of them.
"""

import argparse
import json
import math
import os
import shutil
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import pandas as pd
import torch
from safetensors.torch import save

from benchmark import provenance
from benchmark.config import RunningSettings, TrainingJob
from benchmark.data.packed import open_training
from benchmark.federation import costs, export, fault, methods
from benchmark.federation.beside import Beside
from benchmark.federation.client import Client, Lane
from benchmark.federation.engine import Engine, State, stack
from benchmark.federation.key import key
from benchmark.federation.lanes import Group, groups
from benchmark.federation.model import Model
from benchmark.federation.packs import Packs
from benchmark.federation.part import FOLDER, LANES, Part, told
from benchmark.federation.progress import Progress
from benchmark.federation.recorded import CudaGraphs, Recorder
from benchmark.federation.rows import Rows
from benchmark.federation.store import Record, Store
from benchmark.files import atomic, read_json, sweep, write_json
from benchmark.models import backbone
from benchmark.sources import ROOT, closure, fingerprint
from benchmark.tasks._before import Classification

_HISTORY = ("round", "client", "split", "metric", "value", "n")
"""Columns of `metrics.parquet`."""
_CPU_BUDGET = 1 << 30
"""Bytes of activations that the lanes trained together may hold on a CPU, where several jobs share the memory."""
_GPU_SHARE = 0.6
"""Share of a GPU's free memory that they may hold there."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; 0 where every lane's files were written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", required=True, type=TrainingJob.model_validate_json, help="TrainingJob as JSON")
    parser.add_argument(
        "--running",
        default=RunningSettings(),
        type=RunningSettings.model_validate_json,
        help="RunningSettings as JSON: how the job runs, which decides no result",
    )
    parser.add_argument("--method", required=True, type=Path, help="the method's Python file")
    parser.add_argument("--pack", required=True, type=Path, help="folder of the packed dataset")
    parser.add_argument("--backbone", required=True, type=Path, help="folder of the pretrained weights")
    parser.add_argument("--store", required=True, type=Path, help="folder of finished lanes and checkpoints")
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--part", type=Part.of, help="train this part of the lanes alone, as in 2/4")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    return _run(arguments)


def _run(arguments: argparse.Namespace) -> int:
    """Train all lanes and write their files, or train one part's lanes into the store."""
    settings, running, output = arguments.settings, arguments.running, arguments.output
    lanes: Sequence[Lane] = [Lane(rate, seed) for seed in settings.seeds for rate in settings.rates]
    name, part = f"{settings.federation} {settings.method}", arguments.part
    if part:
        lanes, name = part.share(lanes), f"{name}, part {part}"
    progress = Progress(output, name, settings.rounds, len(lanes))
    try:
        with progress.running():
            sweep(output)
            job = Job.of(settings, arguments.method, arguments.pack, arguments.backbone, running.device)
            if job.engine.device.type == "cpu":
                job = replace(job, engine=replace(job.engine, threads=running.threads))
            elif running.cuda_graphs:
                job = replace(job, engine=replace(job.engine, recorder=Recorder(CudaGraphs())))
            limit = None if running.lanes == "auto" else int(running.lanes)
            said, elsewhere = dict[str, dict[str, Any]](), told(output)
            for result in job.results(lanes, Store(arguments.store), limit, running.checkpoint_every, progress):
                key = job.key(result.lane)
                if part:
                    said[key] = {"origin": result.origin, "memory": result.memory}
                else:
                    # What a part has trained is now found in the store.
                    own = elsewhere.get(key, {}) if result.origin == "store" else {}
                    job.write(output, replace(result, **own))
                progress.lane()
            if part:
                write_json(output / LANES, said)
            else:
                shutil.rmtree(output / FOLDER, ignore_errors=True)
    except Exception as error:
        reason = fault.report(error, arguments.method)
        print(reason, file=sys.stderr)
        with suppress(OSError):
            progress.failed(reason.splitlines()[-1])
        return 1
    return 0


@dataclass(frozen=True)
class Result:
    """One finished lane.

    Attributes:
        lane: Which.
        record: Its state, of shape (K, 1, ...), and history.
        origin: `trained` here, `resumed` from a checkpoint, or found in the `store`.
        memory: Most bytes that the process which found it has held so far.
    """

    lane: Lane
    record: Record
    origin: str
    memory: int


@dataclass(frozen=True)
class Job:
    """One method on one federation.

    Attributes:
        settings: What decides the result.
        engine: Model, method and the clients' images.
        hashes: Of everything the result depends on: pack, backbone, method, engine.
    """

    settings: TrainingJob
    engine: Engine
    hashes: Mapping[str, str]

    @classmethod
    def of(
        cls, settings: TrainingJob, method: Path, pack: Path, weights: Path, device: str, *, resident: bool = True
    ) -> "Job":
        """Load everything onto the device.

        Args:
            settings: What decides the result.
            method: The method's file.
            pack: Folder of the packed dataset.
            weights: Folder of the backbone's weights.
            device: `auto`, `cpu` or `cuda`.
            resident: Whether the images are moved to the device too; a job that only looks at a few leaves them.

        Returns:
            The job.

        Raises:
            ValueError: A method file or settings that cannot be used, a client that the pack does not hold, data that
                do not fit together.
        """
        device = _device(device)
        manifest = read_json(pack / "manifest.json")
        loaded = methods.load(method, settings.method_settings)
        vit = backbone.load(
            weights / "model.safetensors", settings.backbone, settings.arguments, manifest["image_size"], settings.lora
        ).on(device, settings.training.precision)
        model = Model.of(vit, Classification(manifest["classes"]), loaded)
        clients = _clients(settings, pack, torch.device(device), resident)
        engine = Engine(model, clients, settings.training, settings.augmentation, settings.head, settings.averaging)
        hashes = {
            "images": manifest["hashes"]["train.npy"],
            "table": manifest["hashes"]["train.parquet"],
            "backbone": read_json(weights / "backbone.json")["sha256"],
            "method": fingerprint([method]),
            "engine": fingerprint(ROOT / path for path in closure("benchmark.federation.train")),
        }
        return cls(settings, engine, hashes)

    def key(self, lane: Lane) -> str:
        """A lane's name in the store."""
        return key(self.settings, [client.name for client in self.engine.clients], self.hashes, lane)

    def results(
        self, wanted: Sequence[Lane], store: Store, limit: int | None, checkpoint_every: int, progress: Progress
    ) -> Iterator[Result]:
        """Every lane's result: from the store, or trained from its newest checkpoint.

        Args:
            wanted: The lanes.
            store: Where lanes are looked up and kept.
            limit: Most lanes trained together; chosen by memory where None.
            checkpoint_every: Rounds between checkpoints.
            progress: Is told of every round.

        Yields:
            Results, as they are finished.
        """
        rounds = self.settings.rounds
        lanes = {self.key(lane): lane for lane in wanted}
        with store.hold(lanes):
            finished = []
            for own, lane in lanes.items():
                if record := store.finished(own, rounds):
                    finished.append(own)
                    yield self._result(lane, record, "store")
            # Seeds see different images: on a CPU, stacking them saves nothing.
            alike = {own: lane.seed if self.engine.device.type == "cpu" else None for own, lane in lanes.items()}
            for group in groups(store, alike, finished, rounds, limit or self._lanes_that_fit()):
                trained = self._train([lanes[own] for own in group.records], group, store, checkpoint_every, progress)
                new = {lane: record for lane, record in trained.items() if self.key(lane) not in finished}
                for lane, record in new.items():
                    store.finish(self.key(lane), record)
                for lane, record in new.items():
                    yield self._result(lane, record, "resumed" if group.round else "trained")

    def write(self, folder: Path, result: Result) -> None:
        """Write one lane's files."""
        run = folder / f"lr={result.lane.rate}" / f"seed={result.lane.seed}"
        deployed = self.engine.deployed(_moved(result.record.state, self.engine.device))
        names = [client.name for client in self.engine.clients]
        shutil.rmtree(run / "adapters", ignore_errors=True)
        for client, leaves in zip(names, deployed, strict=True):
            export.save(run / "adapters" / client, self.engine.model, {n: leaf[0] for n, leaf in leaves.items()})
        with atomic(run / "state.safetensors") as path:
            stacked = {n: torch.stack([leaves[n][0] for leaves in deployed]).cpu() for n in deployed[0]}
            path.write_bytes(save(stacked, {"clients": json.dumps(names)}))
        with atomic(run / "metrics.parquet") as path:
            history = pd.DataFrame(result.record.history, columns=list(_HISTORY))
            history.astype({"round": "int64", "n": "int64"}).to_parquet(path, index=False)
        write_json(run / "run.json", self._about(result))

    def _result(self, lane: Lane, record: Record, origin: str) -> Result:
        return Result(lane, record, origin, provenance.peak_memory(self.engine.device))

    def _train(
        self, together: Sequence[Lane], group: Group, store: Store, checkpoint_every: int, progress: Progress
    ) -> dict[Lane, Record]:
        """Train lanes that stand at the same round to the end, together."""
        rounds, every, keys = self.settings.rounds, self.settings.evaluate_every, list(group.records)
        lanes = {
            lane: record or Record(self.engine.start([lane]), [], 0.0)
            for lane, record in zip(together, group.records.values(), strict=True)
        }
        state = _moved(stack([record.state for record in lanes.values()]), self.engine.device)
        # A shorter training's last round was validated for being the last.
        histories = {
            lane: [
                dict(row)
                for row in record.history
                if row["split"] == "train" or row["round"] % every == 0 or row["round"] == rounds
            ]
            for lane, record in lanes.items()
        }
        seconds = {lane: record.seconds for lane, record in lanes.items()}
        packs = Packs(self.engine, len(together))
        began, first = time.monotonic(), state.round
        with Beside() as beside:
            while state.round < rounds:
                tick = time.monotonic()
                state, objectives = packs.round(state, together)
                self._note(histories, state.round, "train", [{"objective": row} for row in objectives])
                if state.round % every == 0 or state.round == rounds:
                    self._note(histories, state.round, "validation", packs.validate(state, together))
                for lane in together:
                    seconds[lane] += (time.monotonic() - tick) / len(together)
                if state.round % checkpoint_every == 0 or state.round == rounds:
                    kept = _copied(state)
                    records = {
                        own: Record(kept.lane(i), list(histories[lane]), seconds[lane], keys)
                        for i, (own, lane) in enumerate(zip(keys, together, strict=True))
                    }
                    beside.do(partial(store.checkpoint, records))
                progress.round(state.round, together, (time.monotonic() - began) / (state.round - first))
        if self.engine.model.method.closing():
            tick = time.monotonic()
            state = packs.close(state, together)
            for rows in histories.values():
                rows[:] = [row for row in rows if not (row["round"] == rounds and row["split"] == "validation")]
            self._note(histories, rounds, "validation", packs.validate(state, together))
            for lane in together:
                seconds[lane] += (time.monotonic() - tick) / len(together)
        return {lane: Record(state.lane(i), histories[lane], seconds[lane]) for i, lane in enumerate(together)}

    def _note(
        self,
        histories: Mapping[Lane, list[dict[str, Any]]],
        round: int,
        split: str,
        measured: Sequence[Mapping[str, torch.Tensor]],
    ) -> None:
        """Add what was measured on every client, by metric (L,), to the lanes' histories."""
        clients = self.engine.participants if split == "train" else self.engine.clients
        for client, metrics in zip(clients, measured, strict=True):
            n = len(client.labels if split == "train" else client.validation_labels)
            for metric, values in metrics.items():
                for lane, value in zip(histories, values.tolist(), strict=True):
                    row = {
                        "round": round,
                        "client": client.name,
                        "split": split,
                        "metric": metric,
                        "value": value,
                        "n": n,
                    }
                    histories[lane].append(row)

    def _lanes_that_fit(self) -> int:
        device = self.engine.device
        budget = _CPU_BUDGET if device.type == "cpu" else _GPU_SHARE * torch.cuda.mem_get_info(device)[0]
        return max(1, int(budget // costs.lane_memory(self.engine)))

    def _about(self, result: Result) -> dict[str, Any]:
        """The content of `run.json`."""
        method, task = self.engine.model.method, self.engine.model.task
        traffic = costs.traffic(self.engine, self.settings.rounds)
        rows = result.record.history
        diverged = [row["round"] for row in rows if not math.isfinite(row["value"])]
        return {
            "federation": self.settings.federation,
            "method": {
                "name": self.settings.method,
                "title": method.title,
                "paper": method.paper,
                "control": method.control,
                "settings": self.settings.method_settings,
            },
            "rate": result.lane.rate,
            "seed": result.lane.seed,
            "rounds": self.settings.rounds,
            "clients": [client.name for client in self.engine.clients],
            "task": {"name": task.name, "score": task.score_name, "higher_is_better": task.higher_is_better},
            "settings": json.loads(self.settings.model_dump_json(exclude={"rates", "seeds"})),
            "hashes": {**self.hashes, "lane": self.key(result.lane)},
            "versions": provenance.versions(),
            "device": provenance.hardware(self.engine.device),
            "commit": provenance.commit(),
            "costs": {
                "trainable_parameters": costs.trainable_parameters(self.engine, self.settings.rounds),
                "image_passes": costs.image_passes(self.engine, self.settings.rounds),
                "bytes_up": round(mean(traffic.up)),
                "bytes_down": round(mean(traffic.down)),
                "bytes_up_total": sum(traffic.up),
                "bytes_down_total": sum(traffic.down),
                "seconds": round(result.record.seconds, 3),
                "peak_memory_bytes": result.memory,
            },
            "origin": result.origin,
            "diverged_round": min(diverged, default=None),
        }


def _device(name: str) -> str:
    """The device to use; one that is asked for must be there, and one that was leased is missed aloud."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    missed = f"torch finds no GPU (CUDA_VISIBLE_DEVICES is {visible!r}; see `nvidia-smi`)"
    if name == "cpu" or torch.cuda.is_available():
        return "cuda" if name == "auto" else name
    if name == "cuda":
        raise ValueError(f"`device` is cuda, but {missed}; `device: auto` takes the CPU then")
    if visible:
        print(f"{missed}; goes on with the CPU", file=sys.stderr, flush=True)
    return "cpu"


def _clients(settings: TrainingJob, pack: Path, device: torch.device, resident: bool) -> list[Client]:
    """The federation's clients, sorted by name: an order that does not depend on the configuration's."""
    split = open_training(pack)
    held = sorted(split.table["client"].unique())
    wanted = sorted(settings.clients) if settings.clients is not None else held
    if absent := set(wanted) - set(held):
        raise ValueError(
            f"federations.{settings.federation}.clients: {', '.join(sorted(absent))} not in {pack}; "
            f"it holds {', '.join(held)}"
        )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # Nobody writes to it.
        images = torch.from_numpy(split.images)
    table = split.table
    if resident and device.type != "cpu":
        table = table[table["client"].isin(wanted)]
        images = images[torch.from_numpy(table.index.to_numpy())].to(device)
        table = table.reset_index(drop=True)
    clients = []
    for name in wanted:
        parts: list[Any] = []
        for part in ("train", "validation"):
            rows = table.index[(table["client"] == name) & (table["split"] == part)].to_numpy()
            parts.append(Rows(images, torch.from_numpy(rows).to(images.device)))
            parts.append(torch.from_numpy(table["label"].to_numpy()[rows].copy()).to(device))
        clients.append(Client(name, *parts))
    return clients


def _copied(state: State) -> State:
    """A copy in this machine's memory, which nobody changes."""
    return State(
        state.round,
        *(
            {name: leaf.to("cpu", copy=True) for name, leaf in leaves.items()}
            for leaves in (state.params, state.memory)
        ),
    )


def _moved(state: State, device: torch.device) -> State:
    return State(
        state.round,
        {name: leaf.to(device) for name, leaf in state.params.items()},
        {name: leaf.to(device) for name, leaf in state.memory.items()},
    )


if __name__ == "__main__":
    raise SystemExit(main())
