"""The configuration: typed, validated, and every unknown key refused.

One YAML file holds everything that decides a result. `docs/protocol.md` says of each setting whether the paper
publishes it or we chose it, and why.
"""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, Field, ValidationError, field_validator, model_validator

from benchmark.errors import one_line
from benchmark.settings import (
    AugmentationSettings,
    BackboneSettings,
    InitialisationSettings,
    LoraSettings,
    Name,
    Scalar,
    Settings,
    TrainingSettings,
)


class ConfigError(ValueError):
    """A configuration that cannot be used: one line for each fault, saying where, which value and what is allowed."""


def _rate(value: Any) -> str:
    """A learning rate as text: the user's own, so that `5e-4` in the file is `lr=5e-4` in every path."""
    text = value if isinstance(value, str) else repr(value)
    try:
        positive = 0 < float(text) < float("inf")
    except ValueError:
        positive = False
    if not positive or not set(text) <= set("0123456789.e-+"):
        raise ValueError("a learning rate is a positive number such as 5e-4")
    if not 1e-10 <= float(text) <= 100:  # Beyond, no training here means anything: mostly, a sign is missing.
        raise ValueError("a learning rate is a number from 1e-10 to 100, such as 5e-4")
    return text


def _lanes(value: Any) -> int | str:
    """A number of lanes, or the engine's own choice."""
    if value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    raise ValueError("allowed are `auto` and whole numbers from 1")


Rate = Annotated[str, BeforeValidator(_rate, json_schema_input_type=float | str)]
Lanes = Annotated[
    int | str, BeforeValidator(_lanes, json_schema_input_type=Literal["auto"] | Annotated[int, Field(ge=1)])
]


class FederationSettings(Settings):
    """A dataset and a list of its clients, and how its images are packed."""

    dataset: Name | None = None
    """The dataset's module in `benchmark/data/datasets/`; the federation's own name where none is given."""
    clients: tuple[str, ...] | None = None
    """The clients that take part; all of the dataset's where none are given."""
    outside: tuple[str, ...] = ()
    """Clients that take no part: nothing is trained or selected on their images. `clients` names those that do."""
    source: str | None = None
    """A folder that already holds the data (a copy of one's own), relative to `local_files`; nothing is downloaded
    then."""
    mirrors: tuple[str, ...] = ()
    """Further addresses of the dataset's archive, tried in order when its own server does not give it."""
    image_size: int = Field(224, ge=16, le=1024)
    """Side in pixels of the packed square images."""
    resize: Literal["crop", "squash"] = "crop"
    """`crop` scales the short side to `image_size` and cuts the centre; `squash` scales both sides."""
    protocol: Name = "published"
    """Which train/test split: `published` is the dataset's own, or see the dataset's module."""
    validation: float = Field(0.15, gt=0, lt=0.5)
    """Share of the training images that is cut off for validation, grouped and stratified; without effect where the
    dataset's own split has a validation part."""
    training_images: int | None = Field(None, ge=10)
    """About so many training images of each client are used, validation included, in whole groups; all where none are
    given. Every class stays in proportion where the dataset's index has labels; masks are not looked at for it. All
    test images stay."""
    split_seed: int = 0
    """Seed of every split that the project makes itself; of a protocol with folds, which fold is tested."""
    draws: int = Field(1, ge=1, le=100)
    """How many divisions into train, validation and test are drawn, with `split_seed` and the seeds that follow it.
    Each is trained, selected and tested as a federation of its own, `NAME_draw1`, ...; together they count as one."""
    draw_of: Name | None = None
    """The name that draws of one federation share; `draws` fills it in."""
    context: tuple[int, ...] = ()
    """Of slices of volumes, which slices a network sees as channels: [-1, 0, 1] are the one before, the slice itself
    and the one after. Beyond an end of the volume, the last slice stands for those that are not there. Without it a
    network sees the slice alone, as with [0, 0, 0]. A U-Net reads other numbers of channels with
    `backbone.arguments: {inputs: 5}`."""
    options: dict[str, Scalar] = {}
    """What only this dataset knows; see its module."""

    @field_validator("context")
    @classmethod
    def _shows_the_slice_itself(cls, given: tuple[int, ...]) -> tuple[int, ...]:
        if given and 0 not in given:
            raise ValueError("the slice itself, 0, must be among the offsets, as in [-1, 0, 1]")
        return given

    @model_validator(mode="after")
    def _outside_is_outside(self) -> "FederationSettings":
        if self.outside and self.clients is None:
            raise ValueError("`outside` needs `clients`: name those that take part")
        if both := sorted(set(self.outside) & set(self.clients or ())):
            raise ValueError(f"{', '.join(both)} both in `clients`, which take part, and `outside`, which do not")
        return self


class AccessSettings(Settings):
    """How data may be fetched, which decides no result."""

    licences_accepted: tuple[str, ...] = ()
    """Short names of the licences that the user accepts."""
    mirrors: tuple[str, ...] = ()
    """Further addresses of the dataset's archive."""


class SelectionSettings(Settings):
    """The rule that chooses a method's learning rate, on validation data only."""

    last_rounds: int = Field(1, ge=1)
    """The validation score is averaged over this many last rounds."""


class VariantSettings(Settings):
    """A row of its own: a method with another policy for the head, or with other settings."""

    method: Name
    """The method."""
    head: Literal["shared", "personal"] | None = None
    """Whether its head is averaged or stays with its client; only where the method does not say it itself."""
    trains: tuple[Name, ...] | None = Field(None, min_length=1)
    """What is trained, instead of the configuration's `trains`; only where the method does not say it itself."""
    settings: dict[Name, Scalar] = {}
    """Settings of the method, over those in `method_settings`."""
    title: str = ""
    """What is added to the method's title, in brackets; head, leaves and settings where none is given."""

    @property
    def described(self) -> str:
        """What is added to the method's title."""
        head = [f"{self.head} head"] if self.head else []
        trains = [" and ".join(self.trains)] if self.trains else []
        return self.title or ", ".join([*head, *trains, *(f"{name} {value}" for name, value in self.settings.items())])


class ProtocolSettings(Settings):
    """How every method is trained."""

    rates: tuple[Rate, ...] = Field(min_length=1)
    """The learning rates that every method is trained with: an equal budget for all."""
    seeds: tuple[int, ...] = Field((0,), min_length=1)
    """Seeds of initialisation, order of images and augmentation."""
    rounds: int = Field(ge=1)
    """Rounds of training and averaging."""
    lora: LoraSettings = LoraSettings()
    trains: tuple[Name, ...] = Field(("lora", "head"), min_length=1)
    """What is trained: `lora` (adapters), `head`, and weights of the network itself. The network `vit` has `norm`,
    `attention`, `backbone` (the other weights), `last_block`, and `all` (every weight of its own, and the head), `unet`
    has `norm`, `decoder`, `backbone` and `all`, `sam` has `attention`, `norm`, `prompt`, `decoder`, `encoder`,
    `backbone` and `all`. Where a method's paper fixes it, the method's file says so and this
    does not count."""
    initialisation: InitialisationSettings = InitialisationSettings()
    """What adapters and heads begin with."""
    averaging: Literal["samples", "uniform"] = "samples"
    """Weights of the clients on the server: `samples` by their training images, `uniform` all the same; where a method
    does not say it itself."""
    training: TrainingSettings = TrainingSettings()
    augmentation: AugmentationSettings = AugmentationSettings()
    evaluate_every: int = Field(1, ge=1)
    """Validation is measured after every so many rounds, and after the last."""


class RunningSettings(Settings):
    """How training runs, which decides no result."""

    lanes: Lanes = "auto"
    """Most lanes trained together; `auto` lets the engine choose, 1 trains one run at a time."""
    threads: int = Field(1, ge=1)
    """Cores that one training may use on a CPU: it computes so many clients side by side."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` takes a GPU where there is one."""
    checkpoint_every: int = Field(5, ge=1)
    """Lanes are stored after every so many rounds, and after the last."""
    cuda_graphs: bool = False
    """Whether a GPU records each step once and replays it, instead of being told every operation anew."""


class Config(RunningSettings, ProtocolSettings):
    """A comparison: what decides its results, and how it is run."""

    name: Name
    """Results stand below `results/{name}/`, figures below `figures/{name}/`."""
    title: str = ""
    """One line for the report."""
    federations: dict[Name, FederationSettings] = Field(min_length=1)
    """Federations by name."""
    leave_one_out: tuple[Name, ...] = ()
    """Federations in whose place stands one for each of their `clients`, without it: it is `outside`. That of the
    client `a` of `toy` is called `toy_without_a`."""
    methods: tuple[Name, ...] | None = None
    """Groups (folders of `methods/`) and single methods by name; where none are given, all that the network can train.
    One's own files, in `methods/` itself, run whatever is named here."""
    own: tuple[Name, ...] | None = None
    """Which of one's own files run, by their names; all of them where none are given."""
    method_settings: dict[Name, dict[str, Scalar]] = {}
    """Settings of single methods, by method and by setting."""
    variants: dict[Name, VariantSettings] = {}
    """Further rows by name: a method once more, with another policy for the head, other leaves or other settings."""
    alone: bool = False
    """Whether tables say what each method gains over the same leaves trained by each client alone, its collaborative
    gain. It needs the control `local`, and adds rows to it, as `local_head`, for methods that train other leaves."""
    head: Literal["shared", "personal", "both"] = "shared"
    """Whether the task head is averaged (`shared`) or stays with its client (`personal`), where a method does not say
    it itself. `both` runs such methods with either: `fedit`, and `fedit_personal_head`."""
    adaptations: tuple[Name, ...] | None = None
    """How hospitals outside are served: files of `adaptations/`, by name; all of the project's where none are given.
    One's own files run whatever is named here."""
    adaptation_settings: dict[Name, dict[str, Scalar]] = {}
    """Settings of single adaptations, by adaptation and by setting."""
    adapting: Literal["transductive", "split"] = "transductive"
    """Which images of a hospital outside an adaptation learns from: `transductive`, all that it has, which are tested
    too; `split`, those of its training and validation parts, and its test part alone is tested."""
    backbone: BackboneSettings = BackboneSettings()
    tasks: dict[Name, dict[str, Scalar]] = {}
    """Settings of tasks, by the task's name and the setting's: `{classification: {loss: focal, gamma: 2.0},
    segmentation: {dice_weight: 0.8, scored_images: all}}`. `docs/protocol.md` explains them."""
    selection: SelectionSettings = SelectionSettings()
    shards: int = Field(1, ge=1)
    """Jobs that share the lanes of one training, one for each GPU."""
    baselines: Literal["train", "reference"] = "train"
    """`reference` takes the rows that `results/reference/` holds and that nothing has changed for, instead of
    training them."""
    appendix: bool = True
    """Whether all rates are tested too, after selection, for the report's appendix."""
    data_root: str = "data"
    """Where downloaded and drawn datasets are kept."""
    local_files: str = "."
    """A folder of files of one's own: where `source` and `weights` are looked up if they are relative."""
    licences_accepted: tuple[str, ...] = ()
    """Licences that the user has read and accepts, by their short names."""

    @model_validator(mode="after")
    def _lists_hold_each_once(self) -> "Config":
        for key in ("rates", "seeds", "methods", "own", "trains", "leave_one_out", "adaptations"):
            values: list[Any] = [float(v) if key == "rates" else v for v in getattr(self, key) or ()]
            if len(set(values)) != len(values):
                raise ValueError(f"{key} names a value twice: {list(getattr(self, key))}")
        if self.selection.last_rounds > self.rounds:
            raise ValueError(
                f"selection.last_rounds is {self.selection.last_rounds}, but there are {self.rounds} rounds"
            )
        if self.rounds > (decay := self.training.optimiser.decay_rounds or self.rounds):
            raise ValueError(
                f"training.optimiser.decay_rounds is {decay}, and there are {self.rounds} rounds: the rate would be 0 "
                "in the last ones"
            )
        return self


class TrainingJob(ProtocolSettings):
    """What decides the result of one `train` job, and nothing else: an edit elsewhere reruns none."""

    federation: str
    """The federation's name."""
    clients: tuple[str, ...] | None
    """Its clients; all that the pack holds where none are given."""
    method: str
    """The row's name: the method's, or that of a variant."""
    variant: str = ""
    """What a variant adds to the method's title."""
    context: tuple[int, ...] = ()
    """The federation's."""
    head: Literal["shared", "personal"]
    """Whether the task head is averaged or stays with its client."""
    method_settings: dict[str, Scalar]
    """The method's settings."""
    task: dict[str, Scalar] = {}
    """Settings of the federation's task."""
    network: str = "vit"
    """The network's module."""
    backbone: str
    """Its name, as the network's own library has it."""
    arguments: dict[str, Scalar]
    """Passed to that library."""


class ServingJob(Settings):
    """What decides how a hospital outside is served by a row's models, and nothing else."""

    client: str
    """The hospital."""
    adapting: Literal["transductive", "split"]
    """Which of its images are adapted to, and which are tested."""
    adaptations: dict[str, dict[str, Scalar]]
    """Every adaptation's settings, by the path of its file."""
    code: str
    """A hash of what the project's modules compute here."""


def parse(values: Mapping[str, Any], where: str = "configuration") -> Config:
    """The configuration of these settings; a ConfigError has one line for each fault, which begins with `where`."""
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        faults: list[Any] = error.errors()
        deepest = [f for f in faults if sum(f["loc"] == other["loc"][: len(f["loc"])] for other in faults) == 1]
        raise ConfigError("\n".join(_line(where, fault) for fault in deepest)) from None


def read(path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Read a configuration file as Snakemake does, without validating it.

    Settings that replace the file's are given as Snakemake's `--config` takes them: `key=value`, the value being YAML;
    a mapping replaces the keys that it has. A ConfigError says what cannot be read.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such configuration file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a YAML file: {one_line(error)}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: a configuration is a mapping of settings, this is {type(values).__name__}")
    for text in overrides:
        key, sign, value = text.partition("=")
        if not sign or not key:
            raise ConfigError(f"--config {text}: give key=value, as in --config rounds=3")
        if "." in key:  # Snakemake does not know such a key either.
            # The setting of that name, where there is one; else what was given.
            (*outer, name) = (_places(key.rpartition(".")[2]) or [key])[0].split(".")
            braces = "".join(f"{part}: {{" for part in outer[1:]) + f"{name}: {value}" + "}" * (len(outer) - 1)
            raise ConfigError(f"--config {text}: give a setting within others in braces: {outer[0]}='{{{braces}}}'")
        try:
            values = _merged(values, {key: yaml.safe_load(value)})
        except yaml.YAMLError as error:
            raise ConfigError(f"--config {text}: the value is not YAML: {one_line(error)}") from None
    return values


def _merged(held: Any, given: Any) -> Any:
    """A setting of the file and one that is given in its place, merged as Snakemake merges them."""
    if not isinstance(given, dict):
        return given
    held = held if isinstance(held, dict) else {}
    return held | {key: _merged(held.get(key), value) for key, value in given.items()}


def _line(where: str, fault: dict[str, Any]) -> str:
    """One fault of pydantic's as one line: where, what is wrong, which value, what is allowed."""
    location = [part for part in fault["loc"] if part != "[key]" and not str(part).startswith("function-")]
    # A key that is no readable text must not break the line.
    named = ".".join(str(part) if str(part).isprintable() else repr(part) for part in location)
    place = f"{where}: {named}: " if location else f"{where}: "
    given, kind = fault["input"], fault["type"]
    if kind == "extra_forbidden":
        allowed, name = _fields(location[:-1]), str(location[-1])
        meant = _places(name) or get_close_matches(name, allowed, 1)
        hint = f" (did you mean {' or '.join(meant)}?)" if meant else ""
        return f"{place}there is no such setting{hint}; allowed here: {', '.join(allowed)}"
    if kind == "missing":
        return f"{place}this setting is required"
    said = _SAID.get(kind, fault["msg"].removeprefix("Value error, "))
    if kind == "tuple_type" and isinstance(given, str | int | float):
        said += f", {named}=[{given}]"
    value = "" if isinstance(given, BaseModel) or (isinstance(given, dict) and kind == "value_error") else repr(given)
    return f"{place}{said}{f' (got {value[:80]})' if value else ''}"


_SAID = {
    "tuple_type": "expected a list",
    "dict_type": "expected a dictionary, {key: value}",
    "model_type": "expected a dictionary of settings, {key: value}",
    "string_pattern_mismatch": "expected a name of the pattern [a-z][a-z0-9_]*: small letters, digits and _",
}
"""What is said in place of pydantic's words, which are Python's."""


def _places(name: str, model: type[BaseModel] | None = None, outer: str = "") -> list[str]:
    """Where settings of this name stand in a configuration, but for those of federations: `training.batch_size`."""
    found = []
    for key, field in (model or Config).model_fields.items():
        found += [f"{outer}{key}"] if key == name and outer else []
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found += _places(name, field.annotation, f"{outer}{key}.")
    return found


def _fields(location: list[Any]) -> list[str]:
    """The settings that exist at a place in the configuration."""
    model: Any = Config
    named = {"federations": FederationSettings, "variants": VariantSettings}
    if location[:1] and location[0] in named:
        model = named[location[0]]  # What follows is a name that the user gave.
    else:
        for part in location:
            model = model.model_fields[part].annotation
    return sorted(model.model_fields)
