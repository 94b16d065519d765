"""The ten methods, each as its paper says it, one run at a time.

Every function trains one run (one rate, one seed) of the method whose file in `methods/` bears its name, and returns
what every hospital ends with.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tests.reference.hospital import Hospital, Images, Setting, average, cosine


@dataclass(frozen=True)
class Result:
    """What one hospital ends with.

    Attributes:
        leaves: Adapters and head, by the names that the engine's leaves have.
        logits: Of its unseen images, (n, classes).
        objectives: The mean objective of every pass, by the pass's name.
    """

    leaves: dict[str, Tensor]
    logits: Tensor
    objectives: dict[str, float]


def fedit(setting: Setting, rate: float, seed: int) -> list[Result]:
    """FedIT (arXiv 2305.05644): one adapter; A and B are averaged separately."""
    hospitals = _hospitals(setting, seed, ["global"])
    for round in range(setting.rounds):
        for hospital in hospitals:
            hospital.train(hospital.AB("global") + hospital.head(), f"round {round} pass 0", rate)
        average(hospitals, lambda h: h.AB("global"))
        _average_head(hospitals, setting.head)
    return _results(hospitals, lambda h: h.logits(h.unseen()))


def ffa_lora(setting: Setting, rate: float, seed: int) -> list[Result]:
    """FFA-LoRA (arXiv 2403.12313): A is frozen at its common random start, B is trained and averaged."""
    hospitals = _hospitals(setting, seed, ["global"])
    for round in range(setting.rounds):
        for hospital in hospitals:
            hospital.train(hospital.B("global") + hospital.head(), f"round {round} pass 0", rate)
        average(hospitals, lambda h: h.B("global"))
        _average_head(hospitals, setting.head)
    return _results(hospitals, lambda h: h.logits(h.unseen()))


def fedsa_lora(setting: Setting, rate: float, seed: int) -> list[Result]:
    """FedSA-LoRA (arXiv 2410.01463): A and B are trained, A is averaged; B and the classifier stay."""
    hospitals = _hospitals(setting, seed, ["global"])
    for round in range(setting.rounds):
        for hospital in hospitals:
            hospital.train(hospital.AB("global") + hospital.head(), f"round {round} pass 0", rate)
        average(hospitals, lambda h: h.A("global"))
    return _results(hospitals, lambda h: h.logits(h.unseen()))


def feddpa_t(setting: Setting, rate: float, seed: int, weight: float = 0.5, instance_wise: bool = True) -> list[Result]:
    """FedDPA-T (arXiv 2403.19211, released code): personal beside fixed global, then global alone, every round.

    The first round trains the global adapter only. Averages are weighted by training images, as for all methods here;
    the released code has these weights commented out.
    """
    hospitals = _hospitals(setting, seed, ["global", "personal"])
    for round in range(setting.rounds):
        for hospital in hospitals:
            number = 0
            if round > 0:
                hospital.use({"global": 1 - weight, "personal": weight})
                hospital.train(hospital.AB("personal"), f"round {round} pass 0", rate)
                number = 1
            hospital.use({"global": 1.0})
            hospital.train(hospital.AB("global") + hospital.head(), f"round {round} pass {number}", rate)
        average(hospitals, lambda h: h.AB("global"))
        _average_head(hospitals, setting.head)
    return _results(hospitals, lambda h: _dual_logits(h, weight, instance_wise))


def feddpa_f(
    setting: Setting, rate: float, seed: int, weight: float = 0.5, epochs: int = 1, instance_wise: bool = True
) -> list[Result]:
    """FedDPA-F (arXiv 2403.19211): the global adapter to the end, then a personal copy of it is fine-tuned once."""
    hospitals = _hospitals(setting, seed, ["global", "personal"])
    for round in range(setting.rounds):
        for hospital in hospitals:
            hospital.use({"global": 1.0})
            hospital.train(hospital.AB("global") + hospital.head(), f"round {round} pass 0", rate)
        average(hospitals, lambda h: h.AB("global"))
        _average_head(hospitals, setting.head)
    for hospital in hospitals:
        with torch.no_grad():
            for own, shared in zip(hospital.AB("personal"), hospital.AB("global"), strict=True):
                own.copy_(shared)
        hospital.use({"global": 1 - weight, "personal": weight})
        hospital.train(hospital.AB("personal"), "closing pass 0", rate, epochs)
    return _results(hospitals, lambda h: _dual_logits(h, weight, instance_wise))


def fedpal(setting: Setting, rate: float, seed: int) -> list[Result]:
    """FedPAL (arXiv 2510.12741): a global and a personal adapter, summed and trained together."""
    return _fedopal(setting, rate, seed, lambda hospital: None)


def fedopal_w(setting: Setting, rate: float, seed: int, strength: float = 0.1, entries: str = "sum") -> list[Result]:
    """FedOPAL-W (arXiv 2510.12741): FedPAL, and the mean over layers of |A_g A_p^T|, O-LoRA's penalty."""

    def penalty(hospital: Hospital) -> Callable[[], Tensor]:
        def overlap() -> Tensor:
            layers = []
            for A_g, A_p in zip(hospital.A("global"), hospital.A("personal"), strict=True):
                product = (A_g @ A_p.T).abs()
                layers.append(product.sum() if entries == "sum" else product.mean())
            return strength * sum(layers) / len(layers)

        return overlap

    return _fedopal(setting, rate, seed, penalty)


def fedopal_r(setting: Setting, rate: float, seed: int, strength: float = 0.1, eps: float = 1e-2) -> list[Result]:
    """FedOPAL-R (arXiv 2510.12741): FedPAL, and the mean over layers and batch of |cos(z_g, z_p)|.

    z is an adapter's output, alpha/rank B A x, caught by a hook on PEFT's lora_B.
    """

    def penalty(hospital: Hospital) -> Callable[[], Tensor]:
        z: dict[tuple[str, str], Tensor] = {}
        for site, layer in hospital.layers.items():
            for adapter in hospital.adapters:

                def catch(
                    module: nn.Module,
                    inputs: tuple[Tensor],
                    output: Tensor,
                    key: tuple[str, str] = (adapter, site),
                    scaling: float = layer.scaling[adapter],
                ) -> None:
                    z[key] = scaling * output

                layer.lora_B[adapter].register_forward_hook(catch)

        def overlap() -> Tensor:
            layers = [cosine(z["global", site], z["personal", site], eps).abs().mean() for site in hospital.layers]
            return strength * sum(layers) / len(layers)

        return overlap

    return _fedopal(setting, rate, seed, penalty)


def local(setting: Setting, rate: float, seed: int) -> list[Result]:
    """Control: every hospital trains alone."""
    hospitals = _hospitals(setting, seed, ["global"])
    for round in range(setting.rounds):
        for hospital in hospitals:
            hospital.train(hospital.AB("global") + hospital.head(), f"round {round} pass 0", rate)
    return _results(hospitals, lambda h: h.logits(h.unseen()))


def pooled(setting: Setting, rate: float, seed: int) -> list[Result]:
    """Control: one model, trained on the union of all images by hospital's name, and evaluated on every hospital's."""
    data = sorted(setting.data, key=lambda own: own.name)
    everything = (torch.cat([getattr(own, field) for own in data]) for field in ("images", "labels", "unseen"))
    union = Hospital(setting, Images("pooled", *everything), seed, ["global"])
    for round in range(setting.rounds):
        union.train(union.AB("global") + union.head(), f"round {round} pass 0", rate)
    logits = union.logits(union.unseen()).detach().split([len(own.unseen) for own in data])
    of_hospital = dict(zip((own.name for own in data), logits, strict=True))
    leaves = {name: parameter.detach() for name, parameter in union.named().items()}
    return [Result(leaves, of_hospital[own.name], union.objectives) for own in setting.data]


def _fedopal(
    setting: Setting, rate: float, seed: int, penalty: Callable[[Hospital], Callable[[], Tensor] | None]
) -> list[Result]:
    """W0 x + B_g A_g x + B_p A_p x, both pairs trained together, the global one averaged."""
    hospitals = _hospitals(setting, seed, ["global", "personal"])
    penalties = [penalty(hospital) for hospital in hospitals]
    for round in range(setting.rounds):
        for hospital, own in zip(hospitals, penalties, strict=True):
            both = hospital.AB("global") + hospital.AB("personal")
            hospital.train(both + hospital.head(), f"round {round} pass 0", rate, penalty=own)
        average(hospitals, lambda h: h.AB("global"))
        _average_head(hospitals, setting.head)
    return _results(hospitals, lambda h: h.logits(h.unseen()))


def _dual_logits(hospital: Hospital, weight: float, instance_wise: bool) -> Tensor:
    """FedDPA's prediction, image by image: the closer to the hospital's own, the more the personal adapter counts."""
    if not instance_wise:
        hospital.use({"global": 1 - weight, "personal": weight})
        return hospital.logits(hospital.unseen())
    rows = []
    hospital.use({"personal": 1.0})
    own = hospital.features(hospital.support())
    for image in hospital.unseen().split(1):
        hospital.use({"personal": 1.0})
        token = hospital.features(image)
        similar = sum(float(token[0] @ other / (token[0].norm() * other.norm())) for other in own) / len(own)
        hospital.use({"global": 1 - weight * similar, "personal": weight * similar})
        rows.append(hospital.logits(image))
    return torch.cat(rows)


def _hospitals(setting: Setting, seed: int, adapters: Sequence[str]) -> list[Hospital]:
    return [Hospital(setting, data, seed, adapters) for data in setting.data]


def _average_head(hospitals: Sequence[Hospital], policy: str) -> None:
    if policy == "shared":
        average(hospitals, lambda h: h.head())


def _results(hospitals: Sequence[Hospital], logits: Callable[[Hospital], Tensor]) -> list[Result]:
    with torch.no_grad():
        return [Result({n: p.detach() for n, p in h.named().items()}, logits(h), h.objectives) for h in hospitals]
