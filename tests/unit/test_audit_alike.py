"""Copies: found where they are, and only there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from assay.audit import alike, near_prints
from assay.audit.alike import Copies, find_copies, groups_of
from assay.audit.facts import Facts, gather_facts
from assay.audit.fingerprint import prints, to_grey
from assay.audit.near_prints import near_prints as find_near
from assay.labels import ClassNames
from assay.types import Dataset
from assay.verb_configs import AuditConfig


def scene(seed: int, side: int = 160, cells: int = 9) -> Image.Image:
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
    fine = Image.fromarray(rng.integers(0, 256, (3 * cells, 3 * cells, 3), dtype=np.uint8))
    size = (side, side)
    return Image.blend(
        coarse.resize(size, Image.Resampling.BICUBIC), fine.resize(size, Image.Resampling.BICUBIC), 0.3
    )


def product(seed: int, side: int = 160) -> Image.Image:
    """One bottle on white with a label of its own: the outline is always the same."""
    rng = np.random.default_rng(seed)
    picture = Image.new("RGB", (side, side), "white")
    draw = ImageDraw.Draw(picture)
    draw.rounded_rectangle((55, 20, 105, 150), 12, fill="#305080")
    for y in range(50, 130, 8):
        for x in range(60, 100, 8):
            draw.rectangle((x, y, x + 7, y + 7), fill=tuple(rng.integers(0, 256, 3).tolist()))
    return picture


def facts_of(folder: Path, names: list[str]) -> Facts:
    data = Dataset(
        pa.table({"path": names, "label": pa.nulls(len(names), pa.string())}), ClassNames([]), folder
    )
    return gather_facts(data, folder / "work", AuditConfig(), lambda *_: None)


def save_all(folder: Path, pictures: list[Image.Image], quality: int = 92) -> Facts:
    names = [f"{i:03}.jpg" for i in range(len(pictures))]
    for name, picture in zip(names, pictures, strict=True):
        picture.save(folder / name, quality=quality)
    return facts_of(folder, names)


def cropped(picture: Image.Image, share: float = 0.05) -> Image.Image:
    cut = round(picture.width * share / 2)
    return picture.crop((cut, cut, picture.width - cut, picture.height - cut))


def captioned(picture: Image.Image) -> Image.Image:
    picture = picture.copy()
    ImageDraw.Draw(picture).text((8, picture.height - 18), "shop.example", fill="white")
    return picture


def recoded(picture: Image.Image) -> Image.Image:
    return picture  # saved at another quality by the test


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "recoded": recoded,
    "half": lambda p: p.resize((p.width // 2, p.height // 2)),
    "brighter": lambda p: ImageEnhance.Brightness(p).enhance(1.2),
    "cropped": cropped,
    "cropped at one side": lambda p: p.crop((round(p.width * 0.05), 0, p.width, p.height)),
    "mirrored": ImageOps.mirror,
    "captioned": captioned,
    "grey": lambda p: p.convert("L").convert("RGB"),
}


@pytest.mark.parametrize("kind", COPIES)
def test_copies_are_found(tmp_path: Path, kind: str) -> None:
    for i in range(8):
        scene(i).save(tmp_path / f"a{i}.jpg", quality=95)
        COPIES[kind](scene(i)).save(tmp_path / f"b{i}.jpg", quality=60)
    facts = facts_of(tmp_path, [f"{side}{i}.jpg" for side in "ab" for i in range(8)])
    copies = find_copies(facts, 8)
    assert copies.scene.tolist() == [*range(8), *range(8)]
    assert sorted(zip(copies.pairs.left.tolist(), copies.pairs.right.tolist(), strict=True)) == [
        (i, i + 8) for i in range(8)
    ]
    assert copies.pairs.mirrored.all() == (kind == "mirrored")
    assert (np.diff(copies.pairs.closeness) <= 0).all()
    assert np.array_equal(copies.exact, np.arange(16))


def test_products_of_one_outline_are_no_copies(tmp_path: Path) -> None:
    facts = save_all(tmp_path, [product(i) for i in range(30)])
    marks = facts.column("print")
    assert (np.bitwise_count(marks[:, None] ^ marks) <= 8).sum() > 40  # prints alone would call many so
    assert len(find_copies(facts, 8).pairs.left) == 0


def test_same_bytes_are_one(tmp_path: Path) -> None:
    names = [f"{i}.png" for i in range(6)]
    for name, seed in zip(names, (1, 2, 1, 3, 2, 1), strict=True):
        scene(seed).save(tmp_path / name)
    copies = find_copies(facts_of(tmp_path, names), 8)
    assert copies.exact.tolist() == copies.scene.tolist() == [0, 1, 0, 3, 1, 0]
    assert len(copies.pairs.left) == 0
    assert [group.tolist() for group in groups_of(copies.exact)] == [[0, 2, 5], [1, 4]]


def test_broken_and_blank_pictures_are_copies_of_nothing(tmp_path: Path) -> None:
    for i, colour in enumerate(("white", "white", "black", "red")):
        Image.new("RGB", (50 + i, 50), colour).save(tmp_path / f"{i}.png")
    (tmp_path / "4.png").write_bytes(b"x")
    (tmp_path / "5.png").write_bytes(b"x")
    copies = find_copies(facts_of(tmp_path, [f"{i}.png" for i in range(7)]), 8)
    assert copies.scene.tolist() == list(range(7))


def stand_in(thumbs: np.ndarray) -> Facts:
    """Facts made of thumbs alone."""
    n = len(thumbs)
    plain, flipped = prints(to_grey(thumbs))
    digests = np.arange(2 * n, dtype="<u8").view(np.uint8)
    table = pa.table(
        {
            "fault": pa.nulls(n, pa.string()),
            "contrast": to_grey(thumbs).std(axis=(1, 2)),
            "print": plain,
            "print_flipped": flipped,
            "digest": pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), n, [None, pa.py_buffer(digests)]),
        }
    )
    return Facts(table, thumbs)


def test_thousands_of_equal_pictures_do_not_explode() -> None:
    thumb = np.asarray(scene(1).resize((32, 32)))
    noise = np.random.default_rng(0).integers(-2, 3, (4200, 32, 32, 3))
    facts = stand_in(np.clip(thumb + noise, 0, 255).astype(np.uint8))
    copies = find_copies(facts, 8)
    assert (copies.scene == 0).all()
    assert len(copies.pairs.left) < 10_000


def test_one_print_for_many_scenes_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alike, "prints", lambda grey, cut: (np.zeros(len(grey), np.uint64),) * 2)
    facts = stand_in(np.random.default_rng(0).integers(0, 256, (800, 32, 32, 3), dtype=np.uint8))
    zeros = pa.array(np.zeros(800, np.uint64))
    table = facts.table.set_column(2, "print", zeros).set_column(3, "print_flipped", zeros)
    assert len(find_copies(Facts(table, facts.thumbs), 8).pairs.left) == 0


def test_fewer_bits_where_there_are_too_many_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alike, "_CANDIDATES_EACH", 0)
    monkeypatch.setattr(alike, "_CANDIDATES_LEAST", 50)
    thumbs = np.stack([np.asarray(product(i).resize((32, 32))) for i in range(60)])
    assert find_copies(stand_in(thumbs), 8).bits < 8


def test_chains_are_one_scene() -> None:
    pairs = alike.Pairs(np.array([1, 2]), np.array([2, 4]), np.ones(2, np.float32), np.zeros(2, bool))
    copies = Copies(np.array([0, 1, 2, 0, 4, 5]), pairs, 8)
    assert copies.scene.tolist() == [0, 1, 1, 0, 1, 5]


@pytest.mark.parametrize("bits", [0, 3, 8, 9, 12, 16])
def test_bands_find_what_comparing_each_with_each_finds(bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(bits)
    targets = rng.integers(0, 2**64, 400, dtype=np.uint64)
    queries = targets.copy()
    for _ in range(12):
        flips = np.uint64(1) << rng.integers(0, 64, 400).astype(np.uint64)
        queries ^= np.where(rng.random(400) < 0.7, flips, np.uint64(0))

    def found() -> list[tuple[int, int, int]]:
        return [
            t
            for block in find_near(queries, targets, bits)
            for t in zip(*(v.tolist() for v in block), strict=True)
        ]

    expected = found()
    monkeypatch.setattr(near_prints, "_FEW", 0)
    monkeypatch.setattr(near_prints, "_AT_ONCE", 100)
    banded = found()
    assert sorted(banded) == sorted(expected)  # each once
    assert bits < 8 or len(expected) > 50


def test_more_comparisons_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_prints, "_FEW", 0)
    crowd = np.arange(2000, dtype=np.uint64) << np.uint64(50)  # the same in two of three bands
    with pytest.raises(near_prints.TooManyError):
        list(find_near(crowd, crowd, 8, most=100_000))
    assert [near_prints.fewer_bits(bits) for bits in (8, 5, 2, 16)] == [5, 2, -1, 11]
    assert alike._candidates(crowd, crowd, 8, 10**8, both_ways=False)[2] == 8
    monkeypatch.setattr(alike, "_COMPARISONS_EACH", 0)
    monkeypatch.setattr(alike, "_COMPARISONS_LEAST", 100)
    assert alike._candidates(crowd, crowd, 8, 10**8, both_ways=False)[2] == 0


def test_no_pictures() -> None:
    copies = find_copies(stand_in(np.zeros((0, 32, 32, 3), np.uint8)), 8)
    assert len(copies.scene) == 0
    assert groups_of(copies.exact) == []


@pytest.mark.shared
def test_real_products_are_told_apart_and_real_copies_found(shared_data: Path) -> None:
    root = shared_data / "grocery"
    names = sorted(str(p.relative_to(root)) for p in root.rglob("*Iconic.jpg"))
    data = Dataset(
        pa.table({"path": names, "label": pa.nulls(len(names), pa.string())}), ClassNames([]), root
    )
    import tempfile

    with tempfile.TemporaryDirectory() as work:
        facts = gather_facts(data, Path(work), AuditConfig(), lambda *_: None)
        assert len(find_copies(facts, 8).pairs.left) == 0
