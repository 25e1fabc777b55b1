"""The rendered shop: same seed, same bytes; what is written down is what is in the pictures."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from assay.configs import ReadConfig
from assay.data.read import read_dataset
from assay.data.shop import scene
from assay.data.shop.backdrops import BACKDROPS
from assay.data.shop.canvas import Pen, affine, blank, viewpoint
from assay.data.shop.elsewhere import ELSEWHERE
from assay.data.shop.labels import CATEGORIES, COLUMNS, box_of, run_lengths
from assay.data.shop.logos import FAULTS, MARKS, draw_mark, spoil
from assay.data.shop.props import OCCLUDERS, PROPS
from assay.data.shop.scene import KINDS, NON_PRODUCT, PRODUCTS, render_picture
from assay.data.shop.sellers import NEWCOMERS, SHOP, Seller, seller_of
from assay.data.synthetic import render_shop
from assay.errors import AssayError, ConfigError


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render_shop(tmp_path_factory.mktemp("made") / "shop", n=60, seed=3, size=64, new=5).path


def _digests(folder: Path) -> dict[str, str]:
    files = (p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def _rows(table: Path) -> list[dict[str, str]]:
    with table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _open(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return ImageOps.exif_transpose(image).convert("RGB")


def _seller(number: int = 0) -> Seller:
    return seller_of(0, SHOP, len(PRODUCTS), np.random.default_rng(number))


# ---- folder


def test_same_seed_same_bytes(shop: Path, tmp_path: Path) -> None:
    again = render_shop(tmp_path / "again", n=60, seed=3, size=64, new=5)
    assert _digests(again.path) == _digests(shop)
    assert not again.is_reused


def test_processes_change_nothing(tmp_path: Path) -> None:
    one = render_shop(tmp_path / "one", n=140, size=32, new=0)
    two = render_shop(tmp_path / "two", n=140, size=32, new=0, workers=2)
    assert _digests(one.path) == _digests(two.path)


def test_a_small_shop_is_the_beginning_of_a_large_one(shop: Path, tmp_path: Path) -> None:
    small = render_shop(tmp_path / "small", n=20, seed=3, size=64, new=2).path
    large = _digests(shop)
    pictures = {name: digest for name, digest in _digests(small).items() if name.endswith(".jpg")}
    assert len(pictures) == 22
    assert all(large[name] == digest for name, digest in pictures.items())
    assert _rows(small / "labels.csv") == _rows(shop / "labels.csv")[:20]


def test_other_seed_other_pictures(shop: Path, tmp_path: Path) -> None:
    other = render_shop(tmp_path / "other", n=3, seed=4, size=64, new=0).path
    assert not set(_digests(other / "pictures").values()) & set(_digests(shop / "pictures").values())


def test_labels(shop: Path) -> None:
    rows = _rows(shop / "labels.csv")
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == 60
    assert {row["label"] for row in rows} <= set(KINDS)
    assert {row["genuine"] for row in rows} == {"genuine", "suspect", "none"}
    for row in rows:
        assert (row["product"] == "no") == (row["label"] == NON_PRODUCT)
        assert (row["fault"] in FAULTS) == (row["genuine"] == "suspect")
        assert (row["brand"] in MARKS) == (row["genuine"] != "none")
        assert max(_open(shop / row["path"]).size) == 64
    new = _rows(shop / "new" / "labels.csv")
    assert len(new) == 5
    assert not {row["seller"] for row in new} & {row["seller"] for row in rows}


def test_read_dataset_reads_it(shop: Path) -> None:
    dataset = read_dataset(shop, ReadConfig(group_column="seller"))
    assert len(dataset) == 60
    sample = dataset[0]
    assert sample.path.is_file()
    assert sample.group is not None
    assert sample.extra["genuine"] in {"genuine", "suspect", "none"}
    assert len(read_dataset(shop / "new")) == 5


def test_boxes_and_masks(shop: Path) -> None:
    coco = json.loads((shop / "boxes.json").read_text(encoding="utf-8"))
    rows = _rows(shop / "labels.csv")
    assert [c["name"] for c in coco["categories"]] == list(CATEGORIES)
    assert [image["file_name"] for image in coco["images"]] == [row["path"] for row in rows]
    assert [a["id"] for a in coco["annotations"]] == list(range(1, len(coco["annotations"]) + 1))
    sizes = {image["id"]: (image["width"], image["height"]) for image in coco["images"]}
    for image in coco["images"]:
        assert _open(shop / image["file_name"]).size == sizes[image["id"]]
    for a in coco["annotations"]:
        x0, y0, x1, y1 = a["box_xyxy"]
        w, h = sizes[a["image_id"]]
        assert 0 <= x0 < x1 <= w
        assert 0 <= y0 < y1 <= h
        assert a["bbox"] == [x0, y0, x1 - x0, y1 - y0]
        assert a["segmentation"]["size"] == [h, w]
        assert sum(a["segmentation"]["counts"]) == w * h
        assert sum(a["segmentation"]["counts"][1::2]) == a["area"]
        kind = CATEGORIES[a["category_id"] - 1]
        assert kind in {"mark", rows[a["image_id"] - 1]["label"]}


def test_readme_says_rendered(shop: Path) -> None:
    text = (shop / "README.txt").read_text(encoding="utf-8")
    for word in ("RENDERED", "--n 60 --seed 3 --size 64 --new 5", "CC0-1.0", "Pillow"):
        assert word in text


def test_reused(shop: Path) -> None:
    before = (shop / "labels.csv").stat().st_mtime_ns
    assert render_shop(shop, n=60, seed=3, size=64, new=5).is_reused
    assert (shop / "labels.csv").stat().st_mtime_ns == before


def test_progress(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    render_shop(tmp_path / "s", n=3, size=32, new=1, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n": 0}, "n is 0; the least is 1"),
        ({"n": 3, "size": 31}, "size is 31; the least is 32"),
        ({"n": 3, "seed": -1}, "seed is -1; the least is 0"),
        ({"n": 3, "new": -1}, "new is -1"),
        ({"n": 3, "workers": 0}, "workers is 0"),
    ],
)
def test_refuses_bad_values(tmp_path: Path, options: dict[str, int], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        render_shop(tmp_path / "s", **options)
    assert not any(tmp_path.iterdir())


def test_refuses_a_folder_with_something_else(tmp_path: Path) -> None:
    (tmp_path / "diary.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"is not empty\n.*not a rendered shop\n.*nothing is overwritten"):
        render_shop(tmp_path, n=2, size=32)
    assert [p.name for p in tmp_path.iterdir()] == ["diary.txt"]
    with pytest.raises(ConfigError, match="is a file"):
        render_shop(tmp_path / "diary.txt", n=2, size=32)


def test_refuses_another_or_a_torn_shop(shop: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds another shop\n.*n 60, not 61; seed 3, not 0"):
        render_shop(shop, n=61, seed=0, size=64, new=5)
    torn = tmp_path / "torn"
    shutil.copytree(shop, torn)
    (torn / "pictures" / "000007.jpg").unlink()
    with pytest.raises(ConfigError, match=r"not the whole of it\n.*59 of 60 pictures"):
        render_shop(torn, n=60, seed=3, size=64, new=5)


def test_an_empty_folder_is_fine(tmp_path: Path) -> None:
    assert len(list((render_shop(tmp_path, n=2, size=32, new=0).path / "pictures").iterdir())) == 2


def test_nothing_is_left_of_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("assay.data.synthetic.write_readme", full)
    with pytest.raises(AssayError, match=r"could not be written\n.*the disk is full\n.*nothing was changed"):
        render_shop(tmp_path / "s", n=2, size=32)
    assert not any(tmp_path.iterdir())


def test_nothing_is_left_of_ctrl_c(tmp_path: Path) -> None:
    def stop(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render_shop(tmp_path / "s", n=2, size=32, progress=stop)
    assert not any(tmp_path.iterdir())


# ---- pictures


def test_a_picture_is_a_small_jpeg_with_its_things_in_it() -> None:
    for i in range(25):
        picture = render_picture(1, SHOP, i, 96)
        with Image.open(io.BytesIO(picture.jpeg)) as image:
            assert image.format == "JPEG"
            assert ImageOps.exif_transpose(image).size == picture.size_wh
        for instance in picture.instances:
            assert instance.mask.shape == picture.size_wh[::-1]
        kinds = {x.category for x in picture.instances} - {"mark"}
        assert kinds <= {picture.label}
        if picture.label == NON_PRODUCT:
            assert not picture.instances


def test_masks_do_not_overlap_within_products() -> None:
    for i in range(40):
        products = [x.mask for x in render_picture(2, SHOP, i, 96).instances if x.category != "mark"]
        assert np.sum(products, axis=0).max(initial=0) <= 1


def test_pictures_on_their_side_are_upright_by_exif() -> None:
    upright = _seller()
    image = Image.fromarray(np.arange(48 * 64 * 3, dtype=np.uint8).reshape(48, 64, 3) // 4)
    for sideways in (False, True):
        seller = Seller(
            **{**{k: getattr(upright, k) for k in upright.__dataclass_fields__}, "sideways": sideways}
        )
        with Image.open(io.BytesIO(scene.encode(image, seller))) as stored:
            assert stored.size == ((48, 64) if sideways else (64, 48))
            assert ImageOps.exif_transpose(stored).size == (64, 48)


def test_sellers_have_habits_and_uneven_numbers_of_pictures() -> None:
    sellers = [_seller(i) for i in range(400)]
    by_name: dict[str, Seller] = {}
    for seller in sellers:
        assert by_name.setdefault(seller.name, seller) == seller
    counts = sorted((sum(s.name == name for s in sellers) for name in by_name), reverse=True)
    assert counts[0] >= 6
    assert counts[-1] == 1
    new = seller_of(0, NEWCOMERS, 3, np.random.default_rng(0))
    assert new.name.startswith("newcomer-")


@pytest.mark.parametrize("kind", PRODUCTS)
def test_every_product_fills_its_frame(kind: str) -> None:
    for k in range(12):
        layer = blank((64, 64))
        rng = np.random.default_rng(k)
        spot = PRODUCTS[kind](Pen(layer, affine(64, 64, 48)), scene._style(rng), rng)
        alpha = np.asarray(layer.getchannel("A")) > 0
        assert 0.08 < alpha.mean() < 0.8
        x, y = Pen(layer, affine(64, 64, 48)).pixels([(spot.x, spot.y)])[0].round().astype(int)
        assert alpha[y, x], "the mark sits on the product"


@pytest.mark.parametrize("brand", MARKS)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_changes_a_mark_but_not_all_of_it(brand: str, fault: str) -> None:
    def ink(mark: object) -> np.ndarray:
        layer = blank((48, 48))
        draw_mark(Pen(layer, affine(48, 48, 40)), mark, (0, 0, 0))
        return np.asarray(layer.getchannel("A")) > 0

    genuine = ink(MARKS[brand])
    for k in range(8):
        wrong = ink(spoil(MARKS[brand], fault, np.random.default_rng(k)))
        change = (genuine ^ wrong).sum() / genuine.sum()
        assert 0.03 < change < 1.4
        assert wrong.any()


@pytest.mark.parametrize("name", BACKDROPS)
def test_every_backdrop_paints_the_whole_picture(name: str) -> None:
    for size_wh in ((32, 24), (40, 64)):
        image = BACKDROPS[name](size_wh, (200, 180, 160), (90, 100, 110), np.random.default_rng(0))
        assert image.shape == (size_wh[1], size_wh[0], 3)
        assert np.isfinite(image).all()
        assert -60 < image.min() <= image.max() < 400


@pytest.mark.parametrize("name", ELSEWHERE)
def test_every_other_place_covers_its_canvas(name: str) -> None:
    layer = blank((64, 48))
    ELSEWHERE[name](Pen(layer, affine(64, 48, 64)), np.random.default_rng(1))
    assert np.asarray(layer.getchannel("A")).min() == 255


@pytest.mark.parametrize("prop", [*PROPS, *OCCLUDERS], ids=lambda prop: prop.__name__)
def test_every_prop_draws_something(prop: object) -> None:
    layer = blank((32, 32))
    prop(Pen(layer, affine(32, 32, 28)), np.random.default_rng(1))
    assert (np.asarray(layer.getchannel("A")) > 0).mean() > 0.02


# ---- geometry


def test_viewpoint() -> None:
    flat = Pen(blank((100, 80)), viewpoint((100, 80), 0.5, 0.5, 1.0, 0.0, (0.0, 0.0), 1.0))
    assert flat.pixels([(0, 0), (1, 0), (0, -1)]).tolist() == [[100, 80], [180, 80], [100, 0]]
    assert flat.unit == pytest.approx(80)
    tilted = Pen(blank((100, 80)), viewpoint((100, 80), 0.5, 0.5, 1.0, 0.0, (0.2, 0.0), 1.0))
    left, right = tilted.pixels([(-1, 0), (1, 0)])[:, 0]
    assert right - 100 > 100 - left  # the right edge is nearer


def test_run_lengths_and_box() -> None:
    mask = np.zeros((3, 4), bool)
    mask[1:, 1:3] = True
    assert run_lengths(mask) == [4, 2, 1, 2, 3]
    assert box_of(mask) == (1, 1, 3, 3)
    assert run_lengths(np.ones((2, 2), bool)) == [0, 4]
    assert run_lengths(np.zeros((2, 2), bool)) == [4]


def test_render_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from assay.cli.command import build_parser, parse
    from assay.cli.commands.render import COMMAND

    words = [str(tmp_path / "s"), "--n", "3", "size=32", "--new", "1", "--workers", "1"]
    assert COMMAND.run(parse(build_parser(COMMAND), words)) == 0
    assert "3 rendered pictures" in capsys.readouterr().out
    assert COMMAND.run(parse(build_parser(COMMAND), words)) == 0
    assert "already" in capsys.readouterr().out
