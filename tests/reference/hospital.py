"""One hospital of the plain path: its images, its copy of the model, and its training."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import timm
import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn

Array = npt.NDArray[Any]
BRIGHTNESS, CONTRAST = 0.15, 0.1
"""Largest changes of the training images, as docs/protocol.md has them."""


@dataclass(frozen=True)
class Drawn:
    """What was drawn at random for one step.

    Attributes:
        images: The step's images as they are stored, (n, size, size, 3) uint8.
        labels: Their labels, (n,) int64.
        changes: Five numbers in [0, 1) for each image: mirror, upside down, quarter turns, brightness, contrast.
    """

    images: Array
    labels: Array
    changes: Array


@dataclass(frozen=True)
class Images:
    """What one hospital holds, and what was drawn for it.

    Attributes:
        name: The hospital.
        images: Training images, (n, size, size, 3) uint8.
        labels: Their labels, (n,) int64.
        unseen: Images to predict, likewise.
        support: Of every image to predict, five training images, (m, 5, size, size, 3) uint8.
        steps: The steps that it takes, in order, over all passes.
        passes: Those that a pass has taken, by its name: a second model that is trained in the same pass sees them too.
    """

    name: str
    images: Array
    labels: Array
    unseen: Array
    support: Array
    steps: Iterator[Drawn]
    passes: dict[str, list[Drawn]] = field(default_factory=dict)


@dataclass(frozen=True)
class Setting:
    """What every run of a comparison has in common.

    Attributes:
        vit: timm's name of the transformer, and its arguments.
        weights: Its pretrained weights, without a head.
        data: All hospitals.
        classes: Number of classes.
        initial: What a leaf of this name begins with at a hospital after so many rounds: `initial(name, k, round)`.
        targets: Adapted projections: any of q, k, v, qkv, proj, fc1, fc2.
        rank: LoRA's rank.
        alpha: LoRA's scale.
        rounds: Rounds of training and averaging.
        epochs: Local epochs.
        batch_size: Images per step.
        momentum: SGD's.
        weight_decay: SGD's.
        head: `shared` or `personal`, where the published method does not say.
        dtype: Of everything, but for what is frozen.
        frozen: Of the transformer's frozen weights and activations; `dtype` where none is given.
    """

    vit: tuple[str, dict[str, Any]]
    weights: Mapping[str, Tensor]
    data: Sequence[Images]
    classes: int
    initial: Callable[[str, int, int], Tensor]
    targets: Sequence[str] = ("q", "v")
    rank: int = 4
    alpha: float = 8.0
    rounds: int = 3
    epochs: int = 1
    batch_size: int = 8
    momentum: float = 0.0
    weight_decay: float = 0.0
    head: str = "shared"
    dtype: torch.dtype = torch.float64
    frozen: torch.dtype | None = None


def changed(image: Array, changes: Array) -> Array:
    """One augmented image, (3, size, size) in [0, 1], of (size, size, 3) uint8: as docs/protocol.md says it.

    Mirrored and turned upside down with probability one half each, then by none to three quarter turns, each as likely;
    then contrast about the image's own mean, and brightness.
    """
    if changes[0] < 0.5:
        image = np.fliplr(image)
    if changes[1] < 0.5:
        image = np.flipud(image)
    turns = (0, 2, 1, 3)[int(4 * changes[2])]  # Which number stands for which turn is the engine's choice.
    values = np.rot90(image, turns).astype(np.float64) / 255
    mean = values.mean()
    brightness, contrast = (limit * (2 * u - 1) for limit, u in zip((BRIGHTNESS, CONTRAST), changes[3:], strict=True))
    return np.clip((values - mean) * (1 + contrast) + mean + brightness, 0, 1).transpose(2, 0, 1)


def scaled(images: Array, dtype: torch.dtype) -> Tensor:
    """Stored images (..., size, size, 3) as a network reads them, (..., 3, size, size) in [0, 1]."""
    return torch.from_numpy(np.moveaxis(images, -1, -3) / 255.0).to(dtype)


class SeparateQKV(nn.Module):
    """timm's fused `qkv` as three linear layers, so that PEFT can adapt each of them."""

    def __init__(self, fused: nn.Linear) -> None:
        super().__init__()
        for name, weight, bias in zip("qkv", fused.weight.chunk(3), fused.bias.chunk(3), strict=True):
            layer = nn.Linear(fused.in_features, fused.out_features // 3)
            layer.load_state_dict({"weight": weight.detach(), "bias": bias.detach()})
            setattr(self, name, layer)

    def forward(self, x: Tensor) -> Tensor:
        """(n, tokens, in) to (n, tokens, 3 in)."""
        return torch.cat([self.q(x), self.k(x), self.v(x)], dim=-1)


class Hospital:
    """One client: its images, its own copy of the model, and torch's SGD.

    Attributes:
        size: Its number of training images.
        model: PEFT's model around timm's transformer, with a linear head.
        layers: PEFT's adapted layers by site, `blocks.0.attn.q`, in the order of the forward pass.
        objectives: The mean objective of every pass of training, by the pass's name.
        gradients: The mean gradient over the steps of the last pass, by the trained parameters' names.
    """

    def __init__(self, setting: Setting, data: Images, adapters: Sequence[str], number: int = 0) -> None:
        self.setting, self.data, self.number, self.adapters = setting, data, number, list(adapters)
        self.size = len(data.labels)
        self.objectives: dict[str, float] = {}
        self.gradients: dict[str, Tensor] = {}

        name, arguments = setting.vit
        vit = timm.create_model(name, num_classes=setting.classes, **arguments)
        vit.load_state_dict(setting.weights, strict=False)
        normalisation = timm.data.resolve_model_data_config(vit)
        self.mean, self.std = (
            torch.tensor(normalisation[key], dtype=setting.dtype).view(3, 1, 1) for key in ("mean", "std")
        )
        if {"q", "k", "v"} & set(setting.targets):
            for block in vit.blocks:
                block.attn.qkv = SeparateQKV(block.attn.qkv)
        config = LoraConfig(
            r=setting.rank,
            lora_alpha=setting.alpha,
            target_modules=rf"blocks\..*\.({'|'.join(setting.targets)})",
            lora_dropout=0.0,
        )
        self.model = get_peft_model(vit, config, adapter_name=adapters[0])
        for other in adapters[1:]:
            self.model.add_adapter(other, config)
        self.frozen = setting.frozen or setting.dtype
        self.model.eval().to(self.frozen)
        self.layers = {
            name.removeprefix("base_model.model.").replace(".qkv.", "."): module
            for name, module in self.model.named_modules()
            if hasattr(module, "lora_A")
        }
        for parameter in self.named().values():
            parameter.data = parameter.data.to(setting.dtype)
        vit.head.register_forward_pre_hook(lambda _, inputs: inputs[0].to(setting.dtype))
        with torch.no_grad():
            for own, parameter in self.named().items():
                parameter.copy_(self.initial(own))
        self.use(dict.fromkeys(adapters, 1.0))

    def initial(self, name: str, round: int = 0) -> Tensor:
        """What a leaf begins with here, or would begin with anew after so many rounds."""
        return self.setting.initial(name, self.number, round).to(self.setting.dtype)

    def A(self, adapter: str) -> list[nn.Parameter]:  # noqa: N802
        """The matrices A (rank, in) of an adapter, one per adapted layer."""
        return [layer.lora_A[adapter].weight for layer in self.layers.values()]

    def B(self, adapter: str) -> list[nn.Parameter]:  # noqa: N802
        """The matrices B (out, rank) of an adapter, one per adapted layer."""
        return [layer.lora_B[adapter].weight for layer in self.layers.values()]

    def AB(self, adapter: str) -> list[nn.Parameter]:  # noqa: N802
        """Both matrices of every pair of an adapter."""
        return self.A(adapter) + self.B(adapter)

    def head(self) -> list[nn.Parameter]:
        """Weight and bias of the linear head."""
        return list(self.model.base_model.model.head.parameters())

    def named(self) -> dict[str, nn.Parameter]:
        """All that may be trained, by the names that the engine's leaves have."""
        head = self.model.base_model.model.head
        found: dict[str, nn.Parameter] = {"head/weight": head.weight, "head/bias": head.bias}
        for adapter in self.adapters:
            for site, layer in self.layers.items():
                found[f"{adapter}/{site}.A"] = layer.lora_A[adapter].weight
                found[f"{adapter}/{site}.B"] = layer.lora_B[adapter].weight
        return found

    def use(self, mix: Mapping[str, float]) -> None:
        """Activate these adapters, each adapted layer's output being W0 x + sum of mix * alpha/rank * B A x."""
        self.model.base_model.set_adapter(list(mix))
        for layer in self.layers.values():
            for adapter, weight in mix.items():
                layer.set_scale(adapter, weight)

    def features(self, images: Tensor) -> Tensor:
        """Final class tokens (n, dim) of images (n, 3, size, size) in [0, 1], with the adapters in use."""
        vit = self.model.base_model.model
        return vit.forward_head(vit.forward_features(self._normalised(images)), pre_logits=True).to(self.setting.dtype)

    def logits(self, images: Tensor) -> Tensor:
        """Logits (n, classes) of images, with the adapters in use."""
        return self.model(self._normalised(images))

    def _normalised(self, images: Tensor) -> Tensor:
        return ((images - self.mean) / self.std).to(self.frozen)

    def train(
        self,
        trained: Sequence[nn.Parameter],
        pass_name: str,
        rate: float,
        epochs: int | None = None,
        penalty: Callable[[], Tensor] | None = None,
    ) -> None:
        """One pass of local training: cross-entropy, plus a penalty, by a new SGD optimiser."""
        epochs = self.setting.epochs if epochs is None else epochs
        for parameter in self.model.parameters():
            parameter.requires_grad_(False)
        for parameter in trained:
            parameter.requires_grad_(True)
        optimizer = torch.optim.SGD(
            trained, lr=rate, momentum=self.setting.momentum, weight_decay=self.setting.weight_decay
        )
        total, steps = 0.0, 0
        names = {name: parameter for name, parameter in self.named().items() if parameter.requires_grad}
        self.gradients = {name: torch.zeros_like(parameter) for name, parameter in names.items()}
        for images, labels in self.batches(pass_name, epochs):
            optimizer.zero_grad()
            loss = F.cross_entropy(self.logits(images), labels)
            if penalty is not None:
                loss = loss + penalty()
            loss.backward()
            steps += 1
            for name, parameter in names.items():
                self.gradients[name] += parameter.grad
            optimizer.step()
            total += float(loss.detach()) * len(labels)
        self.gradients = {name: gradient / steps for name, gradient in self.gradients.items()}
        self.objectives[pass_name] = total / (self.size * epochs)

    def batches(self, pass_name: str, epochs: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Augmented batches of a pass; every epoch shows every image once, and its last batch is smaller.

        Raises:
            AssertionError: What was drawn is nothing of the kind.
        """
        full, rest = divmod(self.size, self.setting.batch_size)
        expected = [self.setting.batch_size] * full + ([rest] if rest else [])
        for drawn in self._epochs(pass_name, epochs, expected):
            images = np.stack([changed(*own) for own in zip(drawn.images, drawn.changes, strict=True)])
            yield torch.from_numpy(images).to(self.setting.dtype), torch.from_numpy(drawn.labels)

    def step(self, pass_name: str) -> tuple[Tensor, Tensor]:
        """The augmented batch of a pass of one step."""
        drawn = self.data.passes.setdefault(pass_name, [next(self.data.steps)])[0]
        assert _census(drawn.images, drawn.labels) <= _census(self.data.images, self.data.labels)
        images = np.stack([changed(*own) for own in zip(drawn.images, drawn.changes, strict=True)])
        return torch.from_numpy(images).to(self.setting.dtype), torch.from_numpy(drawn.labels)

    def _epochs(self, pass_name: str, epochs: int, expected: Sequence[int]) -> list[Drawn]:
        """The drawn steps of a pass, read once."""
        if pass_name not in self.data.passes:
            every: list[Drawn] = []
            for _ in range(epochs):
                own = [next(self.data.steps) for _ in expected]
                assert [len(one.labels) for one in own] == list(expected)
                shown = (np.concatenate([getattr(one, kind) for one in own]) for kind in ("images", "labels"))
                assert _census(*shown) == _census(self.data.images, self.data.labels)
                every += own
            self.data.passes[pass_name] = every
        return self.data.passes[pass_name]

    def unseen(self) -> Tensor:
        """The images to predict, (n, 3, size, size)."""
        return scaled(self.data.unseen, self.setting.dtype)

    def support(self) -> Tensor:
        """The five training images that FedDPA draws for every image to predict, (n, 5, 3, size, size)."""
        return scaled(self.data.support, self.setting.dtype)


def average(
    hospitals: Sequence[Hospital],
    travels: Callable[[Hospital], Sequence[nn.Parameter]],
    *,
    uniform: bool = False,
) -> None:
    """Every hospital receives the mean of what travels, weighted by its number of training images, or uniform."""
    shares = weights(hospitals, uniform=uniform)
    with torch.no_grad():
        for copies in zip(*(travels(hospital) for hospital in hospitals), strict=True):
            mean = sum(share * copy for share, copy in zip(shares, copies, strict=True))
            for copy in copies:
                copy.copy_(mean)


def weights(hospitals: Sequence[Hospital], *, uniform: bool = False) -> list[float]:
    """The hospitals' weights on the server."""
    images = sum(hospital.size for hospital in hospitals)
    return [1 / len(hospitals) if uniform else hospital.size / images for hospital in hospitals]


def cosine(x: Tensor, y: Tensor, eps: float) -> Tensor:
    """Cosine of the angle between vectors on the last dimension, each norm taken as at least `eps`."""
    return (x * y).sum(-1) / (x.norm(dim=-1).clamp(min=eps) * y.norm(dim=-1).clamp(min=eps))


def _census(images: Array, labels: Array) -> Counter[tuple[bytes, int]]:
    """How often each image stands here with its label."""
    return Counter((image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True))
