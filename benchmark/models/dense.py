"""A torch module whose own weights and buffers are leaves: as many of them as are trained.

A module is run with tensors from outside (`torch.func.functional_call`). Where several adapters hold a weight, it is

    W = W0 + sum_a m_a (W_a - W0)

with the weights m_a of a mix and the pretrained W0: what LoRA's sum of products is for dense weights. Buffers of batch
normalisation are leaves that are carried: a training step returns them anew, and nothing is changed in place. So all of
it can be mapped over lanes.
"""

import copy
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from benchmark.leaf import Initial, Leaf, Leaves, dense_name
from benchmark.method import Mix
from benchmark.models import routed
from benchmark.models.routed import Route


class Dense:
    """The weights, frozen here, and the buffers of a module.

    Attributes:
        module: The module, in evaluation mode.
        roles: The role of every weight, by its name; of batch normalisation's buffers it is `buffer`.

    Args:
        module: The module.
        role: The role of a weight of this name.
        words: What else a configuration may say, and which weights it then means: `last_block`.
        kept: Objects in the module that all its copies share.
        dead: What names of tensors begin with that no prediction depends on.
    """

    def __init__(
        self,
        module: nn.Module,
        role: Callable[[str], str],
        words: Mapping[str, Callable[[str], bool]] | None = None,
        kept: Sequence[object] = (),
        dead: Sequence[str] = (),
    ) -> None:
        self.module = module.eval().requires_grad_(False)
        self.roles: dict[str, str] = {}
        self._words, self._kept, self._dead = words or {}, kept, tuple(dead)
        self._paths: dict[str, str] = {}
        self._normalising: dict[str, list[str]] = {}
        self._linear: dict[str, list[str]] = {}  # By path of a layer that can be routed, its tensors.
        self._leaves: dict[str, dict[str, str]] = {}  # By adapter, which tensor each of its leaves is.
        for path, layer in module.named_modules():
            for own, _ in layer.named_parameters(prefix=path, recurse=False):
                self._add(own, role(public(own)))
            if routed.fits(layer):
                self._linear[path] = [public(own) for own, _ in layer.named_parameters(prefix=path, recurse=False)]
            if isinstance(layer, _NormBase) and layer.running_mean is not None:
                if layer.momentum is None:
                    raise ValueError(f"{public(path)}: batch normalisation needs a momentum, to be carried by leaves")
                layer.num_batches_tracked = None
                self._normalising[path] = [f"{path}.running_mean", f"{path}.running_var"]
                for own in self._normalising[path]:
                    self._add(own, "buffer")
        self._local = threading.local()

    def leaves(self, adapters: Sequence[str], trains: Collection[str]) -> list[Leaf]:
        """The leaves of every adapter: the weights of some roles, and the buffers of what is normalised with them.

        They begin at their pretrained values. `trains` are roles, words, or `all`; a ValueError names one that the
        module has nothing of.
        """
        known = {*self.roles.values(), *self._words, "all"}
        if unknown := sorted(set(trains) - known):
            raise ValueError(f"trains: the network has no {', '.join(unknown)}; it has {', '.join(sorted(known))}")
        wanted = {name for name, role in self.roles.items() if self._meant(name, role, trains)}
        for path, buffers in self._normalising.items():
            if any(public(f"{path}.{own}") in wanted for own in ("weight", "bias")):
                wanted.update(map(public, buffers))
        return [
            Leaf(
                name=dense_name(adapter, name),
                part=adapter,
                role=role,
                shape=tuple(self._tensor(name).shape),
                initial=Initial("pretrained"),
                trainable=role != "buffer",
                reached=not name.startswith(self._dead),
                site=name,
            )
            for adapter in adapters
            for name, role in self.roles.items()
            if name in wanted
        ]

    def pretrained(self, leaf: Leaf) -> Tensor:
        """The module's own tensor of a leaf."""
        return self._tensor(leaf.site).detach()

    def places(self, params: Leaves, adapters: Mix) -> dict[str, int]:
        """Where adapters hold the weights of a linear layer or convolution, by its name: channels that it reads."""
        held = self._held(params, adapters)
        return {
            _place(path): routed.inputs(self.module.get_submodule(path))
            for path, names in self._linear.items()
            if names[0] in held
        }

    def __call__(
        self, inputs: Sequence[Any], params: Leaves, mix: Mix, *, training: bool, route: Route | None = None
    ) -> tuple[Any, dict[str, Tensor]]:
        """Run the module on its inputs, with the leaves of one client in one lane.

        In training, batch normalisation whose buffers are leaves uses the batch's statistics. With a route, the weights
        of each of `places` are mixed as it says, and all others by the mix. Returns the module's output, and the
        buffers that changed, by the leaf's name. A ValueError says that adapters that hold weights of the network are
        weighted image by image by the mix itself.
        """
        held = self._held(params, mix)
        if not held:
            return self.module(*inputs), {}
        module, places = self._own(), {}
        if route is not None:
            places = {path: [n for n in own if n in held] for path, own in self._linear.items() if own[0] in held}
        routes = {name for own in places.values() for name in own}
        tensors = {self._paths[name]: self._mixed(name, own, mix) for name, own in held.items() if name not in routes}
        carried = {path: names for path, names in self._normalising.items() if public(names[0]) in held}
        for path in carried:
            module.get_submodule(path).train(training)
        kinds = {path: (_place(path), {n.rpartition(".")[2]: held[n] for n in own}) for path, own in places.items()}
        with nullcontext() if route is None else routed.routing(module, kinds, mix, route):
            output = torch.func.functional_call(module, tensors, tuple(inputs), tie_weights=False)
        if not training:
            return output, {}
        changed = {public(own): tensors[own].detach() for names in carried.values() for own in names}
        return output, {
            dense_name(adapter, name): tensor.to(leaf.dtype)
            for name, tensor in changed.items()
            for adapter, leaf in held[name].items()
        }

    def deployed(self, params: Leaves, mix: Mix) -> dict[str, Tensor]:
        """The weights and buffers that one client's leaves amount to, by their names in the network."""
        return {name: self._mixed(name, own, mix) for name, own in self._held(params, mix).items()}

    def to(self, device: torch.device | str, dtype: torch.dtype) -> None:
        """Move the module, and change its precision."""
        self.module.to(device, dtype)
        self._local = threading.local()

    def _add(self, path: str, role: str) -> None:
        self.roles[public(path)] = role
        self._paths[public(path)] = path

    def _meant(self, name: str, role: str, trains: Collection[str]) -> bool:
        if role == "buffer":
            return role in trains
        return role in trains or "all" in trains or any(w in trains and means(name) for w, means in self._words.items())

    def _tensor(self, name: str) -> Tensor:
        path, _, own = self._paths[name].rpartition(".")
        tensor: Tensor = getattr(self.module.get_submodule(path), own)
        return tensor

    def _held(self, params: Leaves, mix: Mix) -> dict[str, dict[str, Tensor]]:
        """What the adapters of a mix hold of the module's tensors: by tensor, then by adapter."""
        found: dict[str, dict[str, Tensor]] = {}
        for adapter in mix:
            if adapter not in self._leaves:
                self._leaves[adapter] = {dense_name(adapter, name): name for name in self.roles}
            names = self._leaves[adapter]
            for leaf, tensor in params.items():
                if leaf in names:
                    found.setdefault(names[leaf], {})[adapter] = tensor
        return found

    def _mixed(self, name: str, held: Mapping[str, Tensor], mix: Mix) -> Tensor:
        """The tensor that the module runs with, of its own precision; a new one where it may be changed in place."""
        own = self._tensor(name)
        weights = {adapter: mix[adapter] for adapter in held}
        if any(isinstance(weight, Tensor) and weight.dim() for weight in weights.values()):
            raise ValueError(
                f"{', '.join(weights)} are weighted image by image, which weights of the network itself "
                f"({name}) cannot be: leave `trains` at [lora, head] for this method"
            )
        first, *more = held.items()
        if self.roles[name] == "buffer":
            if not more:
                return first[1].clone()
            mean = torch.stack([weights[a] * leaf for a, leaf in held.items()]).sum(0) / sum(weights.values())
            return mean.detach()  # Weights may be learned, but not from what is carried.
        if not more and not isinstance(weights[first[0]], Tensor) and weights[first[0]] == 1:
            return first[1].to(own.dtype)
        moved = torch.stack([weights[adapter] * (leaf - own.to(leaf.dtype)) for adapter, leaf in held.items()]).sum(0)
        return own + moved.to(own.dtype)

    def _own(self) -> nn.Module:
        """This thread's copy of the module, which shares every tensor: a call puts others in their places."""
        if not hasattr(self._local, "module"):
            shared = (*self.module.parameters(), *self.module.buffers(), *self._kept)
            self._local.module = copy.deepcopy(self.module, {id(held): held for held in shared})
        module: nn.Module = self._local.module
        return module


def public(path: str) -> str:
    """A tensor's name in the network as everybody knows it: without the layers that are put around others here."""
    return path.replace(".frozen.", ".").removeprefix("vit.")


def _place(path: str) -> str:
    """A layer's name in the network as everybody knows it."""
    return public(f"{path}.").removesuffix(".")
