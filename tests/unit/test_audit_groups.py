"""Groups: guessed from names and tables, and measured by random and by grouped folds."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from assay.audit.checkups.groups import check_groups
from assay.audit.finding import Finding
from assay.audit.group_guesses import Guess, group_guesses, is_plausible, numbered
from assay.audit.group_measure import measure
from assay.audit.side_tables import side_columns
from assay.data.groups import groups_from_pattern
from assay.data.read import read_dataset


def thing(seed: int, view: int) -> Image.Image:
    """One thing, seen several times: its own pattern of colours, which says nothing of its class."""
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    noise = np.random.default_rng(1000 * seed + view).integers(-25, 26, (48, 48, 3))
    pixels = np.array(Image.fromarray(base).resize((48, 48), Image.Resampling.NEAREST)).astype(int)
    return Image.fromarray(np.clip(np.roll(pixels, 3 * view, axis=1) + noise, 0, 255).astype(np.uint8))


@pytest.fixture
def shoes(tmp_path: Path) -> Path:
    """24 things of 6 pictures, dealt to two classes at random: only a random split can tell them."""
    for shoe in range(24):
        name = ("fake", "real")[shoe % 2]
        (tmp_path / "shoes" / name).mkdir(parents=True, exist_ok=True)
        for view in range(6):
            thing(shoe, view).save(tmp_path / "shoes" / name / f"shoe_{shoe:02}x__{view + 1}.png")
    return tmp_path / "shoes"


def by_code(findings: Any) -> dict[str, Finding]:
    return {f.code: f for f in findings}


def test_leak_and_chance_are_found_unaided(shoes: Path, examine: Callable[..., Any]) -> None:
    told = by_code(check_groups(examine(shoes)))
    leak = told["group-leak"]
    assert leak.level == "error"
    assert leak.figures["groups"] == 24
    assert leak.figures["random"]["value"] > 0.8
    assert leak.figures["difference"]["low"] > 0.03
    assert "--group-pattern" in leak.fix
    chance = told["grouped-at-chance"]
    assert chance.level == "error"
    assert chance.figures["p"] > 0.05
    assert "does not differ from chance" in chance.what
    assert len(leak.items[0].paths) == 6


def test_the_fix_is_what_split_takes(shoes: Path, examine: Callable[..., Any]) -> None:
    leak = by_code(check_groups(examine(shoes)))["group-leak"]
    pattern = leak.figures["options"].split("'")[1]
    grouped = groups_from_pattern(read_dataset(shoes), pattern)
    assert len(set(grouped.table["group"].to_pylist())) == 24


def test_a_group_column_that_does_no_harm(
    tmp_path: Path, draw_patch: Callable[..., Image.Image], examine: Callable[..., Any]
) -> None:
    lines = ["path,label,group"]
    for i in range(60):
        draw_patch(i % 2, i).save(tmp_path / f"{i}.png")
        lines.append(f"{i}.png,{'ab'[i % 2]},s{i // 5}")
    (tmp_path / "data.csv").write_text("\n".join(lines))
    told = by_code(check_groups(examine(tmp_path / "data.csv")))
    assert "group-leak" not in told
    assert "grouped-at-chance" not in told
    assert told["groups-harmless"].level == "good"


def test_one_group_says_nothing(
    tmp_path: Path, draw_patch: Callable[..., Image.Image], examine: Callable[..., Any]
) -> None:
    lines = ["path,label,group"]
    for i in range(40):
        draw_patch(i % 2, i).save(tmp_path / f"{i}.png")
        lines.append(f"{i}.png,{'ab'[i % 2]},only")
    (tmp_path / "data.csv").write_text("\n".join(lines))
    examination = examine(tmp_path / "data.csv")
    (found,) = check_groups(examination)
    assert (found.level, found.code) == ("warning", "one-group")
    assert "the same group, 'only'" in found.what
    assert examination.vectors.accuracy.low > 0.7  # learnt and judged as if there were no groups


def guess(values: list[Any], kind: str = "name", sure: bool = False) -> Guess:
    return Guess(kind, "x", numbered(values), sure=sure)


def test_what_is_plausible() -> None:
    targets = np.arange(60) % 2
    usable = np.ones(60, bool)
    assert is_plausible(guess([f"g{i // 4}" for i in range(60)]), targets, usable)
    assert not is_plausible(guess([f"g{i}" for i in range(60)]), targets, usable)  # each alone
    assert not is_plausible(guess(["one"] * 60), targets, usable)
    assert not is_plausible(guess([f"class{t}" for t in targets]), targets, usable)  # one a class
    assert not is_plausible(guess([None] * 60, sure=True), targets, usable)
    assert not is_plausible(guess(["one"] * 60, sure=True), targets, usable)
    pure = [f"{t}-{i // 20}" for i, t in enumerate(targets)]  # three kinds a class: subclasses, not groups
    assert not is_plausible(guess(pure), targets, usable)


def test_names_of_classes_are_no_groups(photos: Path, examine: Callable[..., Any]) -> None:
    for path in sorted(photos.rglob("*.png")):
        path.rename(path.with_name(f"{path.parent.name}_{path.stem}.png"))
    assert [g for g in group_guesses(examine(photos), []) if g.kind == "name"] == []


def test_tables_beside_the_pictures(tmp_path: Path, photos: Path) -> None:
    paths = sorted(p.relative_to(photos).as_posix() for p in photos.rglob("*.png"))
    with (photos / "who.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["photo", "sender"], *([p, f"s{i % 4}"] for i, p in enumerate(paths))])
    (photos / "where.json").write_text(json.dumps({p: {"shop": "north"} for p in paths}))
    (photos / "lines.jsonl").write_text(
        "\n".join(json.dumps({"file": p, "n": i}) for i, p in enumerate(paths))
    )
    pq.write_table(pa.table({"name": paths[:3], "few": ["x"] * 3}), photos / "few.parquet")
    (photos / "broken.json").write_text("{")
    (photos / "other.csv").write_text("a,b\n1,2\n")
    found = {(c.table, c.name): c for c in side_columns(read_dataset(photos))}
    assert set(found) == {("who.csv", "sender"), ("where.json", "shop"), ("lines.jsonl", "n")}
    assert set(found["who.csv", "sender"].values) == {"s0", "s1", "s2", "s3"}


def test_ambiguous_names_tell_nothing(photos: Path) -> None:
    (photos / "who.csv").write_text("photo,sender\n" + "".join(f"{k}.png,s\n" for k in range(8)))
    assert side_columns(read_dataset(photos)) == []  # 0.png is in every class folder


def test_a_table_that_contradicts(photos: Path, examine: Callable[..., Any]) -> None:
    paths = sorted(p.relative_to(photos).as_posix() for p in photos.rglob("*.png"))
    labels = [p.partition("/")[0].upper() for p in paths]
    labels[2] = "Squares"
    text = "".join(f"{p},{label},{label.lower()}\n" for p, label in zip(paths, labels, strict=True))
    (photos / "table.csv").write_text("image,kind,again\n" + text, encoding="utf-8")
    told = [f for f in check_groups(examine(photos)) if f.code == "side-table-contradicts"]
    assert len(told) == 2
    assert told[0].level == "warning"
    assert told[0].items[0].paths == (paths[2],)
    assert told[0].items[0].figures == {"given": "circle", "told": "square"}
    assert "For one picture the column 'kind' in table.csv names another class" in told[0].what


def test_a_table_that_agrees(photos: Path, examine: Callable[..., Any]) -> None:
    paths = sorted(p.relative_to(photos).as_posix() for p in photos.rglob("*.png"))
    text = "".join(f"{p},{p.partition('/')[0]}\n" for p in paths)
    (photos / "table.csv").write_text("image,kind\n" + text, encoding="utf-8")
    assert by_code(check_groups(examine(photos)))["side-table-agrees"].level == "good"


@pytest.mark.shared
@pytest.mark.slow
def test_the_leak_of_the_sneakers(shared_data: Path, examine: Callable[..., Any]) -> None:
    told = by_code(check_groups(examine(shared_data / "sneakers")))
    assert "'__'" in told["group-leak"].what
    assert not told["grouped-at-chance"].figures["differs_from_chance"]


@pytest.mark.parametrize(("groups", "classes"), [(6, 2), (9, 3)])
def test_noise_with_few_groups_a_class_looks_like_no_leak(groups: int, classes: int) -> None:
    """Without the correction grouped folds are 10 points below chance: holding a group out takes its class away."""
    shares, leaks = [], 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        held = np.repeat(np.arange(groups), 16)
        targets = held % classes
        features = rng.normal(size=(len(held), 12)).astype(np.float32)
        vectors = SimpleNamespace(rows=np.arange(len(held)), targets=targets, features=features)
        measured = measure(Guess("name", "x", held), vectors, seed)  # type: ignore[arg-type]
        assert measured is not None
        shares.append(measured.grouped.value)
        leaks += measured.leaks
    assert np.mean(shares) == pytest.approx(1 / classes, abs=0.045)
    assert leaks == 0
