"""The one decoder: formats, modes, orientations, limits, and every kind of broken file."""

from __future__ import annotations

import contextlib
import io
import json
import os
import struct
import subprocess
import sys
import threading
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile, features

from assay.data.names import is_picture
from assay.errors import ConfigError, ImageError
from assay.image import FORMATS, ImageLimits, encode_image, read_image, read_size, to_pillow


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


@pytest.fixture
def scene() -> np.ndarray:
    """(40, 60, 3): four different corners, smooth in between."""
    y, x = np.mgrid[0:40, 0:60]
    return np.stack([x * 4, y * 6, 255 - x * 2 - y * 3], axis=2).astype(np.uint8)


def test_path_string_and_bytes_give_the_same_pixels(scene, tmp_path):
    path = tmp_path / "größe 连衣裙.png"
    path.write_bytes(encode_image(scene))
    for source in (path, str(path), path.read_bytes()):
        assert np.array_equal(read_image(source), scene)
        assert read_size(source) == (40, 60)


def test_result_is_contiguous_and_writable(scene):
    image = read_image(encode_image(scene))
    assert image.flags.c_contiguous
    assert image.flags.writeable
    assert image.dtype == np.uint8


@pytest.mark.parametrize("kind", [k for k in FORMATS if k != "AVIF" or features.check("avif")])
def test_every_format_of_the_allow_list_decodes(kind, scene):
    data = encoded(Image.fromarray(scene), kind)
    assert read_image(data).shape == (40, 60, 3)
    assert np.abs(read_image(data).astype(int) - scene).mean() < 25  # a GIF has 256 colours
    assert read_size(data) == (40, 60)


@pytest.mark.parametrize(("ending", "kind"), [("mpo", "MPO"), ("apng", "PNG"), ("jpx", "JPEG2000")])
def test_files_of_two_pictures_and_rarer_endings_decode(ending, kind, scene, tmp_path):
    first, second = Image.fromarray(scene), Image.fromarray(255 - scene)
    more = {} if ending == "jpx" else {"save_all": True, "append_images": [second]}
    path = tmp_path / f"a.{ending}"
    first.save(path, kind, **more)
    assert is_picture(path.name)
    assert np.abs(read_image(path).astype(int) - scene).mean() < 25  # the first one
    assert read_size(path) == (40, 60)


@pytest.mark.parametrize("kind", ["ICO", "TGA", "PCX", "EPS", "PDF"])
def test_other_formats_are_refused_with_words(kind, scene):
    with pytest.raises(ImageError, match="not a picture that can be read") as caught:
        read_image(encoded(Image.fromarray(scene), kind))
    assert caught.value.fix


TURNED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation_is_applied(kind, orientation, scene):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {"quality": 100} if kind == "JPEG" else {}
    data = encoded(Image.fromarray(scene), kind, exif=exif, **options)
    upright = TURNED[orientation](scene)
    image = read_image(data)
    assert image.shape == upright.shape
    assert np.abs(image.astype(int) - upright).max() <= (12 if kind == "JPEG" else 0)
    assert read_size(data) == upright.shape[:2]


def test_orientation_behind_the_pixels_of_a_png_is_found_by_both(scene):
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encode_image(scene)
    body = b"eXIf" + exif.tobytes()[6:]
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    late = data[:-12] + chunk + data[-12:]
    assert read_size(late) == (60, 40) == read_image(late).shape[:2]


def test_size_of_a_png_is_read_without_decoding(monkeypatch, scene):
    data = encode_image(scene)
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    assert read_size(data) == (40, 60)


def test_damaged_exif_does_not_cost_the_picture(scene):
    data = encoded(Image.fromarray(scene), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert read_image(data).shape == (40, 60, 3)


def test_junk_icc_profile_does_not_cost_the_picture(scene):
    assert read_image(encoded(Image.fromarray(scene), "JPEG", icc_profile=b"junk" * 99)).shape == (40, 60, 3)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_transparency_lies_on_white(mode):
    image = Image.new("RGBA", (8, 8), (200, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 4, 8))
    kind = "TIFF" if mode == "PA" else "PNG"
    data = encoded(image.convert("LA" if mode == "LA" else "RGBA"), kind)
    pixels = read_image(data)
    assert (pixels[:, :4] == 0).all()
    assert (pixels[:, 4:] == 255).all()


def test_half_transparency_is_mixed_with_white():
    assert read_image(encoded(Image.new("RGBA", (2, 2), (0, 0, 0, 128))))[0, 0].tolist() == [127, 127, 127]


def test_palette_with_a_transparent_colour_lies_on_white():
    image = Image.new("P", (4, 4), 0)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((0, 0), 1)
    pixels = read_image(encoded(image, "PNG", transparency=0))
    assert pixels[0, 0].tolist() == [200, 100, 50]
    assert pixels[1, 1].tolist() == [255, 255, 255]


def test_transparent_key_colour_lies_on_white():
    image = Image.new("RGB", (4, 4), (1, 2, 3))
    image.putpixel((0, 0), (9, 9, 9))
    pixels = read_image(encoded(image, "PNG", transparency=(1, 2, 3)))
    assert pixels[0, 0].tolist() == [9, 9, 9]
    assert pixels[1, 1].tolist() == [255, 255, 255]


def test_16_bit_grey_is_divided_by_257():
    values = np.array([[0, 128, 129, 257, 32768, 65535]], np.uint16)
    for kind in ("PNG", "TIFF"):
        pixels = read_image(encoded(Image.fromarray(values), kind))
        assert pixels[0, :, 0].tolist() == [0, 0, 1, 1, 128, 255]


def test_stated_greatest_sample_of_a_tiff_is_white():
    values = np.array([[0, 4095]], np.uint16)
    pixels = read_image(encoded(Image.fromarray(values), "TIFF", tiffinfo={281: 4095}))
    assert pixels[0, :, 0].tolist() == [0, 255]


def test_float_grey_is_stretched_and_nan_is_zero():
    values = np.array([[0.0, 0.5, 1.0, np.nan]], np.float32)
    pixels = read_image(encoded(Image.fromarray(values), "TIFF"))
    assert pixels[0, :, 0].tolist() == [0, 128, 255, 0]
    flat = read_image(encoded(Image.fromarray(np.full((2, 2), 7.0, np.float32)), "TIFF"))
    assert (flat == 0).all()


def test_32_bit_integers_are_stretched():
    values = np.array([[-1000, 0, 1000]], np.int32)
    assert read_image(encoded(Image.fromarray(values), "TIFF"))[0, :, 0].tolist() == [0, 128, 255]


def test_one_bit():
    image = Image.new("1", (9, 5), 1)
    image.putpixel((0, 0), 0)
    pixels = read_image(encoded(image))
    assert pixels[0, 0].tolist() == [0, 0, 0]
    assert pixels[4, 8].tolist() == [255, 255, 255]


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk(kind):
    red = read_image(encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), kind))
    assert np.abs(red[8, 8].astype(int) - [255, 0, 0]).max() <= 3


def test_lab():
    image = Image.frombytes("LAB", (1, 2), bytes([255, 0, 0, 138, 80, 70]))
    white, red = read_image(encoded(image, "TIFF"))[:, 0].astype(int)
    assert white.min() >= 253
    assert red[0] > 200
    assert red[1] < 60


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_first_frame(kind):
    first, second = Image.new("RGB", (12, 10), (255, 0, 0)), Image.new("RGB", (12, 10), (0, 0, 255))
    data = encoded(first, kind, save_all=True, append_images=[second])
    assert np.abs(read_image(data)[5, 5].astype(int) - [255, 0, 0]).max() <= 4


def test_missing_file_folder_pipe_and_empty_file(tmp_path):
    with pytest.raises(ImageError, match=r"no\.jpg cannot be read\n.*No such file"):
        read_image(tmp_path / "no.jpg")
    with pytest.raises(ImageError, match="is a folder"):
        read_image(tmp_path)
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(ImageError, match=r"empty\.jpg is empty"):
        read_image(tmp_path / "empty.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    for read in (read_image, read_size):
        with pytest.raises(ImageError, match="not a regular file"):
            read(tmp_path / "pipe.jpg")
    with pytest.raises(ImageError, match="is empty"):
        read_image(b"")
    with pytest.raises(ImageError, match="cannot be read"):
        read_image("nul\0byte.jpg")


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        (b"\0\0\0\x18ftypisom\0\0\0\0", "video"),
        (b"%PDF-1.7 ...", "PDF"),
        (b"<svg xmlns='x'>", "SVG"),
        (b"PK\x03\x04....", "ZIP"),
        (b"hello world", "begins with b'hello wo'"),
    ],
)
def test_other_kinds_of_files_are_named(data, kind):
    with pytest.raises(ImageError, match=kind) as caught:
        read_image(data)
    assert "fix:" in str(caught.value)


def test_byte_limit_is_checked_before_reading(tmp_path):
    path = tmp_path / "huge.jpg"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # sparse: reading it would need a terabyte
    for read in (read_image, read_size):
        with pytest.raises(ImageError, match=r"too large a file\n.*1,099,511,627,776 bytes"):
            read(path)


def test_pixel_limit_is_checked_before_decoding(monkeypatch, scene):
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(ImageError, match=r"too many pixels\n  got: 60 x 40 = 2,400 pixels; the limit is 100"):
        read_image(encode_image(scene), ImageLimits(max_pixels=100))


def test_bomb_is_an_image_error():
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    body = b"IDAT" + zlib.compress(b"\0")
    data += struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    with pytest.raises(ImageError, match="too many pixels"):
        read_image(data)


def test_limits_are_checked():
    with pytest.raises(ConfigError, match="at least 1"):
        ImageLimits(max_pixels=0)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "JPEG2000"])
def test_cut_off_files_are_errors_not_half_pictures(kind):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    data = encoded(noise, kind)
    with pytest.raises(ImageError, match=r"damaged|not a picture") as caught:
        read_image(data[: len(data) // 2])
    assert "0x" not in str(caught.value)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"])
def test_random_damage_never_raises_anything_else(kind, scene):
    rng = np.random.default_rng(1)
    whole = encoded(Image.fromarray(scene), kind)
    for _ in range(40):
        data = bytearray(whole)
        for at in rng.integers(0, len(data), 6):
            data[at] = rng.integers(256)
        with contextlib.suppress(ImageError):
            assert read_image(bytes(data)).ndim == 3


def test_huge_text_chunk_is_one_error(scene):
    body = b"zTXtnote\0\0" + zlib.compress(b"a" * (1 << 24))
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    data = encode_image(scene)
    with pytest.raises(ImageError, match="damaged"):
        read_image(data[:33] + chunk + data[33:])


def test_warnings_stay_inside_and_the_filters_of_others_work(tmp_path, monkeypatch, scene):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)  # 2,400 pixels: Pillow warns
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_image(encode_image(scene)).shape == (40, 60, 3)
        with pytest.raises(UserWarning, match="mine"):
            warnings.warn("mine", UserWarning, stacklevel=1)
        with pytest.raises(Image.DecompressionBombWarning):
            Image.open(io.BytesIO(encode_image(scene)))


def test_muting_is_per_thread(monkeypatch, scene):
    entered, leave = threading.Event(), threading.Event()
    load = ImageFile.ImageFile.load

    def slow(self):
        entered.set()
        leave.wait(5)
        return load(self)

    data = encoded(Image.fromarray(scene), "BMP")
    with ThreadPoolExecutor(1) as pool:
        monkeypatch.setattr(ImageFile.ImageFile, "load", slow)
        reading = pool.submit(read_image, data)
        assert entered.wait(5)
        try:
            with pytest.raises(UserWarning, match="elsewhere"):
                warnings.warn("elsewhere", UserWarning, stacklevel=1)
        finally:
            leave.set()
        assert reading.result().shape == (40, 60, 3)


def test_globals_of_pillow_are_left_alone(scene):
    before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
    read_image(encode_image(scene))
    assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)


def test_many_threads_agree(scene):
    data = encode_image(scene, "JPEG")
    once = read_image(data)
    with ThreadPoolExecutor(8) as pool:
        assert all(np.array_equal(image, once) for image in pool.map(read_image, [data] * 64))


def test_encode_round_trip_and_words(scene):
    assert np.array_equal(read_image(encode_image(scene, "png")), scene)
    assert np.abs(read_image(encode_image(scene, "jpg", 95)).astype(int) - scene).mean() < 3
    assert np.array_equal(read_image(encode_image(scene[:, :, :1]))[:, :, 0], scene[:, :, 0])
    with pytest.raises(ConfigError, match="choose PNG, JPEG or WEBP"):
        encode_image(scene, "TIFF")
    with pytest.raises(ConfigError, match="quality is 0"):
        encode_image(scene, "JPEG", 0)
    with pytest.raises(ImageError, match=r"\(40, 60, 3\) of float32"):
        to_pillow(scene.astype(np.float32))


READ_ALL = """
import json, sys, time, warnings
from pathlib import Path
warnings.simplefilter("error")
from assay.errors import ImageError
from assay.image import read_image, read_size
for path in sorted(Path(sys.argv[1]).iterdir()):
    print(json.dumps({"begin": path.name}), flush=True)
    start = time.monotonic()
    try:
        shape = read_image(path).shape
        assert read_size(path) == shape[:2], "read_size differs"
        row = {"shape": shape}
    except ImageError as error:
        row = {"error": str(error)}
    print(json.dumps({**row, "name": path.name, "seconds": time.monotonic() - start}), flush=True)
"""


@pytest.mark.shared
@pytest.mark.parametrize("folder", ["files", "exif"])
def test_every_bad_image_gives_pixels_or_one_error(shared_data: Path, folder: str):
    """In a process of its own: a crash or hang of a decoder would end that, not the tests."""
    where = shared_data / "bad-images" / folder
    done = subprocess.run(
        [sys.executable, "-c", READ_ALL, str(where)], capture_output=True, timeout=120, check=False
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, (rows[-1:], done.stderr[-500:])
    rows = [row for row in rows if "begin" not in row]
    assert len(rows) == len(list(where.iterdir()))
    assert max(row["seconds"] for row in rows) < 5
    for row in rows:
        assert "shape" in row or (row["name"] in row["error"] and "0x" not in row["error"])
    if folder == "files":
        assert sum("shape" in row for row in rows) >= 210


@pytest.mark.shared
def test_the_eight_orientations_of_real_photos_look_alike(shared_data: Path):
    for kind in ("Landscape", "Portrait"):
        photos = [read_image(shared_data / "bad-images" / "exif" / f"{kind}_{i}.jpg") for i in range(1, 9)]
        assert len({photo.shape for photo in photos}) == 1
        small = [np.asarray(Image.fromarray(p).resize((16, 16)), dtype=int) for p in photos]
        assert max(np.abs(s - small[0]).mean() for s in small) < 6
