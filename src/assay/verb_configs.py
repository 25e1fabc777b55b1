"""Configs of single verbs: what is rendered, examined, cut, held back. Those of a training are in ``assay.configs``."""

from __future__ import annotations

from dataclasses import dataclass

from assay.config import Config, option


@dataclass(frozen=True)
class ShopConfig(Config):
    """The rendered shop: how many pictures, how large. The same values give the same bytes."""

    n: int = option(1200, "pictures to learn from", low=1, high=9_999_999, group="shop")
    seed: int = option(0, "another seed is another shop", low=0, high=2**63 - 1, group="shop")
    size: int = option(192, "longer side of a picture", low=32, high=4096, unit="px", group="shop")
    new: int = option(
        24,
        "further pictures in new/, by sellers who are not in the shop",
        low=0,
        high=9_999_999,
        group="shop",
    )


@dataclass(frozen=True)
class AuditConfig(Config):
    """How the doctor looks at a data set."""

    embedding: str | None = option(
        None,
        "what turns pictures into features: a Bundle, a run folder, or NETWORK:WEIGHTS; "
        "when not given, small networks are trained on the data itself, out of fold",
        group="audit",
    )
    minutes: float = option(
        3.0,
        "most time for training those small networks; 0: hand-made features only",
        low=0.0,
        unit="min",
        group="audit",
    )
    folds: int = option(5, "parts of the out-of-fold estimates", low=2, high=20, group="audit")
    near_bits: int = option(
        8, "near-duplicates: most bits of 64 in which two fingerprints differ", low=0, high=16, group="audit"
    )
    tiny_side: int = option(
        32, "a picture with a shorter side than this is tiny", low=1, unit="px", group="audit"
    )
    huge_megapixels: float = option(
        50.0, "a picture with more than this is huge", low=0.1, unit="MP", group="audit"
    )
    size: int = option(
        320, "longer side of pictures in training: things that vanish there are told", low=16, high=8192, unit="px",
        group="audit",
    )  # fmt: skip
    most: int = option(1000, "most places that are kept of one finding", low=1, group="audit")
    seed: int = option(0, "of folds and small networks", low=0, group="audit")
    workers: int | None = option(
        None,
        "processes that look at pictures; by the number of cores when not given",
        low=1,
        high=256,
        group="audit",
    )


@dataclass(frozen=True)
class CropsConfig(Config):
    """How boxes become crops. Frames are whole pixels of the upright picture and never leave it."""

    labels: tuple[str, ...] = option(
        ("0=target", "1=background"),
        "what the two kinds are called: NAME=target,NAME=background",
        group="crops",
    )
    classes: bool = option(False, "keep the class of the box as label, in place of one target", group="crops")
    targets: tuple[str, ...] = option(
        (),
        "cut only boxes of these classes (default: all); the others still keep backgrounds away",
        group="crops",
    )
    background: int | None = option(
        None,
        "backgrounds a picture; as many as it gives targets when not given",
        low=0,
        high=10_000,
        group="crops",
    )
    max_overlap: float | None = option(
        None,
        "backgrounds: most IoU with any box, and most share of the crop that boxes cover together; when not given 0.1 "
        "for a file of boxes, 0 for a data set: they touch nothing there",
        low=0.0,
        high=0.99,
        group="crops",
    )
    masked: str = option(
        "no",
        "show things along their masks alone: what lies outside is grey or blurred; backgrounds get the same outlines",
        choices=("no", "grey", "blur"),
        group="crops",
    )
    min_overlap: float = option(
        1.0,
        "targets: least IoU of the frame with its box, before the margin; below 1, frames are shifted and scaled "
        "at random",
        low=0.05,
        high=1.0,
        group="crops",
    )
    margin: float = option(
        0.0, "targets: room around the box, as a share of its width and height on each side", low=0.0, high=5.0,
        group="crops",
    )  # fmt: skip
    min_size: int = option(
        16, "crops with a shorter side than this are not made", low=1, high=100_000, unit="px", group="crops"
    )
    square: bool = option(False, "widen frames to squares, as far as the picture reaches", group="crops")
    side: int | None = option(
        None,
        "resize crops to this longer side; as cut when not given",
        low=8,
        high=8192,
        unit="px",
        group="crops",
    )
    units: str = option(
        "px",
        "what coordinates count: pixels, or fractions of width and height",
        choices=("px", "fraction"),
        group="crops",
    )
    file_type: str = option(
        "jpeg", "of the crops; png keeps every pixel", choices=("jpeg", "png"), group="crops"
    )
    seed: int = option(0, "another seed, other backgrounds", low=0, high=2**63 - 1, group="crops")


@dataclass(frozen=True)
class CutoutConfig(Config):
    """How things are cut out of their pictures."""

    background: str = option(
        "transparent",
        "what the thing stands on: nothing (PNG with alpha), white, or its own surroundings, blurred (JPEG)",
        choices=("transparent", "white", "blur"),
        group="cutout",
    )
    soft: float = option(
        1.5, "softness of the edge; 0 cuts along the mask", low=0.0, high=100.0, unit="px", group="cutout"
    )
    margin: float = option(
        0.05, "room around the thing, as a share of its longer side", low=0.0, high=5.0, group="cutout"
    )
    whole: bool = option(
        False, "keep the size of the picture, in place of a frame around the thing", group="cutout"
    )
    classes: tuple[str, ...] = option((), "cut things of these classes alone (default: all)", group="cutout")
    min_size: int = option(
        16, "things with a shorter side than this are not cut", low=1, high=100_000, unit="px", group="cutout"
    )


@dataclass(frozen=True)
class ConvertConfig(Config):
    """How careful a conversion is."""

    strict: bool = option(
        False, "stop where something would be left out, in place of telling it", group="convert"
    )


@dataclass(frozen=True)
class TellConfig(Config):
    """From which score on found things are told."""

    target: str = option(
        "f1",
        "f1: the best balance; precision, recall: reach a share; cost: a missed thing costs VALUE false ones",
        choices=("f1", "precision", "recall", "cost"),
        group="things",
    )
    value: float | None = option(
        None, "of the target: a share for precision and recall, a price for cost", low=0.0, group="things"
    )


@dataclass(frozen=True)
class AbstainConfig(Config):
    """When an answer is held back. Fitted on pictures that the network was not trained on; travels in the Bundle."""

    risk: float = option(
        0.05, "most wrong answers among those that are given", low=0.0005, high=0.9, group="abstain"
    )
    confidence: float = option(
        0.9, "chance that the promise on the risk holds", low=0.5, high=0.999, group="abstain"
    )
    coverage: float = option(
        0.9,
        "chance that the set of possible classes holds the true one",
        low=0.5,
        high=0.999,
        group="abstain",
    )
    false_alarm: float = option(
        0.05, "share of known pictures that may be called unknown", low=0.001, high=0.5, group="abstain"
    )
    unit: str | None = option(
        None,
        "what is exchangeable: pictures, or whole groups; groups where there are some, when not given",
        choices=("picture", "group"),
        group="abstain",
    )
    neighbours: int = option(
        10, "k of the k-nearest-neighbour score of unknown-ness", low=1, high=1000, group="abstain"
    )
