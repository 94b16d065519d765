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


Rate = Annotated[str, BeforeValidator(_rate, json_schema_input_type=float | str)]
Lanes = Annotated[
    int | str, BeforeValidator(_lanes, json_schema_input_type=Literal["auto"] | Annotated[int, Field(ge=1)])
]
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
    """The network and its pretrained weights.

    Attributes:
        network: The network's module in `benchmark/models/`: `vit` is timm's vision transformers, or a file of one's
            own.
        name: Which variant of the network; of `vit`, timm's name of a vision transformer, with its pretrained tag.
        weights: Of `vit`: `hub` fetches the tag from timm's hub once, `drawn` trains on drawn images (quickstart),
            anything else is the path of a file, relative to `local_files`.
        arguments: Of `vit`: passed to `timm.create_model`, such as a smaller depth or patch size.
        pretraining: Used with `weights: drawn` alone.
    """

    network: Name = "vit"
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
        dropout: Share of the adapters' inputs that is set to zero in a step of training. The others are divided by
            1 - dropout. All adapters of a layer see the same inputs.
    """

    targets: tuple[LoraTarget, ...] = ("q", "v")
    rank: int = Field(8, ge=1)
    alpha: float = Field(8.0, gt=0)
    dropout: float = Field(0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _targets_do_not_overlap(self) -> "LoraSettings":
        if not self.targets or len(set(self.targets)) != len(self.targets):
            raise ValueError("name at least one target, each once")
        if "qkv" in self.targets and {"q", "k", "v"} & set(self.targets):
            raise ValueError("`qkv` adapts the fused projection: leave out `q`, `k` and `v`, or `qkv`")
        return self


class InitialisationSettings(_Settings):
    """What adapters and heads begin with. LoRA's B and biases begin at zero.

    Attributes:
        lora: How LoRA's A is drawn, as in PEFT: `kaiming` is uniform in (-1/sqrt(in), 1/sqrt(in)), `gaussian` is
            normal with the standard deviation 1/rank.
        head: Standard deviation of the normal distribution that a head's weights are drawn from.
    """

    lora: Literal["kaiming", "gaussian"] = "kaiming"
    head: float = Field(0.02, ge=0)


class OptimiserSettings(_Settings):
    """What is done with gradients: torch.optim's SGD, Adam or AdamW, at one of `rates`.

    Attributes:
        name: Which optimiser.
        momentum: Of SGD.
        betas: Of Adam and AdamW: how much of the running means of gradients, and of their squares, each step keeps.
        eps: Of Adam and AdamW: what is added to the root of the mean square.
        amsgrad: Of Adam and AdamW: whether the largest mean square so far takes the place of the present one (arXiv
            1904.09237).
        weight_decay: Pulls every trained tensor towards zero. AdamW shrinks it by rate times weight_decay; SGD and Adam
            add weight_decay times the tensor to its gradient.
        state: `anew` sets momentum and running means to zero in every round, and before each pass of a method that has
            several in a round; `kept` keeps them with the client.
        schedule: What the rate is multiplied with at step s of the S steps that a client takes in all rounds:
            `constant`, 1; `cosine`, from 1 to 0 along half a wave; `polynomial`, (1 - s/S) ** power. The warm-up counts
            neither in s nor in S. Fine-tuning after the last round begins the schedule, and the warm-up, anew.
        warmup: How many of the client's first steps are a warm-up, in which the rate rises to its full value in equal
            parts.
        power: Of `polynomial`.
    """

    name: Literal["sgd", "adam", "adamw"] = "sgd"
    momentum: float = Field(0.0, ge=0, lt=1)
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = Field(1e-8, gt=0)
    amsgrad: bool = False
    weight_decay: float = Field(0.0, ge=0)
    state: Literal["anew", "kept"] = "anew"
    schedule: Literal["constant", "cosine", "polynomial"] = "constant"
    warmup: int = Field(0, ge=0)
    power: float = Field(1.0, gt=0)

    @model_validator(mode="after")
    def _only_what_the_optimiser_has(self) -> "OptimiserSettings":
        if self.name == "sgd" and self.amsgrad:
            raise ValueError("`amsgrad` is a setting of adam and adamw, not of sgd")
        if self.name != "sgd" and self.momentum:
            raise ValueError(f"`momentum` is a setting of sgd; {self.name} has `betas`")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"`betas` are {self.betas}; allowed are numbers from 0 and below 1")
        return self

    @property
    def scheduled(self) -> bool:
        """Whether the rate changes in the course of a run."""
        return self.schedule != "constant" or self.warmup > 0


class TrainingSettings(_Settings):
    """How one client trains in one round.

    Attributes:
        batch_size: Images per step; a round's last, smaller batch is used too.
        local_epochs: Passes over the client's training images per round.
        optimiser: What is done with gradients.
        precision: Of the frozen network. What is trained, its gradients and averages are float64 with `float64`, and
            float32 otherwise; so are the adapters' own products.
    """

    batch_size: int = Field(32, ge=1)
    local_epochs: int = Field(1, ge=1)
    optimiser: OptimiserSettings = OptimiserSettings()
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


class VariantSettings(_Settings):
    """A row of its own: a method with another policy for the head, or with other settings.

    Attributes:
        method: The method.
        head: Whether its head is averaged or stays with its client; only where the method does not say it itself.
        settings: Settings of the method, over those in `method_settings`.
        title: What is added to the method's title, in brackets; head and settings where none is given.
    """

    method: Name
    head: Literal["shared", "personal"] | None = None
    settings: dict[Name, Scalar] = {}
    title: str = ""

    @property
    def described(self) -> str:
        """What is added to the method's title."""
        head = [f"{self.head} head"] if self.head else []
        return self.title or ", ".join([*head, *(f"{name} {value}" for name, value in self.settings.items())])


class Config(_Settings):
    """Everything that decides a result.

    Attributes:
        name: Results stand below `results/{name}/`, figures below `figures/{name}/`.
        title: One line for the report.
        federations: Federations by name.
        methods: Groups (folders of `methods/`) and single methods by name; all groups where none are given. One's own
            files, in `methods/` itself, run whatever is named here.
        own: Which of one's own files run, by their names; all of them where none are given.
        method_settings: Settings of single methods, by method and by setting.
        variants: Further rows by name: a method once more, with another policy for the head or other settings.
        rates: The learning rates that every method is trained with: an equal budget for all.
        seeds: Seeds of initialisation, order of images and augmentation.
        rounds: Rounds of training and averaging.
        trains: What is trained: `lora` (adapters), `head`, and weights of the network itself. The network `vit` has
            `norm`, `attention`, `backbone` (the other weights), `last_block`, and `all` (every weight of its own, and
            the head). Where a method's paper fixes it, the method's file says so and this does not count.
        initialisation: What adapters and heads begin with.
        tasks: Settings of tasks, by the task's name and the setting's: `{classification: {loss: focal, gamma: 2.0}}`.
            `docs/protocol.md` explains the losses.
        head: Whether the task head is averaged (`shared`) or stays with its client (`personal`), where a method does
            not say it itself. `both` runs such methods with either: `fedit`, and `fedit_personal_head`.
        averaging: Weights of the clients on the server: `samples` by their training images, `uniform` all the same;
            where a method does not say it itself.
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
    own: tuple[Name, ...] | None = None
    method_settings: dict[Name, dict[str, Scalar]] = {}
    variants: dict[Name, VariantSettings] = {}
    rates: tuple[Rate, ...] = Field(min_length=1)
    seeds: tuple[int, ...] = Field((0,), min_length=1)
    rounds: int = Field(ge=1)
    backbone: BackboneSettings = BackboneSettings()
    lora: LoraSettings = LoraSettings()
    trains: tuple[Name, ...] = Field(("lora", "head"), min_length=1)
    initialisation: InitialisationSettings = InitialisationSettings()
    tasks: dict[Name, dict[str, Scalar]] = {}
    head: Literal["shared", "personal", "both"] = "shared"
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
        for key in ("rates", "seeds", "methods", "own", "trains"):
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
        method: The row's name: the method's, or that of a variant.
        variant: What a variant adds to the method's title.
        method_settings: The method's settings.
        task: Settings of the federation's task.
        rates: See `Config`; likewise all below.
        seeds: Likewise.
        rounds: Likewise.
        network: The network's module.
        backbone: Its name, as the network's own library has it.
        arguments: Passed to that library.
        lora: Likewise.
        trains: Likewise.
        initialisation: Likewise.
        head: Likewise.
        averaging: Likewise.
        training: Likewise.
        augmentation: Likewise.
        evaluate_every: Likewise.
    """

    federation: str
    clients: tuple[str, ...] | None
    method: str
    variant: str = ""
    method_settings: dict[str, Scalar]
    task: dict[str, Scalar] = {}
    rates: tuple[str, ...]
    seeds: tuple[int, ...]
    rounds: int
    network: str = "vit"
    backbone: str
    arguments: dict[str, Scalar]
    lora: LoraSettings
    trains: tuple[str, ...] = ("lora", "head")
    initialisation: InitialisationSettings = InitialisationSettings()
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
            YAML. A mapping replaces the keys that it has.

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
            values = _merged(values, {key: yaml.safe_load(value)})
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
    if fault["type"] == "extra_forbidden":
        return f"{place}there is no such setting; allowed here: {', '.join(_fields(location[:-1]))}"
    if fault["type"] == "missing":
        return f"{place}this setting is required"
    value = "" if isinstance(fault["input"], dict | BaseModel) else f" (got {fault['input']!r})"
    return f"{place}{fault['msg'].removeprefix('Value error, ')}{value}"


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
