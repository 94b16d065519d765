"""All methods, each as its paper says it, one run at a time.

Every function trains one run (one rate, one seed) of the method whose file in `methods/` bears its name, and returns
what every hospital ends with.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.reference.hospital import Hospital, Images, Setting, average, cosine, weights


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


def fedit(setting: Setting, rate: float) -> list[Result]:
    """FedIT (arXiv 2305.05644): one adapter; A and B are averaged separately."""
    hospitals = _hospitals(setting, ["global"])
    for round in range(setting.rounds):
        for hospital in hospitals:
            hospital.train(hospital.AB("global") + hospital.head(), f"round {round} pass 0", rate)
        average(hospitals, lambda h: h.AB("global"))
        _average_head(hospitals, setting.head)
    return _results(hospitals, lambda h: h.logits(h.unseen()))


def ffa_lora(setting: Setting, rate: float) -> list[Result]:
    """FFA-LoRA (arXiv 2403.12313): A is frozen at its common random start, B is trained and averaged."""
    hospitals = _hospitals(setting, ["global"])
    for round in range(setting.rounds):
        for hospital in hospitals:
            hospital.train(hospital.B("global") + hospital.head(), f"round {round} pass 0", rate)
        average(hospitals, lambda h: h.B("global"))
        _average_head(hospitals, setting.head)
    return _results(hospitals, lambda h: h.logits(h.unseen()))


def fedsa_lora(setting: Setting, rate: float) -> list[Result]:
    """FedSA-LoRA (arXiv 2410.01463): A and B are trained, A is averaged; B and the classifier stay."""
    hospitals = _hospitals(setting, ["global"])
    for round in range(setting.rounds):
        for hospital in hospitals:
            hospital.train(hospital.AB("global") + hospital.head(), f"round {round} pass 0", rate)
        average(hospitals, lambda h: h.A("global"))
    return _results(hospitals, lambda h: h.logits(h.unseen()))


def feddpa_t(
    setting: Setting, rate: float, weight: float = 0.5, instance_wise: bool = True, weighting: str = "paper"
) -> list[Result]:
    """FedDPA-T (arXiv 2403.19211, released code): personal beside fixed global, then global alone, every round.

    The first round trains the global adapter only. Averages are weighted by training images, as for all methods here;
    the released code has these weights commented out.
    """
    hospitals = _hospitals(setting, ["global", "personal"])
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
    return _results(hospitals, lambda h: _dual_logits(h, weight, instance_wise, weighting))


def feddpa_f(
    setting: Setting,
    rate: float,
    weight: float = 0.5,
    epochs: int = 1,
    instance_wise: bool = True,
    weighting: str = "paper",
) -> list[Result]:
    """FedDPA-F (arXiv 2403.19211): the global adapter to the end, then a personal copy of it is fine-tuned once."""
    hospitals = _hospitals(setting, ["global", "personal"])
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
    return _results(hospitals, lambda h: _dual_logits(h, weight, instance_wise, weighting))


def fedpal(setting: Setting, rate: float) -> list[Result]:
    """FedPAL (arXiv 2510.12741): a global and a personal adapter, summed and trained together."""
    return _fedopal(setting, rate, lambda hospital: None)


def fedopal_w(setting: Setting, rate: float, strength: float = 0.1, entries: str = "sum") -> list[Result]:
    """FedOPAL-W (arXiv 2510.12741): FedPAL, and the mean over layers of |A_g A_p^T|, O-LoRA's penalty."""

    def penalty(hospital: Hospital) -> Callable[[], Tensor]:
        def overlap() -> Tensor:
            layers = []
            for A_g, A_p in zip(hospital.A("global"), hospital.A("personal"), strict=True):
                product = (A_g @ A_p.T).abs()
                layers.append(product.sum() if entries == "sum" else product.mean())
            return strength * sum(layers) / len(layers)

        return overlap

    return _fedopal(setting, rate, penalty)


def fedopal_r(setting: Setting, rate: float, strength: float = 0.1, eps: float = 1e-2) -> list[Result]:
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

    return _fedopal(setting, rate, penalty)


def local(setting: Setting, rate: float) -> list[Result]:
    """Control: every hospital trains alone."""
    hospitals = _hospitals(setting, ["global"])
    for round in range(setting.rounds):
        for hospital in hospitals:
            hospital.train(hospital.AB("global") + hospital.head(), f"round {round} pass 0", rate)
    return _results(hospitals, lambda h: h.logits(h.unseen()))


def pooled(setting: Setting, rate: float) -> list[Result]:
    """Control: one model, trained on the union of all images by hospital's name, and evaluated on every hospital's."""
    data = sorted(setting.data, key=lambda own: own.name)
    fields = ("images", "labels", "unseen", "support")
    everything = (np.concatenate([getattr(own, field) for own in data]) for field in fields)
    union = Hospital(setting, Images("pooled", *everything, setting.data[0].steps), ["global"])
    for round in range(setting.rounds):
        union.train(union.AB("global") + union.head(), f"round {round} pass 0", rate)
    logits = union.logits(union.unseen()).detach().split([len(own.unseen) for own in data])
    of_hospital = dict(zip((own.name for own in data), logits, strict=True))
    leaves = {name: parameter.detach() for name, parameter in union.named().items()}
    return [Result(leaves, of_hospital[own.name], union.objectives) for own in setting.data]


def fedavg_ft(setting: Setting, rate: float, epochs: int = 1) -> list[Result]:
    """FedAvg + fine-tuning (arXiv 2206.09262): after the last average every hospital trains everything once more."""
    hospitals = _hospitals(setting, ["global"])
    for round in range(setting.rounds):
        for hospital in hospitals:
            hospital.train(hospital.AB("global") + hospital.head(), f"round {round} pass 0", rate)
        average(hospitals, lambda h: h.AB("global"))
        _average_head(hospitals, setting.head)
    for hospital in hospitals:
        hospital.train(hospital.AB("global") + hospital.head(), "closing pass 0", rate, epochs)
    return _results(hospitals, lambda h: h.logits(h.unseen()))


def fedprox(setting: Setting, rate: float, mu: float = 0.01) -> list[Result]:
    """FedProx (arXiv 1812.06127): mu/2 times the squared distance from the round's start is added to the loss."""
    hospitals = _hospitals(setting, ["global"])
    for round in range(setting.rounds):
        for hospital in hospitals:
            own = hospital.AB("global") + hospital.head()
            hospital.train(own, f"round {round} pass 0", rate, penalty=_proximal(own, own, mu))
        average(hospitals, lambda h: h.AB("global"))
        _average_head(hospitals, setting.head)
    return _results(hospitals, lambda h: h.logits(h.unseen()))


def scaffold(setting: Setting, rate: float) -> list[Result]:
    """SCAFFOLD (arXiv 1910.06378): gradients are corrected by c - c_i; c_i is the round's mean gradient."""
    hospitals = _hospitals(setting, ["global"])
    zero = {name: torch.zeros_like(parameter) for name, parameter in hospitals[0].named().items()}
    own, common = [dict(zero) for _ in hospitals], dict(zero)
    for round in range(setting.rounds):
        for k, hospital in enumerate(hospitals):
            trained = hospital.AB("global") + hospital.head()
            correction = _correction(hospital, {n: common[n] - own[k][n] for n in common})
            hospital.train(trained, f"round {round} pass 0", rate, penalty=correction)
            own[k] = {n: g - common[n] + own[k][n] for n, g in hospital.gradients.items()}
        shares = weights(hospitals, uniform=True)
        common = {n: sum(share * c[n] for share, c in zip(shares, own, strict=True)) for n in zero}
        average(hospitals, lambda h: h.AB("global"), uniform=True)
        _average_head(hospitals, "shared", uniform=True)
    return _results(hospitals, lambda h: h.logits(h.unseen()))


def ditto(setting: Setting, rate: float, strength: float = 1.0) -> list[Result]:
    """Ditto (arXiv 2012.04221): FedAvg, and a second model per hospital that stays near the received one."""
    hospitals, personal = (_hospitals(setting, ["global"]) for _ in range(2))
    for round in range(setting.rounds):
        for hospital, own in zip(hospitals, personal, strict=True):
            received = [p.detach().clone() for p in hospital.AB("global") + hospital.head()]
            trained = own.AB("global") + own.head()
            own.train(trained, f"round {round} pass 0", rate, penalty=_proximal(trained, received, strength))
            hospital.train(hospital.AB("global") + hospital.head(), f"round {round} pass 0", rate)
        average(hospitals, lambda h: h.AB("global"), uniform=True)
        _average_head(hospitals, "shared", uniform=True)
    found = []
    for hospital, own in zip(hospitals, personal, strict=True):
        leaves = {name: p.detach() for name, p in hospital.named().items()}
        for name, p in own.named().items():
            leaves[name.replace("global/", "personal/").replace("head/", "personal_head/")] = p.detach()
        objectives = {name: mean + own.objectives[name] for name, mean in hospital.objectives.items()}
        found.append(Result(leaves, own.logits(own.unseen()).detach(), objectives))
    return found


def fedper(setting: Setting, rate: float) -> list[Result]:
    """FedPer (arXiv 1912.00818): the head is never averaged."""
    hospitals = _hospitals(setting, ["global"])
    for round in range(setting.rounds):
        for hospital in hospitals:
            hospital.train(hospital.AB("global") + hospital.head(), f"round {round} pass 0", rate)
        average(hospitals, lambda h: h.AB("global"))
    return _results(hospitals, lambda h: h.logits(h.unseen()))


def fedrep(setting: Setting, rate: float, head_epochs: int = 10, closing_epochs: int = 10) -> list[Result]:
    """FedRep (arXiv 2102.07078): the head, then the adapter, which is averaged; in the end the head again."""
    hospitals = _hospitals(setting, ["global"])
    for round in range(setting.rounds):
        for hospital in hospitals:
            hospital.train(hospital.head(), f"round {round} pass 0", rate, head_epochs)
            hospital.train(hospital.AB("global"), f"round {round} pass 1", rate)
        average(hospitals, lambda h: h.AB("global"))
    for hospital in hospitals if closing_epochs else []:
        hospital.train(hospital.head(), "closing pass 0", rate, closing_epochs)
    return _results(hospitals, lambda h: h.logits(h.unseen()))


def apfl(setting: Setting, rate: float, learned: bool = True, pull: float = 0.02) -> list[Result]:
    """APFL (arXiv 2003.13461, algorithm 1 and equation 10; alpha as in the authors' code).

    w by F(w), v by F(alpha v + (1 - alpha) w), each with its own optimiser; alpha by one plain step at the start of a
    round, of its gradient and `pull` times itself, projected to [0, 1]. v begins as w.
    """
    hospitals = _hospitals(setting, ["global", "personal"])
    heads, alphas = [], [torch.tensor(0.5, dtype=setting.dtype) for _ in hospitals]
    for hospital in hospitals:
        with torch.no_grad():
            for own, common in zip(hospital.AB("personal"), hospital.AB("global"), strict=True):
                own.copy_(common)
        heads.append([nn.Parameter(parameter.detach().clone()) for parameter in _head(hospital).values()])
    for round in range(setting.rounds):
        for k, (hospital, head) in enumerate(zip(hospitals, heads, strict=True)):
            common, own = hospital.AB("global") + hospital.head(), hospital.AB("personal") + head
            for parameter in common + own:
                parameter.requires_grad_()
            name = f"round {round} pass {int(learned)}"
            if learned:
                alphas[k] = _alphas_step(hospital, head, alphas[k], f"round {round} pass 0", rate, pull)
            alpha = alphas[k]
            of_w, of_v = (
                torch.optim.SGD(mine, lr=rate, momentum=setting.momentum, weight_decay=setting.weight_decay)
                for mine in (common, own)
            )
            total = 0.0
            for images, labels in hospital.batches(name, setting.epochs):
                hospital.use({"global": 1.0})
                first = F.cross_entropy(hospital.logits(images), labels)
                of_first = torch.autograd.grad(first, common)
                second = F.cross_entropy(_mixed(hospital, head, alpha, images), labels)
                of_second = torch.autograd.grad(second, own)
                for parameter, gradient in zip(common + own, of_first + of_second, strict=True):
                    parameter.grad = gradient
                of_w.step()
                of_v.step()
                total += float(first.detach() + second.detach() + pull / 2 * alpha**2) * len(labels)
            hospital.objectives[name] = total / (hospital.size * setting.epochs)
        average(hospitals, lambda h: h.AB("global"), uniform=True)
        _average_head(hospitals, "shared", uniform=True)
    found = []
    for hospital, head, alpha in zip(hospitals, heads, alphas, strict=True):
        leaves = {n: p.detach() for n, p in hospital.named().items()} | {"alpha": alpha}
        leaves |= {f"personal_head/{n}": p.detach() for n, p in zip(_head(hospital), head, strict=True)}
        with torch.no_grad():
            found.append(Result(leaves, _mixed(hospital, head, alpha, hospital.unseen()), hospital.objectives))
    return found


def fedex_lora(setting: Setting, rate: float) -> list[Result]:
    """FedEx-LoRA (arXiv 2410.09432): A and B are averaged, and the frozen weight takes what that loses."""
    hospitals = _hospitals(setting, ["global"])
    for round in range(setting.rounds):
        for hospital in hospitals:
            hospital.train(hospital.AB("global") + hospital.head(), f"round {round} pass 0", rate)
        exact = _mean_products(hospitals, uniform=True)
        average(hospitals, lambda h: h.AB("global"), uniform=True)
        _average_head(hospitals, setting.head, uniform=True)
        for hospital in hospitals:
            lost = [m - B @ A for m, A, B in zip(exact, hospital.A("global"), hospital.B("global"), strict=True)]
            _merge(hospital, lost)
    return _with_offsets(hospitals)


def flora(setting: Setting, rate: float) -> list[Result]:
    """FLoRA (arXiv 2409.05976): the mean of the products joins the frozen weight, and every client begins anew."""
    hospitals = _hospitals(setting, ["global"])
    for round in range(setting.rounds):
        for hospital in hospitals:
            hospital.train(hospital.AB("global") + hospital.head(), f"round {round} pass 0", rate)
        exact = _mean_products(hospitals)
        _average_head(hospitals, setting.head)
        for hospital in hospitals:
            _merge(hospital, exact)
            with torch.no_grad():
                for site, A, B in zip(hospital.layers, hospital.A("global"), hospital.B("global"), strict=True):
                    A.copy_(hospital.initial(f"global/{site}.A", round + 1))
                    B.zero_()
    return _with_offsets(hospitals)


def flexlora(setting: Setting, rate: float) -> list[Result]:
    """FlexLoRA (arXiv 2402.11505): the mean of the products, dense, is decomposed and cut."""
    hospitals = _hospitals(setting, ["global"])
    for round in range(setting.rounds):
        for hospital in hospitals:
            hospital.train(hospital.AB("global") + hospital.head(), f"round {round} pass 0", rate)
        exact = _mean_products(hospitals)
        _average_head(hospitals, setting.head)
        with torch.no_grad():
            for hospital in hospitals:
                for mean, A, B in zip(exact, hospital.A("global"), hospital.B("global"), strict=True):
                    U, S, Vt = torch.linalg.svd(mean)
                    for i in range(setting.rank):
                        sign = -1 if U[:, i][U[:, i].abs().argmax()] < 0 else 1
                        B[:, i], A[i] = sign * U[:, i] * S[i], sign * Vt[i]
    return _results(hospitals, lambda h: h.logits(h.unseen()))


def rolora(setting: Setting, rate: float) -> list[Result]:
    """RoLoRA (arXiv 2502.01755): B is trained and averaged in even rounds, A in odd ones; the head in all."""
    hospitals = _hospitals(setting, ["global"])
    for round in range(setting.rounds):

        def turn(hospital: Hospital, even: bool = round % 2 == 0) -> list[nn.Parameter]:
            return hospital.B("global") if even else hospital.A("global")

        for hospital in hospitals:
            hospital.train(turn(hospital) + hospital.head(), f"round {round} pass 0", rate)
        average(hospitals, turn)
        _average_head(hospitals, setting.head)
    return _results(hospitals, lambda h: h.logits(h.unseen()))


def iop_fl(setting: Setting, rate: float, kept: float = 0.1) -> list[Result]:
    """IOP-FL inside the federation (arXiv 2204.08467): FedAvg; beside it T <- a T + (1 - a) w predicts."""
    return _beside_fedavg(setting, rate, kept)


def last_local(setting: Setting, rate: float) -> list[Result]:
    """Control: FedAvg; what a hospital trained last, before the average, predicts."""
    return _beside_fedavg(setting, rate, 0.0)


def _beside_fedavg(setting: Setting, rate: float, kept: float) -> list[Result]:
    """FedAvg's leaves, and the predictions of each hospital's running mean of its own models."""
    hospitals = _hospitals(setting, ["global"])
    trajectories: list[dict[str, Tensor]] = [{} for _ in hospitals]
    for round in range(setting.rounds):
        for hospital, trajectory in zip(hospitals, trajectories, strict=True):
            hospital.train(hospital.AB("global") + hospital.head(), f"round {round} pass 0", rate)
            for name, parameter in hospital.named().items():
                own = parameter.detach().clone()
                trajectory[name] = kept * trajectory[name] + (1 - kept) * own if round else own
        average(hospitals, lambda h: h.AB("global"))
        _average_head(hospitals, "shared")
    found = []
    for hospital, trajectory in zip(hospitals, trajectories, strict=True):
        leaves = {name: parameter.detach().clone() for name, parameter in hospital.named().items()}
        with torch.no_grad():
            for name, parameter in hospital.named().items():
                parameter.copy_(trajectory[name])
            found.append(Result(leaves, hospital.logits(hospital.unseen()), hospital.objectives))
    return found


def _proximal(trained: Sequence[nn.Parameter], centre: Sequence[Tensor], strength: float) -> Callable[[], Tensor]:
    """strength/2 times the squared distance of the parameters from where the centre stands now."""
    fixed = [p.detach().clone() for p in centre]
    return lambda: strength / 2 * sum(((p - c) ** 2).sum() for p, c in zip(trained, fixed, strict=True))


def _correction(hospital: Hospital, by: dict[str, Tensor]) -> Callable[[], Tensor]:
    """A loss whose gradient is `by`."""
    return lambda: sum((by[name] * parameter).sum() for name, parameter in hospital.named().items())


def _head(hospital: Hospital) -> dict[str, nn.Parameter]:
    return dict(hospital.model.base_model.model.head.named_parameters())


def _mixed(hospital: Hospital, head: Sequence[Tensor], alpha: Tensor, images: Tensor) -> Tensor:
    """Logits of the mixture of APFL's two models."""
    hospital.use({"global": 1 - alpha, "personal": alpha})
    features, (weight, bias) = hospital.features(images), hospital.head()
    return F.linear(features, (1 - alpha) * weight + alpha * head[0], (1 - alpha) * bias + alpha * head[1])


def _alphas_step(
    hospital: Hospital, head: Sequence[Tensor], alpha: Tensor, name: str, rate: float, pull: float
) -> Tensor:
    """APFL's alpha after the one step that it takes in a round."""
    images, labels = hospital.step(name)
    alpha = alpha.clone().requires_grad_()
    hospital.use({"global": 1.0})
    first = F.cross_entropy(hospital.logits(images), labels).detach()
    second = F.cross_entropy(_mixed(hospital, head, alpha, images), labels)
    (slope,) = torch.autograd.grad(second, [alpha])
    hospital.objectives[name] = float(first + second.detach() + pull / 2 * alpha.detach() ** 2)
    towards_zero = (pull + hospital.setting.weight_decay) * alpha.detach()
    return (alpha.detach() - rate * (slope + towards_zero)).clamp(0, 1)


def _mean_products(hospitals: Sequence[Hospital], *, uniform: bool = False) -> list[Tensor]:
    """The mean over hospitals, weighted by images or uniform, of B A at every site."""
    shares = weights(hospitals, uniform=uniform)
    with torch.no_grad():
        products = [
            [share * B @ A for A, B in zip(h.A("global"), h.B("global"), strict=True)]
            for share, h in zip(shares, hospitals, strict=True)
        ]
    return [torch.stack(of_site).sum(0) for of_site in zip(*products, strict=True)]


def _merge(hospital: Hospital, products: Sequence[Tensor]) -> None:
    """Add products, with the adapter's scale, to the frozen weights."""
    with torch.no_grad():
        for layer, product in zip(hospital.layers.values(), products, strict=True):
            layer.base_layer.weight += layer.scaling["global"] * product


def _with_offsets(hospitals: Sequence[Hospital]) -> list[Result]:
    """Results in which what was added to the frozen weights is a leaf, as in the engine."""
    results = _results(hospitals, lambda h: h.logits(h.unseen()))
    for hospital, result in zip(hospitals, results, strict=True):
        before = Hospital(hospital.setting, hospital.data, hospital.adapters, hospital.number)
        for site, layer in hospital.layers.items():
            added = layer.base_layer.weight - before.layers[site].base_layer.weight
            result.leaves[f"offset/{site}"] = (added / layer.scaling["global"]).detach().to(hospital.setting.dtype)
    return results


def _fedopal(setting: Setting, rate: float, penalty: Callable[[Hospital], Callable[[], Tensor] | None]) -> list[Result]:
    """W0 x + B_g A_g x + B_p A_p x, both pairs trained together, the global one averaged."""
    hospitals = _hospitals(setting, ["global", "personal"])
    penalties = [penalty(hospital) for hospital in hospitals]
    for round in range(setting.rounds):
        for hospital, own in zip(hospitals, penalties, strict=True):
            both = hospital.AB("global") + hospital.AB("personal")
            hospital.train(both + hospital.head(), f"round {round} pass 0", rate, penalty=own)
        average(hospitals, lambda h: h.AB("global"))
        _average_head(hospitals, setting.head)
    return _results(hospitals, lambda h: h.logits(h.unseen()))


def _dual_logits(hospital: Hospital, weight: float, instance_wise: bool, weighting: str) -> Tensor:
    """FedDPA's prediction, image by image: the closer to five images of its own, drawn for it, the more one counts.

    That one is the personal adapter as the paper's idea has it, and the global one in the released program.
    """
    if not instance_wise:
        hospital.use({"global": 1 - weight, "personal": weight})
        return hospital.logits(hospital.unseen())
    rows = []
    for image, support in zip(hospital.unseen().split(1), hospital.support(), strict=True):
        hospital.use({"personal": 1.0})
        token, own = hospital.features(image), hospital.features(support)
        similar = sum(float(token[0] @ other / (token[0].norm() * other.norm())) for other in own) / len(own)
        near, far = ("personal", "global") if weighting == "paper" else ("global", "personal")
        hospital.use({far: 1 - weight * similar, near: weight * similar})
        rows.append(hospital.logits(image))
    return torch.cat(rows)


def _hospitals(setting: Setting, adapters: Sequence[str]) -> list[Hospital]:
    return [Hospital(setting, data, adapters, number) for number, data in enumerate(setting.data)]


def _average_head(hospitals: Sequence[Hospital], policy: str, *, uniform: bool = False) -> None:
    if policy == "shared":
        average(hospitals, lambda h: h.head(), uniform=uniform)


def _results(hospitals: Sequence[Hospital], logits: Callable[[Hospital], Tensor]) -> list[Result]:
    with torch.no_grad():
        return [Result({n: p.detach() for n, p in h.named().items()}, logits(h), h.objectives) for h in hospitals]
