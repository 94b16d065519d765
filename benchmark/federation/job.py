"""A training job: what it loads, what names its lanes, where they come from, and the files that are written of them."""

import json
import math
import os
import shutil
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from statistics import mean
from typing import Annotated, Any

import pandas as pd
import torch
from safetensors import safe_open
from safetensors.torch import save

from benchmark import provenance
from benchmark.comparison import run_path
from benchmark.config import TrainingJob
from benchmark.counted import ABOUT, frame
from benchmark.data.neighbours import neighbours
from benchmark.data.packed import Split, open_training
from benchmark.federation import costs, memory, methods, moved
from benchmark.federation.client import ClientData, Lane, Samples
from benchmark.federation.engine import Engine
from benchmark.federation.key import key
from benchmark.federation.lanes import groups
from benchmark.federation.model import Model
from benchmark.federation.packed_images import PackedImages
from benchmark.federation.progress import Progress
from benchmark.federation.store import Store
from benchmark.federation.training import History, Record, Training
from benchmark.files import atomic, read_json, write_json
from benchmark.job import as_json
from benchmark.models import network
from benchmark.sources import engine as engine_code
from benchmark.sources import fingerprint
from benchmark.tasks import task

_HISTORY = ("round", "client", "split", "metric", "value", "n")
"""Columns of `metrics.parquet`."""
STATE = "state.safetensors"
"""The leaves that every client predicts with, stacked."""
COMMON = "common.safetensors"
"""The leaves that all clients made together: for hospitals outside the federation."""
_CPU_BUDGET = 1 << 30
"""Bytes that the lanes trained together may hold on a CPU, where several jobs share the memory."""
_GPU_SHARE = 0.6
"""Share of a GPU's free memory that they may hold there."""


@dataclass(frozen=True)
class Inputs:
    """What a row is computed from: the options that all jobs of a row share.

    Attributes:
        settings: What decides the result, a TrainingJob.
        method: The method's Python file.
        pack: The folder of the federation's packed images.
        backbone: The folder of the pretrained weights.
    """

    settings: Annotated[TrainingJob, as_json(TrainingJob)]
    method: Path
    pack: Path
    backbone: Path

    @cached_property
    def manifest(self) -> Mapping[str, Any]:
        """What the pack says of itself, read once."""
        return dict(read_json(self.pack / "manifest.json"))

    @property
    def weights(self) -> str:
        """The hash of the pretrained weights."""
        return str(read_json(self.backbone / "backbone.json")["sha256"])


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
        engine: Model and clients.
        hashes: Of all that the result depends on: pack, backbone, method, engine.
        validation: What is known of every client's validation samples, in their order: the columns `ABOUT`.
    """

    settings: TrainingJob
    engine: Engine
    hashes: Mapping[str, str]
    validation: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    @classmethod
    def of(cls, inputs: Inputs, device: str, *, resident: bool = True) -> "Job":
        """Load everything onto the device.

        Images stay on the disk where they are not `resident`: for a job that looks at a few alone. A ValueError says
        what method file, settings or data cannot be used, or do not fit together.
        """
        device, settings = device_of(device), inputs.settings
        model = model_of(inputs, device)
        _check_passes(model)
        clients, validation = _clients(settings, inputs.pack, torch.device(device), resident)
        channels = clients[0].training.images.channels
        if channels not in (1, model.network.channels):  # Grey is read in every channel.
            raise ValueError(
                f"federations.{settings.federation}: images have {channels} channels, but the network "
                f"{settings.network} reads {model.network.channels}; change `context`"
            )
        engine = Engine(
            model=model,
            clients=clients,
            training=settings.training,
            augmentation=settings.augmentation,
            head=settings.head,
            averaging=settings.averaging,
            rounds=settings.rounds,
            dropout=settings.lora.dropout > 0,
        )
        packed = inputs.manifest["hashes"]
        hashes = {
            "images": packed["train.npy"],
            "targets": packed["train.targets.npy"],
            "table": packed["train.parquet"],
            "backbone": inputs.weights,
            "method": fingerprint([inputs.method]),
            "engine": engine_code(settings.network, model.task.name),
        }
        return cls(settings, engine, hashes, validation)

    def key(self, lane: Lane) -> str:
        """A lane's name in the store."""
        return key(self.settings, [client.name for client in self.engine.clients], self.hashes, lane)

    def results(
        self, wanted: Sequence[Lane], store: Store, limit: int | None, checkpoint_every: int, progress: Progress
    ) -> Iterator[Result]:
        """Every lane's result, as it is finished: from the store, or trained from its newest checkpoint.

        At most `limit` lanes are trained together; memory chooses where it is None.
        """
        rounds = self.settings.rounds
        training = Training(
            self.engine, self.settings.evaluate_every, checkpoint_every, store.checkpoint, progress.round
        )
        lanes = {self.key(lane): lane for lane in wanted}
        with store.hold(lanes):
            finished = []
            for own, lane in lanes.items():
                if record := store.finished(own, rounds):
                    finished.append(own)
                    yield self._result(lane, record, "store")
            if len(finished) == len(lanes):
                return
            # Seeds see different images: on a CPU, stacking them saves nothing.
            alike = {own: lane.seed if self.engine.device.type == "cpu" else None for own, lane in lanes.items()}
            for group in groups(store, alike, finished, rounds, limit or self._lanes_that_fit()):
                trained = training.train({own: (lanes[own], record) for own, record in group.items()})
                new = {own: record for own, record in trained.items() if own not in finished}
                for own, record in new.items():
                    store.finish(own, record)
                for own, record in new.items():
                    yield self._result(lanes[own], record, "resumed" if any(group.values()) else "trained")

    def write(self, folder: Path, result: Result, *, common: bool = False) -> None:
        """Write one lane's files; `common.safetensors`, the model that all clients made, where it is asked for."""
        run = folder / run_path(result.lane.rate, result.lane.seed)
        model = self.engine.model
        state = result.record.state.map(lambda tensor: tensor.to(self.engine.device))
        lanes = self.engine.deployed(state)
        deployed = [{name: leaf[0] for name, leaf in own.items()} for own in lanes]
        names = [client.name for client in self.engine.clients]
        shutil.rmtree(run / "adapters", ignore_errors=True)
        for client, leaves in zip(names, deployed, strict=True):
            model.network.export(run / "adapters" / client, leaves, *model.parted(model.method.mix(leaves)))
        with atomic(run / STATE) as path:
            stacked = {name: torch.stack([leaves[name] for leaves in deployed]).cpu() for name in deployed[0]}
            path.write_bytes(save(stacked, {"clients": json.dumps(names)}))
        if common:
            with atomic(run / COMMON) as path:
                path.write_bytes(save({name: leaf.cpu().contiguous() for name, leaf in result.record.common.items()}))
        with atomic(run / "metrics.parquet") as path:
            history = pd.DataFrame(result.record.history, columns=list(_HISTORY))
            history.astype({"round": "int64", "n": "int64"}).to_parquet(path, index=False)
        with atomic(run / "validation_counts.parquet") as path:
            self._validated(result.record).to_parquet(path, index=False)
        write_json(run / "run.json", self._about(result))

    def _validated(self, record: Record) -> pd.DataFrame:
        """What predictions of validation images are worth, sample by sample, in rows as `counted.frame` makes them."""
        counted, names = self.engine.model.task.counted, [client.name for client in self.engine.clients]
        tables = [frame(self.validation[name], record.counts[name].numpy(), counted) for name in names]
        return pd.concat(tables, ignore_index=True)

    def _result(self, lane: Lane, record: Record, origin: str) -> Result:
        return Result(lane, record, origin, provenance.peak_memory(self.engine.device))

    def _lanes_that_fit(self) -> int:
        device = self.engine.device
        budget = _CPU_BUDGET if device.type == "cpu" else _GPU_SHARE * torch.cuda.mem_get_info(device)[0]
        return max(1, int(budget // memory.lane_memory(self.engine, self.settings.rounds)))

    def _about(self, result: Result) -> dict[str, Any]:
        """The content of `run.json`."""
        method, learned = self.engine.model.method, self.engine.model.task
        engine, rounds = self.engine, self.settings.rounds
        traffic = costs.traffic(engine.model, engine.head, len(engine.participants), rounds, engine.dtype)
        rows = result.record.history
        # A loss may be infinite on a class that the client never saw, under a loss that knows how often it saw each.
        own = [row for row in rows if row["metric"] != "loss" and row["split"] != "server"]
        diverged = [row["round"] for row in own if not math.isfinite(row["value"])]
        return {
            "federation": self.settings.federation,
            "method": {
                "name": self.settings.method,
                "title": f"{method.title} ({self.settings.variant})" if self.settings.variant else method.title,
                "paper": method.paper,
                "control": method.control,
                "settings": self.settings.method_settings,
            },
            "head": {"policy": method.head or self.settings.head, "fixed": method.head is not None},
            "rate": result.lane.rate,
            "seed": result.lane.seed,
            "rounds": self.settings.rounds,
            "clients": [client.name for client in self.engine.clients],
            "task": {
                "name": learned.name,
                "score": learned.score_name,
                "higher_is_better": learned.higher_is_better,
            },
            "settings": json.loads(self.settings.model_dump_json(exclude={"rates", "seeds"})),
            "hashes": {**self.hashes, "lane": self.key(result.lane)},
            "versions": provenance.versions(),
            "device": provenance.hardware(self.engine.device),
            "commit": provenance.commit(),
            "costs": {
                "trainable_parameters": costs.trainable_parameters(engine.model, rounds),
                "image_passes": costs.image_passes(engine, rounds),
                "bytes_up": round(mean(traffic.up)),
                "bytes_down": round(mean(traffic.down)),
                "bytes_up_total": sum(traffic.up),
                "bytes_down_total": sum(traffic.down),
                "seconds": round(result.record.seconds, 3),
                "peak_memory_bytes": result.memory,
            },
            "origin": result.origin,
            "moved": moved.measured(self.engine, result.record.state, result.lane),
            "exchange": _over_rounds(rows),
            "diverged_round": min(diverged, default=None),
        }


def model_of(inputs: Inputs, device: torch.device | str) -> Model:
    """A row's model, on a device: network, task and method.

    Raises:
        ValueError: Method file, settings or weights cannot be used, or do not fit together.
    """
    settings, manifest = inputs.settings, inputs.manifest
    learned = task.of(manifest, settings.task)
    loaded = methods.load(inputs.method, settings.method_settings)
    setup = network.Setup(
        weights=inputs.backbone / "model.safetensors",
        name=settings.backbone,
        arguments=settings.arguments,
        task=learned,
        image_size=manifest["image_size"],
        lora=settings.lora,
        initialisation=settings.initialisation,
    )
    built = network.find(settings.network).load(setup)
    return Model.of(built.on(device, settings.training.precision), learned, loaded, settings.trains)


def _over_rounds(rows: History) -> dict[str, float | None]:
    """Means over rounds of what the method measures of the server's work, by name; None where one is not finite."""
    own = pd.DataFrame([row for row in rows if row["split"] == "server"], columns=list(_HISTORY))
    means = own.groupby("metric", sort=False)["value"].agg(lambda values: values.mean(skipna=False))
    return {str(name): float(value) if math.isfinite(value) else None for name, value in means.items()}


def _check_passes(model: Model) -> None:
    """Refuse a pass that trains nothing, before anything is trained."""
    method = model.method
    for phase in (*method.phases(0), *method.phases(1), *method.closing()):
        if not model.trained(phase.trains):
            roles = dict.fromkeys(leaf.role for leaf in model.leaves.values() if leaf.trainable)
            raise ValueError(
                f"{method.title} has a pass that trains nothing, since what is trained is {', '.join(roles)}: add to "
                "`trains`, or leave the method out of `methods`"
            )


def device_of(name: str) -> str:
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


def _clients(
    settings: TrainingJob, pack: Path, device: torch.device, resident: bool
) -> tuple[list[ClientData], dict[str, pd.DataFrame]]:
    """The federation's clients, sorted by name: an order that does not depend on the configuration's.

    And what is known of each one's validation samples.
    """
    split = open_training(pack)
    table = split.table
    held = sorted(table["client"].unique())
    wanted = sorted(settings.clients) if settings.clients is not None else held
    if absent := set(wanted) - set(held):
        raise ValueError(
            f"federations.{settings.federation}.clients: {', '.join(sorted(absent))} not in {pack}; "
            f"it holds {', '.join(held)}"
        )
    images = as_tensor(split.images)
    if resident and device.type != "cpu":
        table = table[table["client"].isin(wanted)]
        images = images[torch.from_numpy(table.index.to_numpy())].to(device)
        split = Split(split.images, split.targets[table.index.to_numpy()], table.reset_index(drop=True))
        table = split.table

    every, reach = in_context(images, table, settings.context), settings.training.stack // 2

    def samples(client: str, kind: str) -> Samples:
        rows = table.index[(table["client"] == client) & (table["split"] == kind)].to_numpy()
        stacks = neighbours(table.loc[rows], range(-reach, reach + 1)) if reach and kind == "train" else None
        return Samples(
            every.only(torch.from_numpy(rows)),
            torch.from_numpy(split.targets[rows].copy()).to(device),
            torch.from_numpy(pd.factorize(table["case"].to_numpy()[rows])[0]).to(device),
            None if stacks is None else torch.from_numpy(stacks).to(device),
        )

    validated = table[table["split"] == "validation"]
    about = {name: validated.loc[validated["client"] == name, ABOUT].reset_index(drop=True) for name in wanted}
    return [ClientData(name, samples(name, "train"), samples(name, "validation")) for name in wanted], about


def read_states(path: Path, device: torch.device) -> dict[str, dict[str, torch.Tensor]]:
    """The leaves that every client of a run predicts with, by the client's name, from the run's `state.safetensors`."""
    with safe_open(path, framework="pt", device=str(device)) as stream:
        names = json.loads(stream.metadata()["clients"])
        leaves = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
    return {client: {name: leaf[k] for name, leaf in leaves.items()} for k, client in enumerate(names)}


def in_context(images: torch.Tensor, table: pd.DataFrame, context: Sequence[int]) -> PackedImages:
    """All images of a pack, their channels being the slices at these distances; as they are where there are none.

    Args:
        images: (N, S, S, channels) uint8.
        table: Their table, whole: a slice has its neighbours whether they are asked for or not.
        context: A federation's `context`.

    Returns:
        The images.

    Raises:
        ValueError: There is a context, and the images are in colour, or are no slices of cases.
    """
    if context and images.shape[-1] != 1:
        raise ValueError(f"`context` takes a channel from each grey slice, but images have {images.shape[-1]} channels")
    beside = torch.from_numpy(neighbours(table, context)).to(images.device) if context else None
    return replace(PackedImages.of(images), beside=beside)


def as_tensor(images: Any) -> torch.Tensor:
    """A memory-mapped array as a tensor that nobody writes to."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(images)
