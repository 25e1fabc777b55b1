"""What a person hands over as a photo -> a decoded picture: a path, the bytes of a file, an array, a Pillow image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.errors import ConfigError
from assay.image import read_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from assay.preprocess import Preprocess


def open_photo(photo: Any) -> tuple[str, NDArray[np.uint8]]:
    """(name for messages, (H, W, 3) uint8).

    Raises
    ------
    ConfigError : there is no such file, or it is none of these.
    ImageError : the picture cannot be read.
    """
    if isinstance(photo, str | Path):
        if not Path(photo).exists():
            raise ConfigError(f"there is no picture {photo}", fix="check the path")
        return str(photo), read_image(photo)
    if isinstance(photo, bytes | bytearray | memoryview):
        return "bytes", read_image(bytes(photo))
    if isinstance(photo, np.ndarray):
        return "array", _check_array(photo)
    if hasattr(photo, "convert") and hasattr(photo, "mode"):
        from assay.colour import to_rgb  # noqa: PLC0415 - Pillow images are the rarer case

        return "image", np.array(to_rgb(photo))
    raise ConfigError(
        "a photo is a path, bytes, an (H, W, 3) uint8 array or a Pillow image",
        got=type(photo).__name__,
        fix="for several photos use .predict(paths)",
    )


def prepare_photo(photo: Any, preprocess: Preprocess) -> tuple[str, NDArray[np.uint8], tuple[int, int]]:
    """(name for messages, (S, S, C) uint8 as the network takes it, (height, width) of the photo).

    Raises as ``open_photo``.
    """
    if isinstance(photo, str | Path) and Path(photo).exists():
        return str(photo), *preprocess.read(photo)
    if isinstance(photo, bytes | bytearray | memoryview):
        return "bytes", *preprocess.read(bytes(photo))
    name, image = open_photo(photo)
    return name, *preprocess.read(image)


def _check_array(array: NDArray[Any]) -> NDArray[np.uint8]:
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise ConfigError(
            "an array of a photo is (H, W, 3) uint8 in RGB order", got=f"{array.shape} {array.dtype}"
        )
    return array
