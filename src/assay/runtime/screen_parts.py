"""Screening in two halves that can live in two processes: bytes -> pixels, and pixels -> evidence.

The first half sees a photo's bytes and neither policy nor network; the second has both and never sees the bytes. What
passes between them is ``Decoded``. ``Screener`` walks both in one process; answers are equal, bit for bit where the
engine's answer does not depend on which photos share a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from assay.configs import PreprocessConfig
from assay.errors import ConfigError, ImageError
from assay.image import ImageLimits, Known
from assay.pipeline import ClassCorridor, Prepared, one_line
from assay.preprocess import Preprocess
from assay.runtime.photo_prints import photo_prints, picture_prints

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from assay.decide.abstention import Abstention
    from assay.decide.evidence import Evidence
    from assay.decide.thing import Thing
    from assay.runtime.predictor import BundlePredictor
    from assay.runtime.screening import Screener
    from assay.types import Prediction

_Read = Callable[[list[Prepared]], "list[Prediction]"]
"""One batch of decoded photos -> one Prediction each."""

SERVICE_LIMITS = ImageLimits(max_pixels=40_000_000, max_bytes=32 * 1024 * 1024)
"""What one uploaded photo may cost."""

OUT_OF_MEMORY = "the decoder ran out of memory"
NAMELESS = "the photo"
"""How errors call a photo whose name the decoder is not told."""


@dataclass(frozen=True)
class DecodePlan:
    """What the networks of a policy need of a photo.

    ``preprocess`` holds each way of preparing pixels once; ``prints`` asks for the photo's prints too.
    """

    preprocess: tuple[PreprocessConfig, ...]
    prints: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"preprocess": [one.to_dict() for one in self.preprocess], "prints": self.prints}

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> DecodePlan:
        """The inverse of ``to_dict``.

        Raises
        ------
        ConfigError : a field is missing or of another kind.
        """
        try:
            prepared = tuple(PreprocessConfig.from_dict(one) for one in told["preprocess"])
            return cls(prepared, bool(told["prints"]))
        except (KeyError, TypeError) as fault:
            raise ConfigError("a plan of decoding cannot be read", got=f"{fault!r}"[:200]) from fault

    def shapes(self) -> list[tuple[int, int, int]]:
        """(S, S, C) of each array of ``Decoded.pixels``."""
        return [(one.size, one.size, 1 if one.colour == "gray" else 3) for one in self.preprocess]


@dataclass(frozen=True, eq=False)
class Decoded:
    """A photo after its decoder.

    ``size_hw`` is its own size in px, upright; ``pixels`` one (S, S, C) uint8 for each ``preprocess`` of the plan;
    ``prints`` (n,) uint8 is ``Prints.to_bytes``, where the plan asks for it. ``error`` says in one line why there are
    none of these; it begins with ``NAMELESS`` where the photo's name belongs.
    """

    size_hw: tuple[int, int] = (0, 0)
    pixels: tuple[NDArray[np.uint8], ...] = ()
    prints: NDArray[np.uint8] | None = None
    error: str | None = None


def decode_plan(screener: Screener) -> DecodePlan:
    """What a policy's networks need, in the order of ``screener.models``; and prints, where it matches photos."""
    wanted = dict.fromkeys(model.card.preprocess for model in screener.models.values())
    return DecodePlan(tuple(wanted), screener.policy.matching is not None)


def decode(
    photo: bytes | NDArray[np.uint8], plan: DecodePlan, limits: ImageLimits = SERVICE_LIMITS
) -> Decoded:
    """A picture file's bytes, or (H, W, 3) pixels -> what the plan asks for. Any content is answered, never raised."""
    try:
        return _decode(photo, plan, limits)
    except MemoryError:
        return Decoded(error=OUT_OF_MEMORY)
    except ImageError as error:
        if isinstance(error.__cause__, MemoryError):
            return Decoded(error=OUT_OF_MEMORY)
        return Decoded(error=one_line(error))
    except Exception as error:  # a codec may throw anything; RecursionError comes from nested metadata
        words = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        return Decoded(error=f"{NAMELESS} is damaged; got: {words}")


def answer_decoded(
    screener: Screener,
    decoded: Sequence[Decoded],
    names: Sequence[str],
    digests: Sequence[str],
    *,
    lanes: int = 1,
    masks: bool = False,
) -> list[Evidence]:
    """What is known of photos that were decoded by ``decode_plan(screener)``.

    They are matched as far as their prints and embeddings are there: a photo without prints is found among enrolled
    ones by its bytes and by what the network sees.

    Parameters
    ----------
    decoded, names, digests : of each photo: what its decoder gave, what it is called, and the SHA-256 of its bytes.
    lanes : threads that compute at once, each on one core.
    masks : draw the masks of things too, where a network has such a head.

    Raises
    ------
    ConfigError : the pixels are not those of the plan. ModelError : a network failed.
    """
    plan = decode_plan(screener)
    shapes = plan.shapes()
    for one in decoded:
        if one.error is None and [pixels.shape for pixels in one.pixels] != shapes:
            raise ConfigError(
                "decoded photos do not fit the policy's networks",
                got=f"pixels of {[pixels.shape for pixels in one.pixels]}; they take {shapes}",
                fix="decode them by the plan of the same policy",
            )
    whole = [place for place, one in enumerate(decoded) if one.error is None]
    found: dict[Any, dict[int, Prediction]] = {}
    for path, model in screener.models.items():
        which = plan.preprocess.index(model.card.preprocess)
        items = [Prepared(names[i], decoded[i].pixels[which], decoded[i].size_hw) for i in whole]
        engine = model.engine if len(whole) == 1 < lanes else model.engine.alone(lanes)
        read = _reader(model, engine, embed=path == screener.embedding_path, masks=masks)
        found[path] = dict(zip(whole, _answers(read, items, model.batch, lanes), strict=True))
    return [
        _evidence(screener, one, name, digest, {path: rows.get(place) for path, rows in found.items()})
        for place, (one, name, digest) in enumerate(zip(decoded, names, digests, strict=True))
    ]


def _decode(photo: bytes | NDArray[np.uint8], plan: DecodePlan, limits: ImageLimits) -> Decoded:
    found, size_hw, known = [], (0, 0), Known()
    for config in plan.preprocess:
        pixels, size_hw = _preprocess(config).read(photo, limits, name=NAMELESS, known=known)
        found.append(pixels)
    if not plan.prints:
        return Decoded(size_hw, tuple(found))
    if isinstance(photo, bytes):
        prints = photo_prints(photo, limits, name=NAMELESS, known=known)
    else:
        prints = picture_prints(Image.fromarray(photo))
    return Decoded(size_hw, tuple(found), np.frombuffer(prints.to_bytes(), np.uint8))


@lru_cache(maxsize=64)
def _preprocess(config: PreprocessConfig) -> Preprocess:
    return Preprocess(config)


def _answers(read: _Read, items: Sequence[Prepared], batch: int, lanes: int) -> list[Prediction]:
    """One Prediction for each photo, in batches on ``lanes`` threads."""
    if not items:
        return []
    size = min(batch, -(-len(items) // lanes))
    parts = [list(items[start : start + size]) for start in range(0, len(items), size)]
    if lanes == 1 or len(parts) == 1:
        return [one for part in parts for one in read(part)]
    with ThreadPoolExecutor(lanes, thread_name_prefix="assay-lane") as pool:
        return [one for rows in pool.map(read, parts) for one in rows]


def _reader(model: Any, engine: Any, *, embed: bool, masks: bool) -> _Read:
    """The part of the answer corridor behind decoding."""
    card, preprocess = model.card, model.preprocess
    if card.task == "classify":
        doubter = _doubter(model)
        ends = engine if doubter is None and not embed else engine.outputs
        return ClassCorridor(ends, card, preprocess, SERVICE_LIMITS, doubter, embed).predict
    from assay.pipeline_scene import SceneCorridor, told_from  # noqa: PLC0415 - no need of it where bytes are read

    told = told_from(card)
    return SceneCorridor(
        engine.scene, card, preprocess, SERVICE_LIMITS, card, told, masks, False, embed
    ).predict


def _doubter(model: BundlePredictor) -> Abstention | None:
    """What says "unknown", where it is there and holds in this precision."""
    found = model.abstention
    return found if found is not None and found.can_alarm and model.engine.precision == "fp32" else None


def _evidence(
    screener: Screener, one: Decoded, name: str, digest: str, found: Mapping[Any, Prediction | None]
) -> Evidence:
    from assay.decide.evidence import Evidence, answers_of  # noqa: PLC0415 - as above
    from assay.decide.prints import Prints  # noqa: PLC0415
    from assay.decide.thing import things_of  # noqa: PLC0415

    if one.error is not None:
        return Evidence(name, digest, error=named(one.error, name))
    told = {path: prediction for path, prediction in found.items() if prediction is not None}
    broken = next((prediction.error for prediction in told.values() if prediction.error is not None), None)
    if broken is not None:
        return Evidence(name, digest, error=broken)
    answers, unknown = {}, []
    things: list[Thing] = []
    for question in screener.policy:
        prediction = told[screener.policy.model_path(question)]
        answers[question.name] = answers_of(question, prediction)
        things += things_of(question, prediction)
        if prediction.doubt is not None and "unknown" in prediction.doubt.reasons:
            unknown.append(question.name)
    evidence = Evidence(name, digest, one.size_hw, answers, tuple(unknown), things=tuple(things))
    prints = None if one.prints is None else Prints.from_bytes(one.prints.tobytes())
    embedding = None if screener.embedding_path is None else told[screener.embedding_path].embedding
    return screener.matched(evidence, prints, embedding)


def named(error: str, name: str) -> str:
    """The error of a ``Decoded`` with the photo's name in it."""
    return name + error.removeprefix(NAMELESS) if error.startswith(NAMELESS) else f"{name}: {error}"
