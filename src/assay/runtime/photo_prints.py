"""The prints of a photo, from its bytes: no policy, no network and no references are needed, so that it may run alone
in a process that decodes and knows nothing else."""

from __future__ import annotations

from assay.decide.prints import Prints
from assay.image import DEFAULT_LIMITS, ImageLimits


def photo_prints(data: bytes, limits: ImageLimits = DEFAULT_LIMITS) -> Prints:
    """The prints of the upright photo. Raises ImageError where it cannot be read."""
    raise NotImplementedError
