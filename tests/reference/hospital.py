"""One hospital of the plain path: its images, its copy of the model, and its training."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import timm
import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn

from benchmark.config import AugmentationSettings
from benchmark.data.augmentation import augment, to_float
from benchmark.federation.draws import generator


@dataclass(frozen=True)
class Images:
    """What one hospital holds.

    Attributes:
        name: The hospital.
        images: Training images, (n, size, size, 3) uint8.
        labels: Their labels, (n,) int64.
        unseen: Images to predict, likewise.
    """

    name: str
    images: Tensor
    labels: Tensor
    unseen: Tensor


@dataclass(frozen=True)
class Setting:
    """What every run of a comparison has in common.

    Attributes:
        vit: timm's name of the transformer, and its arguments.
        weights: Its pretrained weights, without a head.
        data: All hospitals.
        classes: Number of classes.
        targets: Adapted projections: any of q, k, v, qkv, proj, fc1, fc2.
        rank: LoRA's rank.
        alpha: LoRA's scale.
        rounds: Rounds of training and averaging.
        epochs: Local epochs.
        batch_size: Images per step.
        momentum: SGD's.
        weight_decay: SGD's.
        head: `shared` or `personal`, where the published method does not say.
        augmentation: Of the training images.
        dtype: Of everything, but for what is frozen.
        frozen: Of the transformer's frozen weights and activations; `dtype` where none is given.
    """

    vit: tuple[str, dict[str, Any]]
    weights: Mapping[str, Tensor]
    data: Sequence[Images]
    classes: int
    targets: Sequence[str] = ("q", "v")
    rank: int = 4
    alpha: float = 8.0
    rounds: int = 3
    epochs: int = 1
    batch_size: int = 8
    momentum: float = 0.0
    weight_decay: float = 0.0
    head: str = "shared"
    augmentation: AugmentationSettings = field(default_factory=AugmentationSettings)
    dtype: torch.dtype = torch.float64
    frozen: torch.dtype | None = None


def drawn(name: str, like: Tensor, seed: int, round: int = 0) -> Tensor:
    """What a parameter of this name begins with: A as PEFT draws it, a head's weights small, all else zero."""
    start = torch.zeros(like.shape, dtype=torch.float64)
    source = generator(seed, "initialisation", name, *([round] if round else []))
    if name.endswith(".A"):
        nn.init.kaiming_uniform_(start, a=math.sqrt(5), generator=source)
    elif name.endswith("/weight"):
        nn.init.normal_(start, 0, 0.02, generator=source)
    return start.to(like.dtype)


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

    def __init__(self, setting: Setting, data: Images, seed: int, adapters: Sequence[str]) -> None:
        self.setting, self.data, self.seed, self.adapters = setting, data, seed, list(adapters)
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
        self._initialise()
        self.use(dict.fromkeys(adapters, 1.0))

    def _initialise(self) -> None:
        """The run's common initialisation, drawn by the keys that the engine uses."""
        with torch.no_grad():
            for name, parameter in self.named().items():
                parameter.copy_(drawn(name, parameter, self.seed))

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
        """Augmented batches, in the order and with the changes that the keys give; the last one is smaller."""
        order = generator(self.seed, self.data.name, pass_name, "order")
        changes = generator(self.seed, self.data.name, pass_name, "augmentation")
        for _ in range(epochs):
            shuffled = torch.randperm(self.size, generator=order)
            for first in range(0, self.size, self.setting.batch_size):
                chosen = shuffled[first : first + self.setting.batch_size]
                drawn = torch.rand(len(chosen), 5, generator=changes, dtype=torch.float64)
                images = augment(self.data.images[chosen], self.setting.augmentation, drawn, self.setting.dtype)
                yield images, self.data.labels[chosen]

    def unseen(self) -> Tensor:
        """The images to predict, (n, 3, size, size)."""
        return to_float(self.data.unseen, self.setting.dtype)

    def support(self) -> Tensor:
        """FedDPA's five training images of its own, without augmentation."""
        chosen = torch.randperm(self.size, generator=generator(self.data.name, "support"))[:5]
        return to_float(self.data.images[chosen], self.setting.dtype)


def average(hospitals: Sequence[Hospital], travels: Callable[[Hospital], Sequence[nn.Parameter]]) -> None:
    """FedAvg: every hospital receives the mean of what travels, weighted by its number of training images."""
    images = sum(hospital.size for hospital in hospitals)
    with torch.no_grad():
        for copies in zip(*(travels(hospital) for hospital in hospitals), strict=True):
            mean = sum(hospital.size / images * copy for hospital, copy in zip(hospitals, copies, strict=True))
            for copy in copies:
                copy.copy_(mean)


def cosine(x: Tensor, y: Tensor, eps: float) -> Tensor:
    """Cosine of the angle between vectors on the last dimension, each norm taken as at least `eps`."""
    return (x * y).sum(-1) / (x.norm(dim=-1).clamp(min=eps) * y.norm(dim=-1).clamp(min=eps))
