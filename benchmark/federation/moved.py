"""How far training moved what a client holds: whether an adapter matters can be read from nothing else.

Lengths are Frobenius norms over all sites together. What is measured of each part, as a mean over clients:

* `A`: |A - A_0| / |A_0|, of LoRA's A; for a method whose adapters begin anew in every round there is none.
* `update`: |scale (offset + sum_a m_a B_a A_a)| / |W_0|, what all adapters and offsets change of the frozen weights at
  the sites that are adapted, m_a being the method's weight of the adapter.
* `weights`: |W - W_0| / |W_0|, of weights of the network itself that are trained.
* `head`: |h - h_0| / |h_0|, of a head's weights.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from benchmark.federation.client import Lane
from benchmark.federation.engine import Engine, State
from benchmark.leaf import Leaves, offset_name, pairs


def measured(engine: Engine, state: State, lane: Lane) -> dict[str, dict[str, float | None]]:
    """How far a lane has moved from its start.

    Args:
        engine: What trained it.
        state: Where it stands, leaves of shape (K, 1, ...).
        lane: Which it is: its start follows from its seed.

    Returns:
        By measure and, but for `update`, part: a mean over clients. None where a number is not finite.
    """
    start = {name: leaf[:, 0].double() for name, leaf in engine.start([lane]).params.items()}
    now = {name: leaf[:, 0].double().to(engine.device) for name, leaf in state.params.items()}
    method, found = engine.model.method, dict[str, dict[str, float | None]]()
    for kind, roles, factors in (("A", ("lora",), ("A",)), ("weights", (), ("",)), ("head", ("head",), ("",))):
        for part in dict.fromkeys(leaf.part for leaf in engine.model.leaves.values()):
            names = [
                name
                for name, leaf in engine.model.leaves.items()
                if leaf.part == part
                and leaf.factor in factors
                and (leaf.role in roles if roles else leaf.initial.kind == "pretrained" and leaf.trainable)
                and not name.endswith("/bias")
            ]
            if names and not (kind == "A" and part in method.drawn_by_clients):
                apart = _length([now[name] - start[name] for name in names])
                found.setdefault(kind, {})[part] = _mean(apart / _length([start[name] for name in names]))
    if update := _update(engine, now):
        whole = _length([engine.model.network.adapted(site).double().expand_as(d) for site, d in update.items()])
        found["update"] = {"all": _mean(_length(list(update.values())) / whole)}
    return found


def _update(engine: Engine, params: Leaves) -> dict[str, Tensor]:
    """What every client's adapters and offset change of the frozen weight, by site: (K, out, in)."""
    model, scale = engine.model, engine.model.network.scale
    sites = [site for site in model.network.sites if any(site in pairs(params, a) for a in model.method.adapters)]
    mixes = [
        model.parted(model.method.mix({name: leaf[k] for name, leaf in params.items()}))[1]
        for k in range(len(engine.participants))
    ]
    found = {}
    for site in sites:
        changes = []
        for k, mix in enumerate(mixes):
            own = [m * pairs(params, a)[site].B[k] @ pairs(params, a)[site].A[k] for a, m in mix.items()]
            offset = offset_name(site)
            changes.append(scale * torch.stack([*own, *([params[offset][k]] if offset in params else [])]).sum(0))
        found[site] = torch.stack(changes)
    return found


def _length(tensors: Sequence[Tensor]) -> Tensor:
    """The norm of all tensors (K, ...) together, (K,)."""
    return torch.stack([tensor.flatten(1).square().sum(1) for tensor in tensors]).sum(0).sqrt()


def _mean(values: Tensor) -> float | None:
    mean = float(values.mean())
    return mean if torch.isfinite(torch.tensor(mean)) else None
