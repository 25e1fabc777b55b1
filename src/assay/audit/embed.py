"""Features of pictures by a network that exists already: a Bundle, a run folder, or NETWORK:WEIGHTS.

A Bundle is answered without torch. A run folder and a weights file are rebuilt through ``assay.models`` alone.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.card import Card
from assay.configs import ModelConfig, PreprocessConfig
from assay.errors import ConfigError, ImageError, ModelError
from assay.pipeline import default_workers
from assay.preprocess import Preprocess

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SIZE = 160
"""Side in pixels at which a network of NETWORK:WEIGHTS sees the pictures."""


@dataclass(frozen=True)
class Embedder:
    """A network as a function of pixels. ``how`` says in words what it is."""

    how: str
    preprocess: Preprocess
    engine: Callable[[NDArray[np.float32]], NDArray[np.float32]]

    def embed(self, paths: Sequence[Path], pool: ThreadPoolExecutor) -> NDArray[np.float32]:
        """(B, F); a picture that cannot be read is seen as plain grey."""
        return self.engine(self.preprocess.normalise(np.stack(list(pool.map(self._pixels, paths)))))

    def dims(self) -> int:
        """F, the number of features."""
        side, channels = self.preprocess.config.size, self.preprocess.channels
        blank = np.full((1, side, side, channels), 128, np.uint8)
        return int(self.engine(self.preprocess.normalise(blank)).shape[1])

    def _pixels(self, path: Path) -> NDArray[np.uint8]:
        try:
            return self.preprocess.read(path)[0]
        except ImageError:  # readable a moment ago, when its facts were taken
            return self.preprocess.pixels(np.full((8, 8, 3), 128, np.uint8))


def decoding_pool() -> ThreadPoolExecutor:
    """Threads that decode ahead of a network."""
    return ThreadPoolExecutor(default_workers(), thread_name_prefix="assay-embed")


def load_embedder(named: str) -> Embedder:
    """The network behind ``AuditConfig.embedding``.

    Raises
    ------
    ConfigError : no such file or folder, or an unknown network.
    BundleError, ModelError : it is damaged, or the weights do not fit.
    """
    path = Path(named).expanduser()
    if path.is_dir():
        return _from_run(path)
    if path.is_file():
        return _from_bundle(path)
    network, colon, weights = named.partition(":")
    if colon and weights:
        return _from_weights(network, Path(weights).expanduser())
    raise ConfigError(
        f"{named} does not exist",
        fix="give a Bundle, a run folder, or NETWORK:WEIGHTS, e.g. mobilenetv2_100:weights.pth",
    )


def _from_bundle(path: Path) -> Embedder:
    from assay.runtime.load import load_classifier  # noqa: PLC0415 - one of three ways

    predictor = load_classifier(path)
    size = predictor.card.preprocess.size
    return Embedder(
        f"features of the Bundle {path.name} at {size} px", predictor.preprocess, predictor.engine.embed
    )


def _from_run(folder: Path) -> Embedder:
    from safetensors import SafetensorError  # noqa: PLC0415 - one of three ways
    from safetensors.torch import load_file  # noqa: PLC0415 - torch

    from assay.models.build import build_model  # noqa: PLC0415 - torch

    if not (folder / "card.json").is_file():
        raise ConfigError(f"{folder} is not a finished run", fix="give the folder of `assay train --out`")
    card = Card.load(folder / "card.json")
    values = dict(card.model)
    channels = int(values.pop("channels", 3))
    config = ModelConfig.from_dict({**values, "weights": None, "pretrained": False})
    model = build_model(config, len(card.classes), channels)
    try:
        model.load_state_dict(load_file(folder / "model.safetensors"))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise ModelError(
            f"{folder}/model.safetensors does not fit its card", got=str(error).partition("\n")[0]
        ) from error
    how = f"features of the run {folder.name} at {card.preprocess.size} px"
    return Embedder(how, Preprocess(card.preprocess), _torch_engine(model))


def _from_weights(network: str, weights: Path) -> Embedder:
    from assay.models.build import build_model  # noqa: PLC0415 - torch
    from assay.models.weights import load_weights  # noqa: PLC0415
    from assay.tables import MODELS  # noqa: PLC0415

    if not weights.is_file():
        raise ConfigError(f"there is no weights file {weights}", fix="check the path after the colon")
    model = build_model(ModelConfig(model=network), 2)
    load_weights(model, weights, name=network)
    usual: dict[str, Any] = {}
    if network not in MODELS:
        from assay.models.timm_models import published_preprocess  # noqa: PLC0415

        usual = published_preprocess(network)
    how = f"features of {network} with the weights {weights.name} at {SIZE} px"
    return Embedder(how, Preprocess(PreprocessConfig(size=SIZE, **usual)), _torch_engine(model))


def _torch_engine(model: Any) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    import torch  # noqa: PLC0415 - only for networks that need it

    model.eval().to(memory_format=torch.channels_last)

    def engine(images: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            x = torch.from_numpy(images).contiguous(memory_format=torch.channels_last)
            found: NDArray[np.float32] = model.embed(x).float().numpy()
            return found

    return engine
