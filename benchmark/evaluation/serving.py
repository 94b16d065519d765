"""A hospital outside the federation, the models of a row that serve it, and what they have learned from its images.

What is opened here are models and images: no file, and no column of one, that says what is to be predicted.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from benchmark.adaptation import Adaptation
from benchmark.comparison import run_path
from benchmark.config import ServingJob, TrainingJob
from benchmark.data.packed import open_images
from benchmark.federation import job
from benchmark.federation.adapting import Bank
from benchmark.federation.methods import made
from benchmark.federation.model import Model
from benchmark.federation.packed_images import PackedImages
from benchmark.files import atomic, digest, read_json, sha256
from benchmark.leaf import Leaves
from benchmark.sources import fingerprint

SPLITS = ("train", "test")
"""A pack's arrays of images; `train` holds those of the training and of the validation part."""


@dataclass(frozen=True)
class Pictures:
    """Images of a hospital, and what is known of them.

    Attributes:
        images: The n images.
        table: Their rows in the pack's tables: sample, client, group, case.
        places: By the pack's array, which of its rows they are, (m,); one array after the other.
    """

    images: PackedImages
    table: pd.DataFrame
    places: Mapping[str, npt.NDArray[np.intp]]

    @property
    def cases(self) -> torch.Tensor | None:
        """Of every image that `images` may name, what case it is of; None where each is a case of its own."""
        codes, found = pd.factorize(self.table["case"])
        if len(found) == len(codes):
            return None
        cases = torch.zeros(len(self.images.pack), dtype=torch.int64)
        cases[self.images.own] = torch.from_numpy(codes)
        return cases


@dataclass(frozen=True)
class Learned:
    """What an adaptation has made of a bank.

    Attributes:
        leaves: By the mixture's name, the leaves that were added to it.
        about: `key` of all that it depends on, `images` adapted to, `seconds`, and `diverged`, the names of mixtures
            of which a step came out as no number.
    """

    leaves: Mapping[str, Leaves]
    about: Mapping[str, Any]

    def write(self, path: Path) -> None:
        """Keep it as safetensors: leaves as `mixture:leaf`."""
        tensors = {f"{name}:{leaf}": own.cpu() for name, held in self.leaves.items() for leaf, own in held.items()}
        with atomic(path) as temporary:
            temporary.write_bytes(save(tensors, {"about": json.dumps(self.about, sort_keys=True)}))

    @classmethod
    def read(cls, path: Path) -> "Learned":
        """What was kept; a ValueError says that the file is damaged, an OSError that there is none."""
        leaves: dict[str, dict[str, torch.Tensor]] = {}
        try:
            with safe_open(path, framework="pt") as stream:
                about = json.loads(stream.metadata()["about"])
                for name in stream.keys():  # noqa: SIM118
                    mixture, _, leaf = name.rpartition(":")
                    leaves.setdefault(mixture, {})[leaf] = stream.get_tensor(name)
        except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"{path}: damaged ({error}); delete it and run again") from None
        return cls(leaves, about)


@dataclass(frozen=True)
class Outside:
    """A hospital outside, and a row's models at the selected rate.

    Attributes:
        settings: What was trained.
        serving: The hospital, and the adaptations that serve it.
        model: Network and method.
        device: Where they compute.
        pack: The folder of the packed images.
        runs: The folder of the row's runs.
        rate: The selected rate.
        depends: A hash of what all that is served depends on, but for banks and adaptations.
    """

    settings: TrainingJob
    serving: ServingJob
    model: Model
    device: torch.device
    pack: Path
    runs: Path
    rate: str
    depends: str

    @classmethod
    def of(cls, runs: Path, inputs: job.Inputs, serving: ServingJob, selected: Path, device: str) -> "Outside":
        """Load a row's network.

        Args:
            runs: The folder of the row's runs.
            inputs: What the row is computed from.
            serving: The hospital, and the adaptations that serve it.
            selected: The row's selection.
            device: Where to compute: `auto`, `cpu` or `cuda`.

        Returns:
            The hospital and the models.

        Raises:
            ValueError: Something cannot be used, or does not fit together.
        """
        where, settings, packed = torch.device(job.device_of(device)), inputs.settings, inputs.manifest["hashes"]
        model = job.model_of(inputs, where)
        parts = [
            {f"{split}{end}": packed[f"{split}{end}"] for split in SPLITS for end in (".npy", ".parquet")},
            inputs.weights,
            settings.model_dump(mode="json", exclude={"rates", "seeds"}),
            serving.model_dump(mode="json", exclude={"adaptations"}),
            fingerprint([inputs.method]),
        ]
        rate = read_json(selected)["rate"]
        return cls(settings, serving, model, where, inputs.pack, runs, rate, digest(parts))

    def adaptation(self, file: str) -> Adaptation:
        """What a file defines, with its settings."""
        return made(Path(file), Adaptation, "adaptation", self.serving.adaptations[file])

    def bank(self, seed: int) -> Bank:
        """The experts of one seed."""
        return Bank.read(self._run(seed), self.model, self.settings.clients, self.device)

    def hashed(self, seed: int) -> list[str]:
        """The hashes of the files of one seed's experts."""
        return [sha256(self._run(seed) / name) for name in (job.STATE, job.COMMON)]

    def key(self, file: str, seed: int, experts: Sequence[str]) -> str:
        """The hash of all that an adaptation's result depends on; `experts` are these of `hashed`."""
        return digest([self.depends, experts, fingerprint([Path(file)]), self.serving.adaptations[file], seed])

    @property
    def adapted_to(self) -> Pictures:
        """The images that are learned from; a ValueError says that there are too few of them, or none to test."""
        found = self._pictures(SPLITS if self.serving.adapting == "transductive" else ("train",))
        if len(found.images) < 2:
            raise ValueError(
                f"federations.{self.settings.federation}.outside: {self.serving.client} has {len(found.images)} "
                f"image(s) to adapt to ({self.serving.adapting}) in {self.pack}; it needs two: leave it out"
            )
        if self.serving.adapting == "split":
            _ = self.tested  # Better told before adapting than after it.
        return found

    @property
    def tested(self) -> Pictures:
        """The images that are predicted; a ValueError says that there is none."""
        found = self._pictures(SPLITS if self.serving.adapting == "transductive" else ("test",))
        if not len(found.images):
            raise ValueError(
                f"federations.{self.settings.federation}.outside: {self.serving.client} has no image to test "
                f"({self.serving.adapting}) in {self.pack}; leave it out, or set `adapting: transductive`"
            )
        return found

    def _run(self, seed: int) -> Path:
        """The folder of a run at the selected rate."""
        return self.runs / run_path(self.rate, seed)

    def _pictures(self, splits: tuple[str, ...]) -> Pictures:
        parts, tables, places = list[PackedImages](), list[pd.DataFrame](), dict[str, npt.NDArray[np.intp]]()
        for split in splits:
            images, table = open_images(self.pack, split)
            own = table[table["client"] == self.serving.client]
            places[split] = own.index.to_numpy()
            every = job.in_context(job.as_tensor(images), table, self.settings.context)
            parts.append(every.only(torch.from_numpy(places[split])))
            tables.append(own)
        return Pictures(PackedImages.joined(parts), pd.concat(tables, ignore_index=True), places)


def file_of(output: Path, adaptation: str, seed: int, name: str) -> Path:
    """Where something stands that an adaptation, given by its file, made with a seed."""
    return output / Path(adaptation).stem / f"seed={seed}" / name
