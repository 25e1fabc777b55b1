"""What every test may lean on: small pictures, the real ones beside the checkout, a house without network.

The rooms named below check shapes and types while tests run (jaxtyping, beartype); production does not pay.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[1]

# Before numpy or torch start their threads: tests run side by side.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
# For processes that tests start: no model hub, and a proxy that nobody answers.
os.environ |= {"HF_HUB_OFFLINE": "1", "http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
os.environ.pop("ASSAY_DEBUG", None)
os.environ.setdefault("MPLBACKEND", "Agg")
# A shell starts what it runs in the background deaf to Ctrl-C, and processes that tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _check_shapes() -> None:
    from jaxtyping import install_import_hook

    rooms = ["assay.preprocess", "assay.postprocess", "assay.metrics", "assay.losses", "assay.models"]
    install_import_hook(rooms, "beartype.beartype")


_check_shapes()


class Outcome(NamedTuple):
    """What a command line gave back."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True, scope="session")
def no_network() -> Iterator[None]:
    """ "No network unless asked" is a promise, so a connection to another machine fails the test."""
    connect = socket.socket.connect

    def connect_here(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host = str(address[0])
            if host not in ("localhost", "::1") and not host.startswith("127."):
                raise AssertionError(f"a test tried to reach {host}; Assay uses no network unless asked")
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect_here)
        yield


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("ASSAY_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real pictures beside the checkout (marker ``shared``)."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI needs the real pictures in {folder}")
        pytest.skip(f"no real pictures in {folder}")
    return folder


@pytest.fixture(scope="session")
def _drawn_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn") / "photos"
    for i, name in enumerate(("circle", "square", "größer 三角")):
        (folder / name).mkdir(parents=True)
        for k in range(8):
            _draw(i, seed=100 * i + k).save(folder / name / f"{k}.png")
    return folder


@pytest.fixture
def photos(_drawn_photos: Path, tmp_path: Path) -> Path:
    """A folder for each of 3 classes (one name is not ASCII) with 8 easy pictures of 64 x 64.

    Its own copy for each test, so a test may break it.
    """
    return Path(shutil.copytree(_drawn_photos, tmp_path / "photos"))


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """``cli("train", folder, "epochs=1")`` runs the command line in this process."""
    from assay.cli.main import main

    def run(*words: object) -> Outcome:
        capsys.readouterr()
        code = main([str(word) for word in words])
        told = capsys.readouterr()
        return Outcome(code, told.out, told.err)

    return run


@pytest.fixture(scope="session")
def _tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.tiny_policy import write_tiny_bundle

    return write_tiny_bundle(tmp_path_factory.mktemp("tiny") / "tiny.bundle")


@pytest.fixture
def tiny_bundle(_tiny_bundle: Path, tmp_path: Path) -> Path:
    """A Bundle of 2 KB, made without torch, that tells the classes of ``photos`` by their mean colour.

    Its own copy for each test, so a test may break it.
    """
    return Path(shutil.copy(_tiny_bundle, tmp_path / "tiny.bundle"))


@pytest.fixture(scope="session")
def _tiny_run(_drawn_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import json

    import pyarrow as pa
    import pyarrow.parquet as pq
    import torch
    from safetensors.torch import save_file

    from assay.card import Card
    from assay.configs import ModelConfig, PreprocessConfig
    from assay.data.read import read_dataset
    from assay.labels import ClassNames
    from assay.metrics.evaluate import evaluate
    from assay.models.build import build_model
    from assay.train.predictor import load_run

    data = read_dataset(_drawn_photos)
    names = list(data.classes)
    folder = tmp_path_factory.mktemp("tiny-run") / "shapes"
    folder.mkdir()
    config = ModelConfig(model="cnn", width=4, depth=3)
    torch.manual_seed(0)
    weights = build_model(config, len(names)).state_dict()
    save_file({name: value.contiguous() for name, value in weights.items()}, folder / "model.safetensors")
    model = {**config.to_dict(), "channels": 3}
    Card(ClassNames(names), PreprocessConfig(size=32), model, temperature=1.0, name="shapes").save(
        folder / "card.json"
    )
    parts = [("train", "train", "validation", "test")[i % 4] for i in range(len(data))]
    data = replace(data, table=data.table.append_column("part", pa.array(parts)))
    pq.write_table(data.table, folder / "split.parquet")
    record = {
        "data": str(_drawn_photos),
        "classes": names,
        "status": "finished",
        "command": ["assay", "train"],
    }
    (folder / "run.json").write_text(json.dumps({**record, "dataset": "photos", "parts": data.parts}))
    for part in ("validation", "test"):
        evaluate(load_run(folder), data, part, draws=20).save(folder / "evaluation")
    return folder


@pytest.fixture
def tiny_run(_tiny_run: Path, tmp_path: Path) -> Path:
    """A finished run of an untrained network on the pictures of ``photos``, with evaluations; its own copy."""
    return Path(shutil.copytree(_tiny_run, tmp_path / "shapes"))


def _draw(shape: int, seed: int) -> Any:
    """One noisy picture of a disc, a square or a triangle in the colour of its class, anywhere."""
    import numpy as np
    from PIL import Image, ImageDraw

    rng = np.random.default_rng(seed)
    picture = Image.fromarray(rng.integers(90, 160, (64, 64, 3), dtype=np.uint8))
    draw = ImageDraw.Draw(picture)
    x, y, r = (int(v) for v in (*rng.integers(20, 44, 2), rng.integers(10, 18)))
    colour = ((220, 60, 50), (50, 80, 220), (60, 200, 80))[shape]
    if shape == 0:
        draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)
    elif shape == 1:
        draw.rectangle((x - r, y - r, x + r, y + r), fill=colour)
    else:
        draw.polygon(((x, y - r), (x - r, y + r), (x + r, y + r)), fill=colour)
    return picture
