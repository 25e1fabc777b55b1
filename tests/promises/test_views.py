"""Published pictures carry no metadata, pixels are upright, and the same pixels get the same verdict everywhere."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from tests.served import Served, drawn, served

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_BACK = {
    1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}  # fmt: skip
"""How a picture must be turned before it is saved, so that this EXIF orientation turns it upright."""


@pytest.fixture(scope="module")
def upright() -> Image.Image:
    pixels = np.zeros((60, 90, 3), np.uint8)
    pixels[:30, :45], pixels[:30, 45:], pixels[30:, :45] = (230, 40, 40), (40, 230, 40), (40, 40, 230)
    return Image.fromarray(pixels)


@pytest.fixture
def server(shapes_policy: Path, tmp_path: Path) -> Iterator[Served]:
    with served(shapes_policy, tmp_path / "home") as one:
        yield one


def test_eight_orientations_come_out_upright_and_bare(server: Served, upright: Image.Image) -> None:
    secret = b"Secret Street 7"
    for orientation, back in _BACK.items():
        turned = upright if back is None else upright.transpose(back)
        exif = Image.Exif()
        exif[0x0112], exif[0x010E] = orientation, secret.decode()
        stream = io.BytesIO()
        turned.save(stream, "JPEG", exif=exif, quality=95, comment=secret, icc_profile=None)
        assert secret in stream.getvalue()
        told = server.put(stream.getvalue())
        assert told.status == 200
        view = server.ask("GET", f"/v1/photos/{told.body['photo']}/view?side=512")
        assert view.status == 200
        assert view.headers["content-type"] == "image/jpeg"
        assert secret not in view.body
        assert b"Exif" not in view.body
        shown = Image.open(io.BytesIO(view.body))
        assert not shown.getexif()
        assert shown.size == (90, 60), orientation
        apart = np.abs(np.asarray(shown, int) - np.asarray(upright, int))
        assert np.median(apart) < 8, orientation


def test_a_view_is_no_larger_than_asked_for(server: Served) -> None:
    told = server.put(drawn(1, side=700))
    view = server.ask("GET", f"/v1/photos/{told.body['photo']}/view?side=128")
    assert max(Image.open(io.BytesIO(view.body)).size) == 128
    assert server.ask("GET", f"/v1/photos/{told.body['photo']}/view?side=9999").status == 422


def test_command_line_and_service_say_the_same(
    server: Served, shapes_policy: Path, photos: Path, cli: Callable[..., object]
) -> None:
    done: object = cli("screen", shapes_policy, photos, "--json")
    for line in done.out.splitlines():  # type: ignore[attr-defined]
        here = json.loads(line)
        there = server.put(Path(here["path"]).read_bytes()).body
        assert (there["verdict"], there["clause"]) == (here["verdict"], here["clause"])
        assert there["answers"] == here["evidence"]["answers"]
        assert there["sha256"] == here["evidence"]["photo"]
