"""The error budget's benchmark: its tables of photos, made worlds, drawings like the toolkit's own, and its summary."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks import error_budget_worlds as made  # noqa: E402
from benchmarks.data.make_error_budget import SIDE_PX, folds, square, strangers, tables  # noqa: E402
from benchmarks.error_budget import RISKS, simulations  # noqa: E402
from benchmarks.error_budget_real import (  # noqa: E402
    GENUINE_POLICY,
    KINDS_POLICY,
    PRODUCT_POLICY,
    drawings,
    find,
    see,
    truths_of,
    write_policy,
)
from benchmarks.error_budget_summary import tables as written  # noqa: E402

from assay.decide.budgets import fit_budgets  # noqa: E402
from assay.decide.evidence import Evidence  # noqa: E402
from assay.decide.policy_read import parse_policy, read_policy  # noqa: E402
from assay.image import encode_image, read_image  # noqa: E402

RISK = 0.1
POLICY = parse_policy(
    {**KINDS_POLICY, "automatic": {"accept": {"risk": RISK}, "reject": {"risk": RISK}}}, "kinds"
)


def held_out(n=900, seed=0):
    """Rows, evidence: products of two kinds and strangers, answered well and honestly unsure."""
    rng = np.random.default_rng(seed)
    rows, evidence = [], []
    for i in range(n):
        foreign, kind = i % 5 == 0, ("hat", "shoe")[i % 2]
        p, q = (float(1 - 0.5 * rng.beta(0.3, 2)) for _ in range(2))
        told = "non-product" if foreign == (rng.random() < p) else "product"
        named = kind if rng.random() < q else {"hat": "shoe", "shoe": "hat"}[kind]
        other = {"product": "non-product", "non-product": "product"}[told]
        answers = {"product": {told: p, other: 1 - p}, "kind": {named: q, "coat": 1 - q}}
        rows.append({"path": f"{i}.jpg", "label": "" if foreign else kind,
                     "product": "non-product" if foreign else "product",
                     "group": "" if foreign else str(i % 60)})  # fmt: skip
        evidence.append(Evidence(f"{i}.jpg", "0" * 64, (160, 160), answers, ("kind",) if i % 50 == 0 else ()))
    return rows, evidence


@pytest.mark.parametrize("grouped", [False, True])
def test_thresholds_are_those_of_the_toolkit(grouped):
    rows, evidence = held_out()
    truths, groups = truths_of(POLICY, rows), [row["group"] for row in rows]
    seen = see(POLICY, evidence, truths, groups)
    budgets = fit_budgets(POLICY, evidence, truths, groups if grouped else None)
    assert {(one.verdict, one.name) for one in budgets.kinds} == set(seen.names)
    for at, (verdict, name) in enumerate(seen.names):
        mine = seen.kind == at
        units = seen.groups[mine] if grouped else None
        assert find(seen.score[mine], seen.right[mine], RISK, units) == budgets.threshold(verdict, name)
    assert grouped or any(one.threshold is not None for one in budgets.kinds)


@pytest.mark.parametrize("unit", ["picture", "group"])
def test_drawings_count_and_add_up(unit):
    rows, evidence = held_out()
    seen = see(POLICY, evidence, truths_of(POLICY, rows), [row["group"] for row in rows])
    assert seen.kind.tolist().count(-1) == 18  # unknown ones go to people
    line = drawings(seen, unit=unit, how="redrawn", risk=RISK, count=8)
    assert line["photos"] == 900
    assert set(line["kinds"]) == {f"{verdict} {name}" for verdict, name in seen.names}
    total = sum(kind["automatic"] for kind in line["kinds"].values())
    assert total == pytest.approx(line["accept"]["automatic"] + line["reject"]["automatic"])
    assert all(0 <= kind["broken"] <= kind["promising"] <= 8 for kind in line["kinds"].values())
    assert drawings(seen, unit=unit, how="redrawn", risk=RISK, count=8) == line


def test_parts_keep_senders_and_shoes_whole(tmp_path):
    shoes = {
        f"{label}/{i}": [f"{label}/{i}__{k}.jpg" for k in range(4)]
        for label in ("fake", "real")
        for i in range(9)
    }
    found = folds(shoes)
    tested = [{row["group"] for row in rows if row["part"] == "test"} for rows in found]
    assert set.union(*tested) == set(shoes)
    assert sum(map(len, tested)) == len(shoes)
    for rows in found:
        parts = {}
        for row in rows:
            assert parts.setdefault(row["group"], row["part"]) == row["part"]
            assert (row["label"] == "suspect") == row["group"].startswith("fake")
        assert {row["label"] for row in rows if row["part"] == "validation"} == {"genuine", "suspect"}
    for i in range(20):
        place = tmp_path / "animals" / f"{i}.jpg"
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(b"")
    others = strangers([tmp_path / "animals"], tmp_path)
    assert [row["part"] for row in others].count("test") == 10
    product = {"path": "a.jpg", "label": "hat", "part": "train", "group": "7"}
    dealt = tables([product, {**product, "path": "b.jpg", "part": "test"}], others)
    assert [row["label"] for row in dealt["kind"]] == ["hat"]
    assert {row["label"] for row in dealt["product"]} == {"product", "non-product"}
    assert len(dealt["held-out"]) == 11
    assert dealt["held-out"][0] == {"path": "b.jpg", "label": "hat", "group": "7", "product": "product"}


def test_photos_become_squares_of_one_size():
    wide = np.zeros((40, 90, 3), np.uint8)
    wide[:, 25:65] = 255  # the middle square alone
    small = read_image(square(encode_image(wide, "JPEG")))
    assert small.shape == (SIDE_PX, SIDE_PX, 3)
    assert small.mean() > 245


def test_policies_are_valid(tmp_path):
    for policy in (KINDS_POLICY, PRODUCT_POLICY, GENUINE_POLICY):
        for risk in RISKS:
            read = read_policy(write_policy(policy, risk, tmp_path))
            assert read.risks["accept"].share == risk
            assert ("reject" in read.risks) == (policy is not GENUINE_POLICY)


def test_made_worlds_are_as_bad_as_they_say():
    for world in made.worlds(0.05):
        assert world.share.sum() == pytest.approx(1)
        assert ((world.wrong >= 0) & (world.wrong <= 1)).all()
        if world.name.startswith(("just above", "one score")):
            assert (world.risks[world.share.cumsum() > 0] > 0.05).all()
        if world.name.startswith("fine"):
            at = int(np.argmax(world.wrong > 0))
            assert (world.risks[:at] == 0).all()
            assert (world.risks[at:] > 0.05).all()
    rng = np.random.default_rng(0)
    world = made.random_world(rng, 0.05)
    scores, right = world.draw(rng, 20_000)
    for threshold in (0.9, 0.5, 0.0):
        assert (~right[scores >= threshold]).mean() == pytest.approx(world.risk(threshold), abs=0.01)
    assert made.worst_world(0.05, 50, tried=2).name == "the worst of a search"


def test_the_summary_has_a_row_for_each_line():
    lines = []
    for name, work in simulations(10):
        if name.startswith(("world/0.05/1000/honest", "shift/0.05/0/10")):
            lines.append({"job": name, **work()})
    trips = made.false_trips(0.05, made.half_in_pairs, 3, 20, 0)
    rows, evidence = held_out(300)
    seen = see(POLICY, evidence, truths_of(POLICY, rows), [row["group"] for row in rows])
    splits = drawings(seen, unit="picture", how="halves", risk=0.1, count=3)
    kinds = [vars(one) for one in fit_budgets(POLICY, evidence, truths_of(POLICY, rows)).kinds]
    lines += [
        {"job": "trips/0.05/half_in_pairs", **trips},
        {"job": "splits/each kind/halves/picture/0.1", **splits},
        {"job": "labels/each kind/0.1", "photos": 300, "strangers": 60, "unknown": 3, "unknown_strangers": 2,
         "right": {"product": (280, 300)}, "kinds": kinds},
        {"job": "sneakers/0", "photos": 90, "shoes": 9, "right": 50, "majority": 50, "promises": 0,
         "accuracy": {"value": 0.55, "low": 0.4, "high": 0.7}, "thresholds": {"0.1 by photo": [None]}},
    ]  # fmt: skip
    text = "\n".join(written(lines))
    for told in (
        "honest",
        "come in twos",
        "half and half",
        "none: to people",
        "product 280 of 300",
    ):
        assert told in text
    for block in text.split("\n\n"):
        widths = {line.count("|") for line in block.splitlines() if line.startswith("|")}
        assert len(widths) <= 1
