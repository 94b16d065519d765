"""Whether a configuration fits what there is: datasets, tasks, networks, methods and what these can be trained with.

All is told from their files, which are read and not imported: a broken method does not stop the others from being
planned.
"""

import ast
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any

from benchmark import adaptations, federations
from benchmark.comparison import LOCAL
from benchmark.config import Config
from benchmark.errors import nearest
from benchmark.methods import discovered
from benchmark.models.sides import uncovered, unit
from benchmark.sources import ROOT, closure


def faults(config: Config) -> list[str]:
    """A line for each thing that is not there, or does not go with another: the setting's place, and what there is."""
    there = discovered()
    methods = sorted({*chosen(config), *(own.method for own in config.variants.values())})
    found = [
        *_alone(config),
        *there.unknown(config.methods or (), config.own or (), config.method_settings),
        *_variants(config),
        *_datasets(config),
        *federations.faults(config),
        *_method_settings(config),
        *_adaptations(config),
        *_network_and_tasks(config),
    ]
    if not methods:
        found.append("methods: none is named, and none stands in methods/ itself; name a group or a method")
    deeper = (_draws, _predictions, _trained, _sides, _slices)
    return found or next(filter(None, (list(own(config)) for own in deeper)), [])


def chosen(config: Config) -> list[str]:
    """The methods that a configuration runs; where it names none, all that can be trained on its network."""
    found = discovered().chosen(config.methods, config.own)
    if config.methods is not None:
        return found
    return [name for name in found if not _unknown_roles(config, trained(config, name, None))]


def trained(config: Config, method: str, trains: Sequence[str] | None) -> tuple[str, ...]:
    """What a method's row trains: the method's own, else what the row says, else the configuration's; sorted."""
    return tuple(sorted(fixed(method, "trains") or trains or config.trains))


def fixed(method: str, attribute: str) -> Any:
    """What a method's file says of an attribute of its class; None where it says nothing, or is not there."""
    files = discovered().files
    return _literal(files[method], attribute, None) if method in files else None


@cache
def task(dataset: str) -> str:
    """What a dataset's class says of `task`; else what the class says that it is made of, in the end `Dataset`."""
    return str(_said(dataset, "task", ""))


@cache
def figures(task: str) -> tuple[str, ...]:
    """The figures that only this task has."""
    return tuple(_literal(f"benchmark/tasks/{task}.py", "figures", ()))


def _said(dataset: str, attribute: str, default: Any) -> Any:
    """What a dataset's class sets an attribute to, or a class that it is made of; the default where none says it."""
    own, last = f"benchmark/data/datasets/{dataset}.py", "benchmark/data/dataset.py"
    others = {path for path in closure(f"benchmark.data.datasets.{dataset}") if path.startswith("benchmark/data/")}
    files = [own, *sorted(others - {own}, key=lambda path: path == last)]
    said = (_literal(path, attribute, default) for path in files)
    return next((value for value in said if value), default)


def _draws(config: Config) -> Iterator[str]:
    """Draws that would all test the same images, or that do not test every fold once."""
    drawn_of = {name: [own] * own.draws for name, own in config.federations.items() if own.draws > 1}
    for own in config.federations.values():
        if own.draw_of:
            drawn_of.setdefault(own.draw_of, []).append(own)
    for name, (settings, *others) in drawn_of.items():
        number = 1 + len(others)
        dataset = settings.dataset or name
        drawn, protocols = _said(dataset, "drawn", {}), list(_said(dataset, "protocols", {}))
        protocol = settings.protocol
        if protocol == "published" and protocols:
            protocol = protocols[0]
        place = f"federations.{name}.draws: {dataset} with the protocol {protocol}"
        if protocol not in drawn:
            mend = f"set `protocol` to {' or '.join(drawn)}, or leave" if drawn else "leave"
            yield f"{place} has one test set, which all {number} draws would share; {mend} `draws` out"
        elif drawn[protocol] not in (None, number):
            yield (
                f"{place} has {drawn[protocol]} folds, each of which is tested once: set `draws` to {drawn[protocol]}"
                f" (got {number})"
            )


def _datasets(config: Config) -> Iterator[str]:
    known = sorted(path.stem for path in (ROOT / "benchmark/data/datasets").glob("[!_]*.py"))
    for name, settings in config.federations.items():
        dataset = settings.dataset or name
        if dataset not in known:
            file = f"benchmark/data/datasets/{dataset}.py"
            yield f"federations.{name}: there is no {file}{nearest(dataset, known)}"


def _alone(config: Config) -> Iterator[str]:
    """What the rows that are trained alone need, and whose names they have."""
    if config.alone and LOCAL not in chosen(config):
        yield f"alone: there is no row {LOCAL}, which gains are measured from; add {LOCAL} to `methods`"
    for row in config.variants:
        if config.alone and row.startswith(f"{LOCAL}_"):
            yield f"variants.{row}: with `alone`, rows of other leaves have such names; give the row another"


def _variants(config: Config) -> Iterator[str]:
    """Variants of methods that there are not, with names that are taken, or with a head that the method fixes."""
    known = discovered()
    for row, variant in config.variants.items():
        place, method = f"variants.{row}", variant.method
        if row in known.files or row in known.groups:
            yield f"{place}: there is a method or group of this name; give the row another"
        if method not in known.files:
            yield f"{place}.method: there is no method {method}{nearest(method, known.files)}"
        elif variant.head and (head := fixed(method, "head")):
            yield f"{place}.head: the file of {method} says that its head is {head}; leave `head` out"
        elif variant.trains and (own := fixed(method, "trains")):
            yield f"{place}.trains: the file of {method} says that it trains {', '.join(own)}; leave `trains` out"


def _method_settings(config: Config) -> Iterator[str]:
    files = discovered().files
    given = [(f"method_settings.{name}", name, own) for name, own in config.method_settings.items()]
    given += [(f"variants.{row}.settings", own.method, own.settings) for row, own in config.variants.items()]
    for place, method, settings in given:
        if method in files:
            yield from _settings(place, settings, _fields(files[method]))


def _adaptations(config: Config) -> Iterator[str]:
    """Adaptations that there are not, or not with such settings."""
    files = adaptations.discovered()
    named = (("adaptations", config.adaptations or ()), ("adaptation_settings", config.adaptation_settings))
    for place, names in named:
        yield from (f"{place}: there is no adaptation {n}{nearest(n, files)}" for n in names if n not in files)
    for name, settings in config.adaptation_settings.items():
        if name in files:
            yield from _settings(f"adaptation_settings.{name}", settings, _fields(files[name]))


def _network_and_tasks(config: Config) -> Iterator[str]:
    network = f"benchmark/models/{config.backbone.network}.py"
    if not (ROOT / network).is_file():
        yield f"backbone.network: there is no {network}"
    for name, settings in config.tasks.items():
        file = f"benchmark/tasks/{name}.py"
        if (ROOT / file).is_file():
            yield from _settings(f"tasks.{name}", settings, list(_literal(file, "defaults", {})))
        else:
            yield f"tasks.{name}: there is no {file}"


def _predictions(config: Config) -> Iterator[str]:
    """Tasks that need predictions which the network does not make: of images, or of pixels."""
    network, federations = config.backbone.network, dict[str, list[str]]()
    made = _literal(f"benchmark/models/{network}.py", "predicts", ("images",))
    for name, settings in config.federations.items():
        federations.setdefault(task(settings.dataset or name), []).append(name)
    for learned, names in sorted(federations.items()):
        wanted = _literal(f"benchmark/tasks/{learned}.py", "predicts", "images")
        if wanted not in made:
            yield (
                f"backbone.network: {network} makes no prediction of {wanted}, which {learned} needs "
                f"({', '.join(names)}); take another network, or leave these federations out"
            )


def _sides(config: Config) -> Iterator[str]:
    """Images of a side that the network cannot take."""
    backbone = config.backbone
    needed = unit(backbone.network, backbone.name, backbone.arguments)
    for name, settings in config.federations.items():
        if needed and (said := uncovered(settings.image_size, *needed)):
            yield f"federations.{name}.{said}"


def _slices(config: Config) -> Iterator[str]:
    """Slices beside each other that there are not, or more channels than the network reads."""
    network, inputs = config.backbone.network, config.backbone.arguments.get("inputs", 3)
    for name, settings in config.federations.items():
        dataset, shown = settings.dataset or name, len(settings.context)
        asked = [f"federations.{name}.context"] * (shown > 0) + ["training.stack"] * (config.training.stack > 1)
        if asked and _said(dataset, "channels", 0) != 1:
            yield f"{asked[0]}: images of {dataset} are in colour, and no slices of volumes; leave it out"
        elif shown not in (0, 1, inputs):
            mend = f"set backbone.arguments.inputs to {shown}" if network == "unet" else f"name {inputs} offsets"
            yield f"federations.{name}.context: {shown} offsets, but {network} reads {inputs} channels; {mend}"


def _settings(place: str, settings: Iterable[str], known: Sequence[str] | None) -> Iterator[str]:
    """Settings that there are not; what a broken file knows, nobody can say."""
    for name in settings:
        if known is not None and name not in known:
            yield f"{place}.{name}: there is no such setting; allowed: {', '.join(known) or 'none'}"


def _trained(config: Config) -> Iterator[str]:
    """Methods that need what is not trained, or that train what the network does not have."""
    network, roles = config.backbone.network, _roles(config)
    given = {*((name, config.trains) for name in chosen(config))}
    given |= {(own.method, own.trains or config.trains) for own in config.variants.values()}
    for method, configured in sorted(given):
        needed = fixed(method, "trains") or configured
        if "lora" in needed and "lora" not in roles:
            yield (
                f"trains: {method} trains {', '.join(needed)}, but the network {network} has no "
                f"projections for lora; leave {method} out of `methods`, or set `trains`: [all], say"
            )
        elif unknown := _unknown_roles(config, needed):
            yield (
                f"trains: {method} trains {', '.join(unknown)}, which the network {network} has not; it has "
                f"{', '.join(roles)}; leave {method} out of `methods`, or change `trains`"
            )
        if lacking := [role for role in fixed(method, "needs") or () if role not in needed]:
            yield (
                f"trains: {method} needs {', '.join(lacking)}, but what is trained is {', '.join(needed)}; leave "
                f"{method} out of `methods`, or train {', '.join(lacking)} too"
            )


def _roles(config: Config) -> tuple[str, ...]:
    """What can be trained on a configuration's network."""
    roles: tuple[str, ...] = _literal(f"benchmark/models/{config.backbone.network}.py", "roles", ("head", "all"))
    return roles


def _unknown_roles(config: Config, needed: Sequence[str]) -> list[str]:
    """What of all that is to be trained the network has not."""
    return [role for role in needed if role not in _roles(config)]


def _literal(file: str, name: str, default: Any) -> Any:
    """What the classes of a project's file set an attribute to, where it is written out; a broken file sets nothing."""
    for node in _statements(file) or ():
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if node.value is not None and any(isinstance(target, ast.Name) and target.id == name for target in targets):
            try:
                return ast.literal_eval(node.value)
            except ValueError:
                return default
    return default


def _fields(file: str) -> list[str] | None:
    """Settings of a method: the annotated fields of its file's classes; None where the file is broken."""
    statements = _statements(file)
    annotated = (node.target for node in statements or () if isinstance(node, ast.AnnAssign))
    return None if statements is None else [target.id for target in annotated if isinstance(target, ast.Name)]


def _statements(file: str) -> list[ast.Assign | ast.AnnAssign] | None:
    """What the classes of a project's file set, in their bodies; None where the file is absent or broken."""
    try:
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return None
    bodies = [node.body for node in tree.body if isinstance(node, ast.ClassDef)]
    return [node for body in bodies for node in body if isinstance(node, ast.Assign | ast.AnnAssign)]
