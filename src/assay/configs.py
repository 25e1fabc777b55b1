"""One source of configuration: frozen, validated dataclasses.

Command-line flags, the table in the documentation and the record of each run are made from the fields here:
type, default, unit, range and help stand beside each other. Standard library only, as ``assay.config``.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from assay.config import Config, option
from assay.errors import ConfigError
from assay.tables import suggest

HEADS = ("class", "tags", "boxes", "masks", "pixels")
"""What a network can tell of a picture."""


@dataclass(frozen=True)
class ReadConfig(Config):
    """How a data set is read: names of columns, for tables."""

    format: str | None = option(None, "data format; recognised by itself when not given", group="data")
    path_column: str | None = option(
        None, "column with picture paths (default: path, image, file, filename)", group="data"
    )
    label_column: str | None = option(
        None, "column with the label (default: label, class, category)", group="data"
    )
    labels_column: str | None = option(None, "column with several labels, separated by | or ;", group="data")
    part_column: str | None = option(
        None, "column with train / validation / test (default: part, split)", group="data"
    )
    group_column: str | None = option(
        None, "column whose values must not be torn apart by a split: seller, patient", group="data"
    )
    root: str | None = option(
        None, "folder that relative picture paths start from (default: the table's own)", group="data"
    )
    class_depth: int | None = option(
        None,
        "image folders: levels of folders that make the class (default: down to the one that holds pictures)",
        low=1,
        high=32,
        group="data",
    )
    missing_labels: str = option(
        "unlabelled",
        "YOLO, VOC: what a picture without a label file is; background: looked at, with nothing in it",
        choices=("unlabelled", "background"),
        group="data",
    )


@dataclass(frozen=True)
class SplitConfig(Config):
    """How rows are dealt to train, validation and test where the data names no parts."""

    validation: float = option(
        0.15, "share of pictures for choosing and calibrating", low=0.0, high=0.9, group="split"
    )
    test: float = option(0.15, "share of pictures for the last word", low=0.0, high=0.9, group="split")
    by_group: bool = option(
        True, "keep the rows of one group in one part, where there is a group column", group="split"
    )
    salt: int | None = option(
        None, "fixes the split; found by itself when not given, and written down", low=0, group="split"
    )


@dataclass(frozen=True)
class PreprocessConfig(Config):
    """What happens to a decoded picture before the network sees it. Travels in the Bundle."""

    size: int = option(
        160,
        "side of the square the network sees; 320 where boxes or pixels are learned",
        low=8,
        high=4096,
        unit="px",
        group="preprocess",
    )
    colour: str = option("rgb", "what the network sees", choices=("rgb", "gray"), group="preprocess")
    resize: str = option(
        "crop",
        "stretch; letterbox (pad the short side; the one for other heads than the class); crop (centre)",
        choices=("stretch", "letterbox", "crop"),
        group="preprocess",
    )
    crop_share: float = option(
        1.0, "crop: share of the short side that the square covers", low=0.1, high=1.0, group="preprocess"
    )
    interpolation: str = option(
        "bilinear",
        "how pixels are resampled, always antialiased",
        choices=("nearest", "box", "bilinear", "bicubic", "lanczos"),
        group="preprocess",
    )
    smoothing: str = option(
        "none",
        "filter before resizing",
        choices=("none", "gaussian", "median", "bilateral"),
        group="preprocess",
    )
    smoothing_strength: float = option(
        1.0, "sigma (gaussian), radius (median, bilateral)", low=0.1, high=20.0, unit="px", group="preprocess"
    )
    pad_value: int = option(114, "grey level of letterbox borders", low=0, high=255, group="preprocess")
    decode: str = option(
        "exact",
        "JPEG files: exact (every pixel is decoded, then resized); scaled (smaller from the start, as far as size "
        "allows: faster, pixels differ a little)",
        choices=("exact", "scaled"),
        group="preprocess",
    )
    mean: tuple[float, ...] = option(
        (0.485, 0.456, 0.406), "subtracted, after scaling pixels to 0..1", group="preprocess"
    )
    std: tuple[float, ...] = option((0.229, 0.224, 0.225), "divided by", low=1e-6, group="preprocess")


@dataclass(frozen=True)
class AugmentConfig(Config):
    """Random changes of training pictures. Evaluation never uses them."""

    crop_scale: tuple[float, ...] = option(
        (0.35, 1.0),
        "classifiers: random resized crop, least and greatest share of the area",
        low=0.01,
        high=1.0,
        group="augment",
    )
    crop_ratio: tuple[float, ...] = option(
        (0.75, 1.3333),
        "classifiers: random resized crop, least and greatest width / height",
        low=0.1,
        high=10.0,
        group="augment",
    )
    flip: float = option(0.5, "chance of a left-right flip", low=0.0, high=1.0, group="augment")
    flip_vertical: float = option(0.0, "chance of an upside-down flip", low=0.0, high=1.0, group="augment")
    colour_jitter: float = option(
        0.0,
        "strength of random brightness, contrast, saturation, hue; 0.3 with other heads than the class",
        low=0.0,
        high=1.0,
        group="augment",
    )
    trivial: bool = option(
        True,
        "classifiers: TrivialAugment (Mueller and Hutter 2021), one random operation a picture",
        group="augment",
    )
    erase: float = option(0.0, "classifiers: chance of random erasing", low=0.0, high=1.0, group="augment")
    blur: float = option(
        0.0, "classifiers: chance of a random Gaussian blur", low=0.0, high=1.0, group="augment"
    )
    noise: float = option(
        0.0, "classifiers: chance of random Gaussian noise", low=0.0, high=1.0, group="augment"
    )
    mosaic: float = option(
        0.5,
        "boxes, pixels: chance that a picture is joined with three others; 0.2 beside class or tags",
        low=0.0,
        high=1.0,
        group="augment",
    )
    mosaic_scale: tuple[float, ...] = option(
        (0.4, 1.0),
        "mosaic: least and greatest size of each picture; 1 fits the whole square",
        low=0.05,
        high=4.0,
        group="augment",
    )
    mosaic_until: float = option(
        0.7, "mosaic: share of the run after which there is none", low=0.0, high=1.0, group="augment"
    )
    zoom: tuple[float, ...] = option(
        (0.5, 1.5),
        "other heads than the class: least and greatest size of a picture alone; 1 fits the square",
        low=0.05,
        high=8.0,
        group="augment",
    )
    shift: float = option(
        1.0,
        "other heads than the class: how far from the middle the crop may lie; 0 not at all, 1 anywhere",
        low=0.0,
        high=1.0,
        group="augment",
    )
    rare: float = option(
        0.33,
        "pixels: chance that a crop is drawn towards a pixel of a rare class",
        low=0.0,
        high=1.0,
        group="augment",
    )
    least_left: float = option(
        0.2,
        "boxes: share of a thing that a crop must leave for it to stay an example",
        low=0.0,
        high=1.0,
        group="augment",
    )
    least_side: float = option(
        1.0, "boxes: a thing narrower than this is no example", low=0.0, high=64.0, unit="px", group="augment"
    )
    mixup: float = option(0.0, "classifiers: alpha of mixup; 0 is off", low=0.0, high=10.0, group="augment")
    cutmix: float = option(0.0, "classifiers: alpha of cutmix; 0 is off", low=0.0, high=10.0, group="augment")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("zoom", "mosaic_scale"):
            values = getattr(self, name)
            if len(values) != 2 or values[0] > values[1]:
                raise ConfigError(
                    f"{name} is a least and a greatest value", got=str(values), fix=f"e.g. {name}=0.5,1"
                )


@dataclass(frozen=True)
class ModelConfig(Config):
    """Which network, how large, and from which weights."""

    model: str = option(
        "csp-nano", "name of a network: `assay models` lists them; any timm name works", group="model"
    )
    width: float | None = option(
        None,
        "cnn, resnet9: channels of the first stage; rnn: hidden units; csp: factor on all widths",
        low=0.1,
        high=1024,
        group="model",
    )
    depth: float | None = option(
        None,
        "cnn, resnet9: number of stages; rnn: layers; csp: factor on all depths",
        low=0.1,
        high=100,
        group="model",
    )
    dropout: float = option(
        0.0, "chance of dropping a feature before the last layer", low=0.0, high=0.95, group="model"
    )
    drop_path: float = option(
        0.0, "chance of skipping a block, where the network has it", low=0.0, high=0.95, group="model"
    )
    weights: str | None = option(
        None, "local weights to start from: .safetensors, .pth (read with weights_only)", group="model"
    )
    pretrained: bool = option(
        False, "timm: fetch published weights; the one option that uses the network", group="model"
    )
    model_options: tuple[str, ...] = option(
        (), "more of timm's own options as key=value, e.g. pad_type=same", group="model"
    )
    heads: tuple[str, ...] | None = option(
        None,
        "what it learns to tell: class, tags, boxes, masks, pixels; all that the data has labels for when not given",
        group="model",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.heads is None:
            return
        for name in self.heads:
            if name not in HEADS:
                raise ConfigError(f"unknown head {name!r}", fix=suggest(name, list(HEADS)))
        if not self.heads:
            raise ConfigError("no head is named", fix=f"some of {', '.join(HEADS)}; or leave heads out")
        object.__setattr__(self, "heads", tuple(name for name in HEADS if name in self.heads))


@dataclass(frozen=True)
class TrainConfig(Config):
    """The training itself. None means: decided from the data, the network and this machine, and written down."""

    epochs: int | None = option(None, "passes over the training part", low=1, group="train")
    minutes: float | None = option(
        None,
        "wall-clock budget for everything, final evaluation included",
        low=0.05,
        unit="min",
        group="train",
    )
    batch: int = option(
        32,
        "pictures a step (with boxes or pixels 16 at 320 px, up to 64 of smaller ones)",
        low=1,
        high=65536,
        group="train",
    )
    accumulate: int = option(1, "steps whose gradients are added up before an update", low=1, group="train")
    optimiser: str = option(
        "adamw",
        "name of the optimiser",
        choices=("sgd", "adam", "adamw", "rmsprop", "nadam", "radam"),
        group="train",
    )
    lr: float | None = option(
        None, "peak learning rate; by the recipe when not given", low=0.0, group="train"
    )
    find_lr: bool = option(False, "run a learning-rate range test first and use its answer", group="train")
    weight_decay: float = option(
        0.05, "decoupled for adamw, L2 for the others; never on norms and biases", low=0.0, group="train"
    )
    momentum: float = option(0.9, "sgd (Nesterov) and rmsprop", low=0.0, high=0.9999, group="train")
    schedule: str = option(
        "cosine",
        "learning rate over the run",
        choices=("cosine", "one-cycle", "step", "constant"),
        group="train",
    )
    warmup: float = option(
        0.05, "share of the run with rising learning rate", low=0.0, high=0.9, group="train"
    )
    ema: bool = option(
        True,
        "also keep a moving average of the weights; the better of both on validation is kept",
        group="train",
    )
    ema_half_life: float = option(
        0.05, "half-life of that average, as a share of the run", low=0.0001, high=1.0, group="train"
    )
    precision: str | None = option(
        None,
        "arithmetic; the faster one on this machine when not given",
        choices=("fp32", "bf16"),
        group="train",
    )
    channels_last: bool = option(True, "memory layout that CPUs and tensor cores like", group="train")
    clip: float = option(1.0, "greatest norm of the gradient; 0 is off", low=0.0, group="train")
    loss: str = option(
        "cross-entropy", "what is minimised", choices=("cross-entropy", "focal"), group="train"
    )
    label_smoothing: float = option(0.0, "harms abstention, so off", low=0.0, high=0.5, group="train")
    imbalance: str = option(
        "none",
        "rare classes: sample them more often, weigh them more, or adjust logits by the prior",
        choices=("none", "sampling", "weights", "logit-adjustment"),
        group="train",
    )
    transfer: str | None = option(
        None,
        "with weights: train all, only the head (frozen), or head first and then all (both for classifiers)",
        choices=("all", "frozen", "probe-then-all"),
        group="train",
    )
    layer_decay: float | None = option(
        None, "factor on the learning rate from each block to the one below", low=0.1, high=1.0, group="train"
    )
    progressive: bool | None = option(
        None, "smaller pictures first; on in time-boxed runs when not given", group="train"
    )
    patience: int | None = option(
        None, "stop an epoch run after so many epochs without a better validation loss", low=1, group="train"
    )
    seed: int = option(0, "of order, augmentation and initial weights", low=0, group="train")
    workers: int | None = option(
        None,
        "threads that prepare pictures; by the number of cores when not given",
        low=1,
        high=256,
        group="train",
    )
    cache_gb: float = option(
        4.0, "most disk for decoded pictures; more are decoded each time", low=0.0, unit="GB", group="train"
    )
    baselines: bool = option(True, "also measure the majority class and a colour histogram", group="train")
    checkpoint_s: float = option(
        60.0, "longest time between two checkpoints", low=0.0, unit="s", group="train"
    )


@dataclass(frozen=True)
class Recipe(Config):
    """Everything that a training run was asked for; stored in the run and in the Bundle's card."""

    read: ReadConfig = field(default_factory=ReadConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    preprocess: PreprocessConfig = field(default_factory=PreprocessConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Recipe:
        """Deal flat options (``model="cnn", minutes=3``) to the sections; field names are unique over all of them."""
        sections = sections_of(cls)
        homes = {f.name: name for name, section in sections.items() for f in dataclasses.fields(section)}  # type: ignore[arg-type]
        dealt: dict[str, dict[str, Any]] = {name: {} for name in sections}
        for name, value in options.items():
            if name not in homes:
                raise ConfigError(f"unknown option {name!r}", fix=suggest(name, list(homes)))
            dealt[homes[name]][name] = value
        built: dict[str, Any] = {name: section.from_dict(dealt[name]) for name, section in sections.items()}
        return cls(**built)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of ``to_dict``."""
        sections = sections_of(cls).items()
        built: dict[str, Any] = {name: section.from_dict(values[name]) for name, section in sections}
        return cls(**built)


def sections_of(config: type[Recipe]) -> dict[str, type[Config]]:
    """Section name -> config class, in order."""
    hints = typing.get_type_hints(config)
    return {f.name: hints[f.name] for f in dataclasses.fields(config)}
