"""The settings that training depends on: the network, its adapters, the optimiser, and changes of images.

What the engine computes follows from these and from nothing else of a configuration, so that they stand in a module of
their own: another setting elsewhere trains nothing again.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

LoraTarget = Literal["q", "k", "v", "qkv", "proj", "fc1", "fc2"]


def _scalar(value: Any) -> Any:
    """A setting of a method or a dataset: a text that reads as a number, or as true or false, is that.

    Snakemake's `--config` makes texts of all that stands in braces, and YAML of numbers such as 1e-3.
    """
    if isinstance(value, str) and value in ("true", "false"):
        return value == "true"
    if isinstance(value, str) and re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", value):
        return int(value) if re.fullmatch(r"[+-]?\d+", value) else float(value)
    if isinstance(value, bool | int | float | str):
        return value
    raise ValueError("allowed are a number, true, false and a text")


Scalar = Annotated[bool | int | float | str, BeforeValidator(_scalar)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


def _revision(value: Any) -> str:
    """A commit in full: what a name of a branch, or the first digits, stand for may change."""
    if isinstance(value, str) and re.fullmatch(_COMMIT, value):
        return value
    raise ValueError("a revision is a commit in full, 40 digits from 0-9 and a-f (in quotes), or empty")


_COMMIT = r"^([0-9a-f]{40})?$"
Revision = Annotated[str, BeforeValidator(_revision, json_schema_input_type=Annotated[str, Field(pattern=_COMMIT)])]


class Settings(BaseModel):
    """Settings are immutable, and a key that does not exist is an error rather than a setting without effect."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class BackboneSettings(Settings):
    """The network and its pretrained weights."""

    network: Name = "vit"
    """The network's module in `benchmark/models/`: `vit` is timm's vision transformers, `unet` a U-Net for masks, which
    is trained whole, `sam` the Segment Anything model without prompts, or a file of one's own."""
    name: str = "vit_tiny_patch16_224.augreg_in21k"
    """Which variant of the network; of `vit`, timm's name of a vision transformer, with its pretrained tag; of
    `sam`, `sam_vit_base`, `mobile_sam` or `sam_tiny`."""
    weights: str = "hub"
    """Of `vit`: `hub` fetches the tag from timm's hub once, `drawn` takes the project's own small transformer,
    pretrained on drawn images (quickstart), anything else is the path of a file, relative to `local_files`. Of `unet`:
    `drawn` are random weights. Of `sam`: `hub` fetches `facebook/sam-vit-base`, `drawn` pretrains on drawn shapes."""
    revision: Revision = ""
    """Of `vit` with `weights: hub`: which commit of timm's repository, all its 40 digits. Without one, FedOPAL's
    ViT-Tiny is of the commit that the project knows, and any other the newest when it is fetched."""
    arguments: dict[str, Scalar] = {}
    """Of `vit`: passed to `timm.create_model`, such as a smaller depth or patch size. Of `unet`: `channels` of its
    first stage (16), `levels` (4), `norm` (`batch` or `group`) and `inputs`, channels of the images (3). Of `sam`:
    `normalisation` (`sam`, or `published` as in FLAP-SAM's code) and sizes, see the class."""
    seed: int = 0
    """Of `unet`: seed of random weights; of `sam`, where they are drawn, of the drawing and the training too."""

    @model_validator(mode="after")
    def _revisions_are_of_timms_hub(self) -> "BackboneSettings":
        if self.revision and (self.network, self.weights) != ("vit", "hub"):
            raise ValueError(
                f"`revision` is a commit of timm's weights on the hub, and these are of `{self.network}` from "
                f"`{self.weights}`: leave it out, or set `network: vit` and `weights: hub`"
            )
        return self


class LoraSettings(Settings):
    """Low-rank adapters: `W0 x + alpha/rank * B A x`."""

    targets: tuple[LoraTarget, ...] = ("q", "v")
    """Adapted projections of every block. `q`, `k` and `v` are thirds of the fused `qkv`."""
    rank: int = Field(8, ge=1)
    """Rank of every adapter."""
    alpha: float = Field(8.0, gt=0)
    """Scale; the adapter's output is multiplied by `alpha / rank`."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of the adapters' inputs that is set to zero in a step of training. The others are divided by 1 -
    dropout. All adapters of a layer see the same inputs."""

    @model_validator(mode="after")
    def _targets_do_not_overlap(self) -> "LoraSettings":
        if not self.targets or len(set(self.targets)) != len(self.targets):
            raise ValueError("name at least one target, each once")
        if "qkv" in self.targets and {"q", "k", "v"} & set(self.targets):
            raise ValueError("`qkv` adapts the fused projection: leave out `q`, `k` and `v`, or `qkv`")
        return self


class InitialisationSettings(Settings):
    """What adapters and heads begin with. LoRA's B and biases begin at zero."""

    lora: Literal["kaiming", "gaussian"] = "kaiming"
    """How LoRA's A is drawn, as in PEFT: `kaiming` is uniform in (-1/sqrt(in), 1/sqrt(in)), `gaussian` is normal
    with the standard deviation 1/rank."""
    head: float = Field(0.02, ge=0)
    """Standard deviation of the normal distribution that a head's weights are drawn from."""


class OptimiserSettings(Settings):
    """What is done with gradients: torch.optim's SGD, Adam or AdamW, at one of `rates`."""

    name: Literal["sgd", "adam", "adamw"] = "sgd"
    """Which optimiser."""
    momentum: float = Field(0.0, ge=0, lt=1)
    """Of SGD."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Of Adam and AdamW: how much of the running means of gradients, and of their squares, each step keeps."""
    eps: float = Field(1e-8, gt=0)
    """Of Adam and AdamW: what is added to the root of the mean square."""
    amsgrad: bool = False
    """Of Adam and AdamW: whether the largest mean square so far takes the place of the present one (arXiv
    1904.09237)."""
    weight_decay: float = Field(0.0, ge=0)
    """Pulls every trained tensor towards zero. AdamW shrinks it by rate times weight_decay; SGD and Adam add
    weight_decay times the tensor to its gradient."""
    state: Literal["anew", "kept"] = "anew"
    """`anew` sets momentum and running means to zero in every round, and before each pass of a method that has
    several in a round; `kept` keeps them with the client."""
    schedule: Literal["constant", "cosine", "polynomial"] = "constant"
    """What the rate is multiplied with at step s of the S steps that a client takes in all rounds: `constant`, 1;
    `cosine`, from 1 to 0 along half a wave; `polynomial`, (1 - s/S) ** power. The warm-up counts neither in s nor in
    S. Fine-tuning after the last round begins the schedule, and the warm-up, anew."""
    warmup: int = Field(0, ge=0)
    """How many of the client's first steps are a warm-up, in which the rate rises to its full value in equal parts."""
    power: float = Field(1.0, gt=0)
    """Of `polynomial`."""
    decay_rounds: int | None = Field(None, ge=1)
    """Of `cosine` and `polynomial`: S is then the steps of so many rounds, at least as many as there are; with more of
    them training ends before the rate has fallen to 0."""

    @model_validator(mode="after")
    def _only_what_the_optimiser_has(self) -> "OptimiserSettings":
        if self.name == "sgd" and self.amsgrad:
            raise ValueError("`amsgrad` is a setting of adam and adamw, not of sgd")
        if self.name != "sgd" and self.momentum:
            raise ValueError(f"`momentum` is a setting of sgd; {self.name} has `betas`")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"`betas` are {self.betas}; allowed are numbers from 0 and below 1")
        if self.schedule == "constant" and self.decay_rounds:
            raise ValueError("`decay_rounds` is a setting of the schedules cosine and polynomial, not of constant")
        return self

    @property
    def scheduled(self) -> bool:
        """Whether the rate changes in the course of a run."""
        return self.schedule != "constant" or self.warmup > 0


class TrainingSettings(Settings):
    """How one client trains in one round."""

    batch_size: int = Field(32, ge=1)
    """Images per step; a round's last, smaller batch is used too."""
    stack: int = Field(1, ge=1)
    """Of slices of volumes, how many a training sample is: 5 takes each slice with two before and two after it, all of
    them images of the step, moved alike; an odd number. Images are predicted one by one, so that this changes training
    alone, and its time: as FLAP-SAM's code trains, with `batch_size` stacks in a step."""
    local_epochs: int = Field(1, ge=1)
    """Passes over the client's training images per round."""
    optimiser: OptimiserSettings = OptimiserSettings()
    """What is done with gradients."""
    precision: Literal["float32", "float64", "bfloat16"] = "float32"
    """Of the frozen network. What is trained, its gradients and averages are float64 with `float64`, and float32
    otherwise; so are the adapters' own products."""

    @field_validator("stack")
    @classmethod
    def _has_a_slice_in_the_middle(cls, given: int) -> int:
        if given % 2 == 0:
            raise ValueError("a stack has as many slices before its own as after it: set an odd number")
        return given


class AugmentationSettings(Settings):
    """Random changes of the training images, drawn per image."""

    flip: bool = True
    """Horizontal and vertical mirroring, each with probability one half."""
    rotate: bool = True
    """Quarter turns, each as likely as the others."""
    brightness: float = Field(0.15, ge=0, le=1)
    """Largest shift of all pixels, as a share of the full range."""
    contrast: float = Field(0.1, ge=0, lt=1)
    """Largest relative change of the distance of pixels from their image's mean."""
    half: bool = False
    """Whether mirroring and quarter turns are of half the images alone: these are mirrored once, and turned by none to
    three quarters."""
    turn: int = Field(0, ge=0, le=180)
    """Of half the images: largest turn about the middle, in whole degrees; what comes from outside is black."""
    gamma: tuple[float, float] = (1.0, 1.0)
    """Of half the images: the smallest and the largest gamma; a pixel v in [0, 1] becomes v ** (1 / gamma)."""
    erase: tuple[float, float] = (0.0, 0.0)
    """Of half the images: the smallest and the largest share of the pixels that is replaced by noise, a rectangle;
    its labels become background."""
    others: int = Field(0, ge=0, le=10)
    """How many of ten further changes, each once at most: two shears, scale, two shifts, fewer grey levels, contrast,
    brightness, sharpness, none. As strong as FLAP-SAM's, see `benchmark/data/changes.py`."""

    @model_validator(mode="after")
    def _ranges_are_ranges(self) -> "AugmentationSettings":
        for name, (low, high), most in (("gamma", self.gamma, 10.0), ("erase", self.erase, 0.3)):
            least = 0.1 if name == "gamma" else 0.0
            if not least <= low <= high <= most:
                raise ValueError(
                    f"`{name}` is [{low}, {high}]; allowed are two numbers from {least} to {most} in order"
                )
        if self.half and not (self.flip and self.rotate):
            raise ValueError("`half` is about mirroring and quarter turns together: leave `flip` and `rotate` true")
        return self

    @property
    def changes(self) -> bool:
        """Whether images are changed at all."""
        return bool(self.flip or self.rotate or self.brightness or self.contrast) or self.further

    @property
    def further(self) -> bool:
        """Whether images are changed beyond mirroring, quarter turns, brightness and contrast."""
        return bool(self.turn or self.erase[1] or self.others) or self.gamma != (1.0, 1.0)
