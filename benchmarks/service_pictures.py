"""Pictures of the service's pages for ``docs/pictures/service``: rendered photos, a made-up month, headless Chromium.

    python -m benchmarks.service_pictures [--only review] [--out docs/pictures/service]

Every page in light, dark, at phone width and in Chinese. Nothing in them is real: no photo, no person, no verdict.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import os
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sql
from PIL import Image
from tests.service_browser import CHROMIUM, chromium, sign_in
from tests.service_stage import KINDS, Stage, answers, listening, staged

from assay.data.synthetic import render_shop
from assay.decide.decision import decide
from assay.decide.evidence import Evidence
from assay.decide.match import Match
from assay.service.store.decisions import MACHINE, Decided, keep
from assay.service.store.enrolled import add_reference
from assay.service.store.hooks import announce
from assay.service.store.ids import new_id
from assay.service.store.photos import Upload, take_in
from assay.service.store.reviews import Answer, answer, next_tasks
from assay.service.store.schema import ANSWERS, DECISIONS, HOOKS, OUTBOX

DAY_S = 86400.0
LOOKS = {
    "light": {"color_scheme": "light", "viewport": {"width": 1280, "height": 800}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1280, "height": 800}},
    "phone": {"color_scheme": "light", "viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True},
    "chinese": {"color_scheme": "light", "viewport": {"width": 1280, "height": 800}, "locale": "zh-CN"},
}  # fmt: skip
HOSTILE = 'IMG_<b>0042</b> "best" & \u202egpj.exe'


@dataclass(frozen=True)
class Shot:
    """One rendered photo with its truth."""

    data: bytes
    label: str
    seller: str
    genuine: str
    things: list[dict[str, Any]]
    size_hw: tuple[int, int]


def read_shots(shop: Path) -> list[Shot]:
    """The rendered photos, with boxes and masks of what they show."""
    told = json.loads((shop / "boxes.json").read_text("utf-8"))
    names = {one["id"]: one["name"] for one in told["categories"]}
    sizes = {one["file_name"]: (one["id"], one["height"], one["width"]) for one in told["images"]}
    found = []
    with (shop / "labels.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            number, height, width = sizes[row["path"]]
            things = [_thing(one, names) for one in told["annotations"] if one["image_id"] == number]
            data = (shop / row["path"]).read_bytes()
            found.append(Shot(data, row["label"], row["seller"], row["genuine"], things, (height, width)))
    return found


def _thing(one: dict[str, Any], names: dict[int, str]) -> dict[str, Any]:
    score = 0.99 - (int(one["area"]) % 37) / 200
    thing = {
        "question": "parts", "label": names[one["category_id"]], "score": round(score, 3), "box_xyxy": one["box_xyxy"],
    }  # fmt: skip
    mask = one["segmentation"]
    if isinstance(mask, dict):
        from assay.masks import from_coco  # noqa: PLC0415 - needs the library of masks

        thing["mask"] = from_coco(mask, tuple(mask["size"])).to_coco()
    return thing


def fill_month(stage: Stage, shots: list[Shot], people: list[str]) -> None:
    """Thirty days of photos, answers of people, audits, a webhook that fails."""
    rng = np.random.default_rng(7)
    now = time.time()
    connection_key = stage.home.key
    hook = {
        "id": new_id("h"),
        "url": "https://shop.example/assay",
        "secret": "s",
        "created_at": now - 20 * DAY_S,
    }
    stage.database.write_now(lambda c: c.execute(HOOKS.insert().values(**hook)))
    for day in range(30):
        start = now - (29 - day) * DAY_S - now % DAY_S
        number = int(rng.integers(60, 110) * (1.5 if day % 7 in (5, 6) else 1))
        ats = np.sort(start + rng.beta(2.2, 1.8, number) * (DAY_S if day < 29 else now % DAY_S))
        made = [_made(stage, shots[int(rng.integers(len(shots)))], float(at), rng) for at in ats]

        def write(connection: Any, made: list[Any] = made, at: float = float(ats[-1])) -> None:
            for upload, _ in made:
                take_in(connection, upload, stage.machine.owner, at + 60)
            for upload, one in made:
                keep(connection, stage.machine.owner, connection_key, upload.received_at, [one])

        stage.database.write_now(write)
    for _ in range(3):
        _answer_all(stage, people, rng)
    stage.database.write_now(
        lambda c: c.execute(OUTBOX.update().values(state="sent", tries=1).where(OUTBOX.c.state == "waiting"))
    )
    late = {"photo_id": "p_x", "id": "d_x", "verdict": "accept", "clause": "all-right", "automatic": True}
    stage.database.write_now(lambda c: announce(c, now + 300, [late]))
    failed = {"tries": 3, "failure": "503 Service Unavailable", "next_at": now + 60}
    stage.database.write_now(
        lambda c: c.execute(OUTBOX.update().values(failed).where(OUTBOX.c.state == "waiting"))
    )


def _made(stage: Stage, shot: Shot, at: float, rng: Any) -> tuple[Upload, Decided]:
    digest = hashlib.sha256(f"{at}".encode()).hexdigest()
    sure = float(np.clip(rng.beta(16, 0.9), 0.3, 0.999))
    label = KINDS[int(rng.integers(len(KINDS)))]
    said = answers(kind={label: sure, "bag" if label != "bag" else "cap": round(1 - sure, 4)})
    roll = rng.random()
    if roll < 0.07:
        said["product"] = {"other": 0.985, "product": 0.015}
    elif roll < 0.11:
        said["sharp"] = {"blurred": 0.96, "sharp": 0.04}
    elif roll < 0.15:
        said["genuine"] = {"suspect": 0.83, "genuine": 0.15, "no mark": 0.02}
    unknown = ("kind",) if rng.random() < 0.012 else ()
    photo = hashlib.sha256(shot.data).hexdigest()
    stage.objects.put(photo, shot.data)
    upload = Upload(new_id("p"), photo, len(shot.data), "k_shop", at, shot.seller)
    evidence = Evidence("the photo", digest, shot.size_hw, said, unknown)
    made = decide(stage.policy, stage.budgets, evidence)
    one = Decided(upload.id, made, {}, double=rng.random() < 0.25)
    return upload, one


def _answer_all(stage: Stage, people: list[str], rng: Any) -> None:
    """Reviewers answer all tasks of the month, nearly always alike."""
    now = time.time()
    for turn in range(400):
        reviewer = people[turn % len(people)]

        def work(connection: Any, reviewer: str = reviewer) -> int:
            tasks = next_tasks(connection, reviewer, now, 10)
            for task in tasks:
                verdict = truth_of(connection, task.photo_id)
                if rng.random() < 0.018:
                    verdict = "reject" if verdict == "accept" else "accept"
                clause = {"accept": "all-right", "reject": "no-product", "resubmit": "blurred"}[verdict]
                answer(connection, reviewer, task.id, Answer(verdict, clause, {}), now, hold_s=0)
            return len(tasks)

        if not stage.database.write_now(work) and turn > 3 * len(people):
            break
    seconds = ANSWERS.update().values(seconds=3.0 + 2.5 * ANSWERS.c.final_at % 7)
    stage.database.write_now(lambda c: c.execute(seconds))
    while stage.settle(60).answers:
        pass


def truth_of(connection: Any, photo_id: str) -> str:
    """What a careful person says: nearly always what the machine would, but for lamps."""
    body = json.loads(
        connection.execute(
            sql.select(DECISIONS.c.body).where(
                DECISIONS.c.photo_id == photo_id, DECISIONS.c.decided_by == MACHINE
            )
        ).scalar()
    )
    wanted = body["proposed"]
    roll = int(hashlib.sha256(photo_id.encode()).hexdigest()[:4], 16) / 65536
    if wanted["kind"] == "lamp" and roll < 0.4:
        return "reject"
    return str(wanted["verdict"]) if wanted["verdict"] != "review" else "accept" if roll < 0.6 else "reject"


def fill_desk(stage: Stage, shots: list[Shot], shop_key: str) -> dict[str, Any]:
    """What waits now: reviews of several kinds, and photos of one seller; name -> photo id."""
    marked = [shot for shot in shots if shot.genuine == "suspect" and shot.things]
    plain = [shot for shot in shots if shot.genuine != "suspect" and shot.things]
    hero = marked[0]
    fake = replace(hero, data=_edited(hero.data), things=[])
    plain.sort(key=lambda shot: shot.label != hero.label)  # references of the same item first
    ids: dict[str, Any] = {"marks": hero.things}

    def add(shot: Shot, **more: Any) -> str:
        given = {
            "sender": shot.seller,
            "item": shot.label,
            "size_hw": shot.size_hw,
            "things": shot.things,
            **more,
        }
        return stage.photo(shot.data, key=shop_key, **given)

    def said_of(shot: Shot, **changed: dict[str, float]) -> Any:
        return answers(kind={shot.label: 0.98, "book" if shot.label != "book" else "bag": 0.02}, **changed)

    hour = time.time() - 3600
    ids["fake"] = add(fake, said=said_of(fake), at=hour, name="IMG_1881.jpg", value=-9.0)
    stage.database.write_now(lambda c: add_reference(c, stage.home.key, ids["fake"], "fake", shop_key, hour))
    for i, shot in enumerate(plain[:2]):
        genuine = add(shot, said=said_of(shot), at=hour, item=hero.label, name=f"studio-{i}.jpg")
        stage.database.write_now(
            lambda c, genuine=genuine: add_reference(c, stage.home.key, genuine, "genuine", shop_key, hour)
        )
    earlier = {
        2: {"product": {"other": 0.99, "product": 0.01}},
        4: {"sharp": {"blurred": 0.97, "sharp": 0.03}},
    }
    for i, shot in enumerate(plain[2:8]):
        said = said_of(shot, **earlier.get(i, {}))
        add(shot, at=hour + i, sender=hero.seller, said=said, name=f"IMG_20{i}.jpg")
    match = Match("fake", "near", hashlib.sha256(fake.data).hexdigest(), fake.label, 0.031)
    said = answers(
        kind={hero.label: 0.955, "bottle": 0.03, "lamp": 0.015},
        genuine={"suspect": 0.81, "genuine": 0.17, "no mark": 0.02},
    )
    for copy in range(3):
        name = add(hero, said=said, matches=(match,), value=9.0, alike="hero", name=HOSTILE, at=hour + copy)
        ids["hero" if copy == 0 else f"copy-{copy}"] = name
    ids["audit"] = add(plain[8], said=said_of(plain[8]), audited=True, value=3.0, at=hour)
    unsure = answers(kind={plain[9].label: 0.61, "bag": 0.34, "shoe": 0.05})
    ids["unsure"] = add(plain[9], said=unsure, value=2.0, at=time.time() - 500)
    rejected = said_of(plain[10], product={"other": 0.992, "product": 0.008})
    ids["rejected"] = add(plain[10], said=rejected, name="dinner.jpg")
    ids["waiting"] = stage.photo(plain[11].data, key=shop_key, name="DSC_0007.jpg", waits=True)
    return ids


def _edited(data: bytes) -> bytes:
    """The photo mirrored, cut and lighter: what the seller of a fake might have sent before."""
    picture = Image.open(io.BytesIO(data)).convert("RGB").transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    picture = picture.crop((20, 12, picture.width - 8, picture.height - 22)).point(lambda v: min(255, v + 24))
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=60)
    return stream.getvalue()


def heat_of(thing: dict[str, Any], size_hw: tuple[int, int], rows: int = 7) -> dict[str, Any]:
    """A map as the service tells it: strongest where a thing is."""
    x1, y1, x2, y2 = thing["box_xyxy"]
    height, width = size_hw
    ys, xs = (np.mgrid[0:rows, 0:rows] + 0.5) / rows
    cx, cy = (x1 + x2) / 2 / width, (y1 + y2) / 2 / height
    blob = np.exp(-((xs - cx) ** 2 + (ys - cy) ** 2) / (2 * 0.13**2))
    return {"question": "genuine", "answer": "suspect", "probability": 0.81, "grid": blob.round(3).tolist(),
            "frame_xyxy": [0, 0, width, height]}  # fmt: skip


def take(out: Path, shop: Path, only: str, looks: list[str]) -> None:
    """All pictures."""
    shots = read_shots(shop)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, staged(Path(folder)) as stage:
        people = [stage.key(name, "review")[0] for name in ("reviewer one", "reviewer two", "night shift")]
        shop_key = stage.key("shop front", "submit")[0]
        boss = stage.key("operator", "operate")[0]
        fill_month(stage, shots, [one.id for one in people])
        ids = fill_desk(stage, shots, boss.id)
        with listening(stage) as address, chromium() as browser:
            stage.service.live.facts.masks = ("parts",)
            drawn = json.dumps({"things": ids["marks"]})
            told = json.dumps(heat_of(next(t for t in ids["marks"] if t["label"] == "mark"), (640, 640)))
            for look in looks:
                context = browser.new_context(**LOOKS[look], device_scale_factor=1)
                context.route(
                    "**/heat?*", lambda route: route.fulfill(body=told, content_type="application/json")
                )
                context.route(
                    "**/masks", lambda route: route.fulfill(body=drawn, content_type="application/json")
                )
                for key, pages in ((boss, _pages(ids)), (people[0], {"review": "/review"})):
                    sign_in(context, stage, key, address)
                    for name, path in pages.items():
                        if only in name:
                            _take(context, address + path, out, f"{name}-{look}")
                context.close()
        assert shop_key.id


def _pages(ids: dict[str, Any]) -> dict[str, str]:
    return {
        "upload": "/", "operate": "/operate?range=month", "story": f"/photos/{ids['hero']}",
        "appeal": f"/appeal/{ids['rejected']}", "docs": "/docs", "signin": "/signin",
    }  # fmt: skip


def _take(context: Any, address: str, out: Path, name: str) -> None:
    page = context.new_page()
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(address)
    page.wait_for_load_state("networkidle")
    if name.startswith("review"):
        page.wait_for_selector("#desk[data-task]")
        _save(page, out / f"{name}.webp")
        page.keyboard.press("h")
        page.keyboard.press("m")
        page.keyboard.press("g")
        page.keyboard.press("r")
        page.wait_for_timeout(300)
        _save(page, out / f"{name}-reject.webp")
        before = page.evaluate("document.getElementById('desk').dataset.task")
        page.keyboard.press("2")
        page.keyboard.press("g")
        page.wait_for_function(
            "before => document.getElementById('desk').dataset.task !== before", arg=before
        )
        page.wait_for_timeout(1200)
        _save(page, out / f"{name}-next.webp")
        page.keyboard.press("u")
        page.wait_for_function(
            "before => document.getElementById('desk').dataset.task === before", arg=before
        )
    elif name.startswith("signin"):
        _save(page, out / f"{name}.webp")
    else:
        _save(page, out / f"{name}.webp", full=not name.startswith("docs"))
    page.close()
    if faults:
        print(name, faults)


def _save(page: Any, path: Path, *, full: bool = False) -> None:
    """A small WebP; the very long ones are cut."""
    page.evaluate("for (const one of document.images) one.loading = 'eager'")
    page.wait_for_load_state("networkidle")
    picture = Image.open(io.BytesIO(page.screenshot(full_page=full)))
    picture.crop((0, 0, picture.width, min(picture.height, 2600))).convert("RGB").save(
        path, quality=64, method=6
    )
    print(path.name, picture.size, f"{path.stat().st_size / 1024:.0f} KiB")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("docs/pictures/service"))
    parser.add_argument("--only", default="", help="part of a page's name")
    parser.add_argument(
        "--look", action="append", choices=list(LOOKS), help="one or more; all when not given"
    )
    parser.add_argument(
        "--shop", type=Path, default=Path(".cache/service-shop"), help="where photos are rendered"
    )
    told = parser.parse_args()
    assert Path(CHROMIUM).exists(), f"no browser at {CHROMIUM}"
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    render_shop(told.shop, n=60, size=640, new=4)
    take(told.out, told.shop, told.only, told.look or list(LOOKS))


if __name__ == "__main__":
    main()
