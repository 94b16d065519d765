"""The configuration: typed, validated, and every unknown key refused.

One YAML file holds everything that decides a result. `docs/protocol.md` says of each setting whether the paper
publishes it or we chose it, and why.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from benchmark.errors import one_line

LoraTarget = Literal["q", "k", "v", "qkv", "proj", "fc1", "fc2"]


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
    return text


def _lanes(value: Any) -> int | str:
    """A number of lanes, or the engine's own choice."""
    if value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    raise ValueError("allowed are `auto` and whole numbers from 1")


def _scalar(value: Any) -> Any:
    """A setting of a method or a dataset."""
    if isinstance(value, bool | int | float | str):
        return value
    raise ValueError("allowed are a number, true, false and a text")


Rate = Annotated[str, BeforeValidator(_rate)]
Lanes = Annotated[int | str, BeforeValidator(_lanes)]
Scalar = Annotated[bool | int | float | str, BeforeValidator(_scalar)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class _Settings(BaseModel):
    """Settings are immutable, and a key that does not exist is an error rather than a setting without effect."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FederationSettings(_Settings):
    """A dataset and a list of its clients, and how its images are packed.

    Attributes:
        dataset: The dataset's module in `benchmark/data/datasets/`; the federation's own name where none is given.
        clients: The clients that take part; all of the dataset's where none are given.
        source: A folder that already holds the data (a copy of one's own), relative to `local_files`; nothing is
            downloaded then.
        mirrors: Further addresses of the dataset's archive, tried in order when its own server does not give it.
        image_size: Side in pixels of the packed square images.
        resize: `crop` scales the short side to `image_size` and cuts the centre; `squash` scales both sides.
        protocol: Which train/test split: `published` is the dataset's own, or see the dataset's module.
        validation: Share of the training images that is cut off for validation, grouped and stratified; without effect
            where the dataset's own split has a validation part.
        split_seed: Seed of every split that the project makes itself.
        options: What only this dataset knows; see its module.
    """

    dataset: Name | None = None
    clients: tuple[str, ...] | None = None
    source: str | None = None
    mirrors: tuple[str, ...] = ()
    image_size: int = Field(224, ge=16, le=1024)
    resize: Literal["crop", "squash"] = "crop"
    protocol: Name = "published"
    validation: float = Field(0.15, gt=0, lt=0.5)
    split_seed: int = 0
    options: dict[str, Scalar] = {}


class AccessSettings(_Settings):
    """How data may be fetched, which decides no result.

    Attributes:
        licences_accepted: Short names of the licences that the user accepts.
        mirrors: Further addresses of the dataset's archive.
    """

    licences_accepted: tuple[str, ...] = ()
    mirrors: tuple[str, ...] = ()


class PretrainingSettings(_Settings):
    """The quickstart's own pretraining on drawn images of a source domain (`weights: drawn`).

    Attributes:
        images: Number of drawn images.
        image_size: Their side in pixels.
        epochs: Passes over them.
        batch_size: Images per step.
        rate: Peak learning rate of AdamW, warmed up and decayed to zero along a cosine.
        seed: Seed of the drawing, the initialisation and the order of the images.
    """

    images: int = Field(4096, ge=1)
    image_size: int = Field(48, ge=16)
    epochs: int = Field(10, ge=1)
    batch_size: int = Field(64, ge=1)
    rate: float = Field(1e-3, gt=0)
    seed: int = 0


class BackboneSettings(_Settings):
    """The frozen backbone.

    Attributes:
        name: A timm vision transformer, with its pretrained tag: `vit_tiny_patch16_224.augreg_in21k`.
        weights: `hub` fetches the tag from timm's hub once, `drawn` trains on drawn images (quickstart), anything
            else is the path of a file, relative to `local_files`.
        arguments: Passed to `timm.create_model`: a smaller depth or patch size, say.
        pretraining: Used with `weights: drawn` alone.
    """

    name: str = "vit_tiny_patch16_224.augreg_in21k"
    weights: str = "hub"
    arguments: dict[str, Scalar] = {}
    pretraining: PretrainingSettings = PretrainingSettings()


class LoraSettings(_Settings):
    """Low-rank adapters: `W0 x + alpha/rank * B A x`.

    Attributes:
        targets: Adapted projections of every block. `q`, `k` and `v` are thirds of the fused `qkv`.
        rank: Rank of every adapter.
        alpha: Scale; the adapter's output is multiplied by `alpha / rank`.
    """

    targets: tuple[LoraTarget, ...] = ("q", "v")
    rank: int = Field(8, ge=1)
    alpha: float = Field(8.0, gt=0)

    @model_validator(mode="after")
    def _targets_do_not_overlap(self) -> "LoraSettings":
        if not self.targets or len(set(self.targets)) != len(self.targets):
            raise ValueError("name at least one target, each once")
        if "qkv" in self.targets and {"q", "k", "v"} & set(self.targets):
            raise ValueError("`qkv` adapts the fused projection: leave out `q`, `k` and `v`, or `qkv`")
        return self


class TrainingSettings(_Settings):
    """How one client trains in one round.

    Attributes:
        batch_size: Images per step; a round's last, smaller batch is used too.
        local_epochs: Passes over the client's training images per round.
        momentum: Momentum of SGD; its buffers start at zero in every round.
        weight_decay: Weight decay of SGD, on every trained leaf.
        precision: Of the frozen backbone. Leaves, their gradients and averages are float64 with `float64`, and float32
            otherwise; so are the adapters' own products.
    """

    batch_size: int = Field(32, ge=1)
    local_epochs: int = Field(1, ge=1)
    momentum: float = Field(0.0, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0)
    precision: Literal["float32", "float64", "bfloat16"] = "float32"


class AugmentationSettings(_Settings):
    """Random changes of the training images, drawn per image.

    Attributes:
        flip: Horizontal and vertical mirroring, each with probability one half.
        rotate: Quarter turns, each as likely as the others.
        brightness: Largest shift of all pixels, as a share of the full range.
        contrast: Largest relative change of the distance of pixels from their image's mean.
    """

    flip: bool = True
    rotate: bool = True
    brightness: float = Field(0.15, ge=0, le=1)
    contrast: float = Field(0.1, ge=0, lt=1)


class SelectionSettings(_Settings):
    """The rule that chooses a method's learning rate, on validation data only.

    Attributes:
        last_rounds: The validation score is averaged over this many last rounds.
    """

    last_rounds: int = Field(1, ge=1)


class Config(_Settings):
    """Everything that decides a result.

    Attributes:
        name: Results stand below `results/{name}/`, figures below `figures/{name}/`.
        title: One line for the report.
        federations: Federations by name.
        methods: Names of files in `methods/`; all of them where none are given.
        without: Of these, the ones that are left out: a file of one's own is run all the same.
        method_settings: Settings of single methods, by method and by setting.
        rates: The learning rates that every method is trained with: an equal budget for all.
        seeds: Seeds of initialisation, order of images and augmentation.
        rounds: Rounds of training and averaging.
        head: Whether the task head is averaged or stays with its client, where a method does not say it itself.
        averaging: Weights of the clients on the server: `samples` by their training images, `uniform` all the same.
        evaluate_every: Validation is measured after every so many rounds, and after the last.
        checkpoint_every: Lanes are stored after every so many rounds, and after the last.
        lanes: Most lanes trained together; `auto` lets the engine choose, 1 trains one run at a time.
        threads: Cores that one training may use on a CPU: it computes so many clients side by side.
        shards: Jobs that share the lanes of one training, one for each GPU.
        cuda_graphs: Whether a GPU records each step once and replays it, instead of being told every operation anew.
        device: `auto` takes a GPU where there is one.
        baselines: `reference` takes the rows that `results/reference/` holds and that nothing has changed for, instead
            of training them.
        appendix: Whether all rates are tested too, after selection, for the report's appendix.
        data_root: Where downloaded and drawn datasets are kept.
        local_files: A folder of files of one's own: where `source` and `weights` are looked up if they are relative.
        licences_accepted: Licences that the user has read and accepts, by their short names.
    """

    name: Name
    title: str = ""
    federations: dict[Name, FederationSettings] = Field(min_length=1)
    methods: tuple[Name, ...] | None = None
    without: tuple[Name, ...] = ()
    method_settings: dict[Name, dict[str, Scalar]] = {}
    rates: tuple[Rate, ...] = Field(min_length=1)
    seeds: tuple[int, ...] = Field((0,), min_length=1)
    rounds: int = Field(ge=1)
    backbone: BackboneSettings = BackboneSettings()
    lora: LoraSettings = LoraSettings()
    head: Literal["shared", "personal"] = "shared"
    averaging: Literal["samples", "uniform"] = "samples"
    training: TrainingSettings = TrainingSettings()
    augmentation: AugmentationSettings = AugmentationSettings()
    selection: SelectionSettings = SelectionSettings()
    evaluate_every: int = Field(1, ge=1)
    checkpoint_every: int = Field(5, ge=1)
    lanes: Lanes = "auto"
    threads: int = Field(1, ge=1)
    shards: int = Field(1, ge=1)
    cuda_graphs: bool = False
    device: Literal["auto", "cpu", "cuda"] = "auto"
    baselines: Literal["train", "reference"] = "train"
    appendix: bool = True
    data_root: str = "data"
    local_files: str = "."
    licences_accepted: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _lists_hold_each_once(self) -> "Config":
        for key in ("rates", "seeds", "methods", "without"):
            values: list[Any] = [float(v) if key == "rates" else v for v in getattr(self, key) or ()]
            if len(set(values)) != len(values):
                raise ValueError(f"{key} names a value twice: {list(getattr(self, key))}")
        if self.selection.last_rounds > self.rounds:
            raise ValueError(
                f"selection.last_rounds is {self.selection.last_rounds}, but there are {self.rounds} rounds"
            )
        return self


class TrainingJob(_Settings):
    """What decides the result of one `train` job, and nothing else: an edit elsewhere in a configuration reruns none.

    Attributes:
        federation: The federation's name.
        clients: Its clients; all that the pack holds where none are given.
        method: The method's name.
        method_settings: Its settings.
        rates: See `Config`; likewise all below.
        seeds: Likewise.
        rounds: Likewise.
        backbone: timm's name of the backbone.
        arguments: Passed to timm.
        lora: Likewise.
        head: Likewise.
        averaging: Likewise.
        training: Likewise.
        augmentation: Likewise.
        evaluate_every: Likewise.
    """

    federation: str
    clients: tuple[str, ...] | None
    method: str
    method_settings: dict[str, Scalar]
    rates: tuple[str, ...]
    seeds: tuple[int, ...]
    rounds: int
    backbone: str
    arguments: dict[str, Scalar]
    lora: LoraSettings
    head: Literal["shared", "personal"]
    averaging: Literal["samples", "uniform"]
    training: TrainingSettings
    augmentation: AugmentationSettings
    evaluate_every: int


class RunningSettings(_Settings):
    """How one `train` job runs, which decides no result.

    Attributes:
        lanes: See `Config`; likewise all below.
        threads: Likewise.
        device: Likewise.
        checkpoint_every: Likewise.
        cuda_graphs: Likewise.
    """

    lanes: Lanes = "auto"
    threads: int = Field(1, ge=1)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    checkpoint_every: int = Field(5, ge=1)
    cuda_graphs: bool = False


def parse(values: Mapping[str, Any], where: str = "configuration") -> Config:
    """Validate a configuration.

    Args:
        values: The parsed YAML.
        where: What error messages call it: usually the file.

    Returns:
        The configuration, with every default filled in.

    Raises:
        ConfigError: One line for each fault.
    """
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        faults: list[dict[str, Any]] = [dict(fault) for fault in error.errors()]
        places: list[tuple[Any, ...]] = [fault["loc"] for fault in faults]
        deepest = [f for f, at in zip(faults, places, strict=True) if sum(at == p[: len(at)] for p in places) == 1]
        raise ConfigError("\n".join(_line(where, fault) for fault in deepest)) from None


def read(path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Read a configuration file as Snakemake does, without validating it.

    Args:
        path: The YAML file.
        overrides: Settings that replace the file's, as Snakemake's `--config` takes them: `key=value`, the value being
            YAML.

    Returns:
        The settings.

    Raises:
        ConfigError: The file is absent or no YAML, or an override is not of this form.
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
        try:
            values[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            sign = ""
        if not sign:
            raise ConfigError(f"--config {text}: give key=value")
    return values


def load(path: Path) -> Config:
    """Read and validate a configuration file.

    Args:
        path: The YAML file.

    Returns:
        The configuration, with every default filled in.

    Raises:
        ConfigError: The file is absent, no YAML, or no valid configuration.
    """
    return parse(read(path), str(path))


def _line(where: str, fault: dict[str, Any]) -> str:
    """One fault of pydantic's as one line: where, what is wrong, which value, what is allowed."""
    location = [part for part in fault["loc"] if part != "[key]" and not str(part).startswith("function-")]
    # A key that is no readable text must not break the line.
    named = ".".join(str(part) if str(part).isprintable() else repr(part) for part in location)
    place = f"{where}: {named}: " if location else f"{where}: "
    if fault["type"] == "extra_forbidden":
        return f"{place}there is no such setting; allowed here: {', '.join(_fields(location[:-1]))}"
    if fault["type"] == "missing":
        return f"{place}this setting is required"
    value = "" if isinstance(fault["input"], dict | BaseModel) else f" (got {fault['input']!r})"
    return f"{place}{fault['msg'].removeprefix('Value error, ')}{value}"


def _fields(location: list[Any]) -> list[str]:
    """The settings that exist at a place in the configuration."""
    model: Any = Config
    if location[:1] == ["federations"]:
        model = FederationSettings  # What follows is the federation's own name.
    else:
        for part in location:
            model = model.model_fields[part].annotation
    return sorted(model.model_fields)
