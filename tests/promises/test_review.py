"""A review is possible without a mouse; undo works; nobody gets another's job: in a real browser, 20 reviewers at once.

The browser is Debian's Chromium. Each page is also checked by axe-core, in light and dark, in both languages.
"""

from __future__ import annotations

import asyncio
import io
import json
import threading
import time
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
import yaml
from tests.cells import draw_cells, write_cells_bundle
from tests.served import drawn, served
from tests.service_browser import axe_source, chromium, faults_of, require_browser, sign_in
from tests.service_stage import Stage, answers, listening, staged
from tests.tiny_policy import write_tiny_policy

from assay.decide.match import Match
from assay.service.store.schema import ANSWERS, DECISIONS, TASKS

UNSURE = answers(kind={"bag": 0.55, "shoe": 0.45})
REJECTED = answers(product={"other": 0.99, "product": 0.01})
REVIEWERS, PHOTOS = 20, 120
SWAP_MS = 50.0


@pytest.fixture(scope="module")
def browser():
    require_browser()
    with chromium() as found:
        yield found


@pytest.fixture
def stage(tmp_path):
    with staged(tmp_path) as found:
        yield found


def picture(seed: int) -> bytes:
    return drawn(seed, 256)


def open_review(browser: Any, stage: Stage, address: str, name: str, **options: Any) -> Any:
    """The queue in a browser of its own; ``page.faults`` are what its console says."""
    key, _ = stage.key(name, "review")
    context = browser.new_context(**options)
    sign_in(context, stage, key, address)
    page = context.new_page()
    page.key, page.faults = key, []
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.goto(address + "/review")
    return page


def task_of(page: Any, other_than: str | None = None) -> str:
    """The task that is shown, once it is another one."""
    page.wait_for_function(
        "before => { const now = document.getElementById('desk').dataset.task; return now && now !== before }",
        arg=other_than,
    )
    return str(page.evaluate("document.getElementById('desk').dataset.task"))


def answers_of(stage: Stage, count: int) -> list[Any]:
    """Answers that are kept, once there are so many."""
    until = time.monotonic() + 20
    while True:
        with stage.database.reading() as connection:
            rows = connection.execute(ANSWERS.select().order_by(ANSWERS.c.at)).all()
        if len(rows) >= count or time.monotonic() > until:
            assert len(rows) == count
            return list(rows)
        time.sleep(0.05)


def test_a_whole_session_by_keyboard_alone(browser, stage):
    things = [{"label": "bag", "score": 0.9, "box_xyxy": [30, 40, 150, 180]}]
    match = (Match("fake", "near", "f" * 64, "bag", 0.04),)
    for place in range(7):
        more = {"things": things, "matches": match} if place == 0 else {}
        stage.photo(picture(place), said=UNSURE, value=20.0 - place, sender="one sender", item="bag", **more)
    audit = stage.photo(picture(90), audited=True, value=1.0)
    with listening(stage) as address:
        page = open_review(browser, stage, address, "by keyboard")
        press = page.keyboard.press
        shown = task_of(page)

        # the tools: help, zoom and moving, boxes, references beside
        press("?")
        assert page.locator("#help").evaluate("dialog => dialog.open")
        press("a")  # a key of the help, not an answer
        press("Escape")
        press("z")
        press("ArrowLeft")
        assert page.locator('[data-tool="zoom"]').get_attribute("aria-pressed") == "true"
        press("z")
        press("b")
        assert page.locator('[data-tool="boxes"]').get_attribute("aria-pressed") == "false"
        press("g")
        assert page.locator("#beside").is_visible()
        press("g")
        assert task_of(page) == shown

        # correct the second question: digit opens it, digit chooses; then accept
        press("2")
        press("2")
        assert page.locator('[data-question="kind"] input:checked').get_attribute("value") == "shoe"
        press("a")
        second = task_of(page, shown)

        # reject with a reason; Escape first leaves the choice
        press("r")
        press("Escape")
        press("1")  # opens the first question now, chooses no reason
        press("Escape")
        press("r")
        press("2")
        third = task_of(page, second)

        # another photo, with a reason
        press("n")
        press("1")
        fourth = task_of(page, third)

        # a confirmed fake wants a second press
        press("f")
        assert task_of(page) == fourth
        press("f")
        fifth = task_of(page, fourth)

        # skip, and what was skipped is no answer
        press("s")
        sixth = task_of(page, fifth)
        press("a")
        rows = answers_of(stage, 5)
        given = [(row.verdict, row.clause, row.fake) for row in rows]
        assert given == [
            ("accept", "all-right", False),
            ("reject", "mark", False),
            ("resubmit", "blurred", False),
            ("reject", "known-fake", True),
            ("accept", "all-right", False),
        ]
        assert [row.task_id for row in rows] == [shown, second, third, fourth, sixth]
        assert json.loads(rows[0].truth)["kind"] == "shoe"
        assert json.loads(rows[1].truth) == {"genuine": "suspect"}
        assert float(page.evaluate("document.getElementById('desk').dataset.swapMs")) < 40 * SWAP_MS

        # the rest, the audit among it, shows nothing of the machine; then nothing waits
        seen = set()
        while page.locator("#rest").is_hidden():
            task = page.evaluate("document.getElementById('desk').dataset.task")
            if task not in seen:
                seen.add(task)
                if page.locator(f"form[data-photo='{audit}']").count():
                    assert page.locator("#panel .share").count() == 0
                    assert page.locator("#panel .proposal").count() == 0
                    assert page.locator("#panel input:checked").count() == 0
                press("a")
            page.wait_for_timeout(50)
        assert len(answers_of(stage, 8)) == 8
        assert page.faults == []
        page.context.close()


def test_single_keys_can_be_turned_off(browser, stage):
    """WCAG 2.1.4: who dictates, or hits keys by chance, answers with buttons."""
    for place in range(2):
        stage.photo(picture(60 + place), said=UNSURE, value=20.0 - place)
    with listening(stage) as address:
        page = open_review(browser, stage, address, "by voice")
        shown = task_of(page)
        page.keyboard.press("?")
        page.locator("#single-keys").uncheck()
        page.keyboard.press("Escape")
        page.keyboard.press("a")
        page.keyboard.press("1")
        page.wait_for_timeout(200)
        assert task_of(page) == shown
        page.locator('[data-action="accept"]').focus()
        page.keyboard.press("Enter")
        task_of(page, shown)
        assert len(answers_of(stage, 1)) == 1
        page.reload()
        page.keyboard.press("?")
        assert not page.locator("#help").evaluate("dialog => dialog.open")
        page.context.close()


def test_the_next_photo_is_there_at_once(browser, stage):
    for place in range(12):
        stage.photo(picture(100 + place), said=UNSURE, value=20.0 - place)
    with listening(stage) as address:
        page = open_review(browser, stage, address, "swift")
        task, times = task_of(page), []
        for _ in range(8):
            page.wait_for_timeout(400)  # a person looks at least so long
            page.keyboard.press("a")
            task = task_of(page, task)
            page.wait_for_timeout(60)
            times.append(float(page.evaluate("document.getElementById('desk').dataset.swapMs")))
        # other tests may hold this machine up now and then
        assert sorted(times)[len(times) // 4] < SWAP_MS, times
        page.context.close()


def test_undo_brings_the_photo_back(browser, stage):
    for place in range(4):
        stage.photo(picture(200 + place), said=UNSURE, value=20.0 - place)
    with listening(stage) as address:
        page = open_review(browser, stage, address, "second thoughts")
        first = task_of(page)
        page.keyboard.press("a")
        second = task_of(page, first)
        assert page.locator("#held").is_visible()
        page.keyboard.press("r")
        page.keyboard.press("1")
        third = task_of(page, second)
        page.keyboard.press("u")
        assert task_of(page, third) == second
        page.keyboard.press("u")
        assert task_of(page, second) == first
        assert page.locator("#today").inner_text() == "0"
        assert {row.state for row in answers_of(stage, 2)} == {"undone"}
        # answered otherwise now
        page.keyboard.press("n")
        page.keyboard.press("1")
        task_of(page, first)
        rows = answers_of(stage, 3)
        assert (rows[2].task_id, rows[2].verdict, rows[2].state) == (first, "resubmit", "held")
        # after ten seconds there is nothing to take back, and the countdown is gone
        page.wait_for_selector("#held", state="hidden", timeout=15000)
        assert page.locator('[data-action="undo"]').is_disabled()
        page.context.close()


def test_a_photo_that_went_to_somebody_else_is_told(browser, stage):
    for place in range(2):
        stage.photo(picture(300 + place), said=UNSURE, value=20.0 - place)
    with listening(stage) as address:
        page = open_review(browser, stage, address, "late")
        first = task_of(page)
        stolen = (
            TASKS.update()
            .where(TASKS.c.id == first)
            .values(leased_by="k_other", lease_until=time.time() + 99)
        )
        stage.database.write_now(lambda c: c.execute(stolen))
        page.evaluate(
            "window.dispatchEvent(new Event('focus'))"
        )  # a page that is looked at again renews its leases
        page.wait_for_selector("#notice:not([hidden])")
        assert "somebody else" in page.locator("#notice").inner_text()
        second = task_of(page, first)
        stolen = (
            TASKS.update()
            .where(TASKS.c.id == second)
            .values(leased_by="k_other", lease_until=time.time() + 99)
        )
        stage.database.write_now(lambda c: c.execute(stolen))
        page.keyboard.press("a")
        page.wait_for_selector("#rest:not([hidden])")
        assert answers_of(stage, 0) == []
        page.context.close()


def test_twenty_reviewers_at_once_never_share_a_photo(browser, stage):
    """18 of them are programs that hurry; 2 are people in browsers. Every answer is by who had the photo alone."""
    photos = [
        stage.photo(drawn(1000 + place, 32), said=UNSURE, double=place % 4 == 0) for place in range(PHOTOS)
    ]
    keys = [stage.key(f"program {place}", "review") for place in range(REVIEWERS - 2)]
    held: list[tuple[str, str, float, float]] = []  # task, reviewer, from, until
    refused: list[int] = []

    def work(words: str, name: str, address: str) -> None:
        asyncio.run(_hurry(words, name, address, held, refused))

    with listening(stage) as address:
        people = [open_review(browser, stage, address, f"person {place}") for place in range(2)]
        threads = [threading.Thread(target=work, args=(words, key.id, address)) for key, words in keys]
        for thread in threads:
            thread.start()
        before: list[str | None] = [None, None]
        while any(thread.is_alive() for thread in threads):
            for place, page in enumerate(people):
                now = page.evaluate("document.getElementById('desk').dataset.task ?? null")
                if now is not None and now != before[place]:
                    before[place] = now
                    page.keyboard.press("a")
            people[0].wait_for_timeout(20)
        for thread in threads:
            thread.join()
        for page in people:
            page.wait_for_selector("#rest:not([hidden])", timeout=30000)
            assert page.faults == []
            page.context.close()
    assert refused == []
    with stage.database.reading() as connection:
        rows = connection.execute(ANSWERS.select()).all()
        left = connection.execute(TASKS.select().where(TASKS.c.state == "open")).all()
    assert left == []
    assert len(rows) == PHOTOS + PHOTOS // 4
    assert max(Counter(row.task_id for row in rows).values()) == 1
    assert max(Counter((row.photo_id, row.reviewer) for row in rows).values()) == 1
    assert len({row.reviewer for row in rows}) > REVIEWERS // 2
    by_task: dict[str, list[tuple[float, float, str]]] = {}
    for task, reviewer, since, until in held:
        by_task.setdefault(task, []).append((since, until, reviewer))
    for spans in by_task.values():
        ordered = sorted(spans)
        for one, other in pairwise(ordered):
            assert one[1] <= other[0] or one[2] == other[2], spans
    while stage.settle(30).answers:
        pass
    with stage.database.reading() as connection:
        live = connection.execute(DECISIONS.select().where(DECISIONS.c.live)).all()
    assert Counter(row.photo_id for row in live) == Counter(photos)


async def _hurry(words: str, name: str, address: str, held: list[Any], refused: list[int]) -> None:
    """One reviewer through the JSON API: takes two, answers them, until nothing is left for a while."""
    import httpx2 as httpx

    headers = {"Authorization": f"Bearer {words}"}
    empty = 0
    async with httpx.AsyncClient(base_url=address, headers=headers, timeout=60, trust_env=False) as client:
        while empty < 5:
            began = time.monotonic()
            tasks = (await client.post("/v1/review/next", json={"most": 2})).json()["tasks"]
            empty = 0 if tasks else empty + 1
            for task in tasks:
                told = await client.post(f"/v1/review/tasks/{task['id']}/answer", json={"verdict": "accept"})
                if told.status_code != 200:
                    refused.append(told.status_code)
                held.append((task["id"], name, began, time.monotonic()))
            await asyncio.sleep(0.05 if tasks else 0.2)


def test_a_photo_is_sent_and_its_answer_seen(browser, stage, tmp_path):
    key, _ = stage.key("seller", "submit")
    things = [{"label": "bag", "score": 0.9, "box_xyxy": [30, 40, 150, 180]}]
    stage.machine.says = lambda data: {"said": REJECTED, "things": things, "size_hw": (256, 256)}
    file = tmp_path / "<img src=x onerror=alert(1)>.png"
    file.write_bytes(picture(400))
    with listening(stage) as address:
        context = browser.new_context()
        sign_in(context, stage, key, address)
        page = context.new_page()
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", lambda dialog: faults.append(dialog.message))
        page.goto(address + "/")
        page.set_input_files("#files", str(file))
        card = page.locator(".answer[data-photo]")
        card.wait_for()
        assert "Reject" in card.locator(".verdict").inner_text()
        assert card.locator(".line bdi").inner_text() == file.name
        page.wait_for_selector(".marks:not([hidden])")
        page.wait_for_function("() => document.getElementById('said').textContent.includes('Reject')")
        page.reload()
        assert page.locator(".answer[data-photo]").count() == 1
        assert faults == []
        context.close()


@pytest.mark.parametrize("look", ["light", "dark"])
@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_no_page_has_serious_faults_of_accessibility(browser, stage, look, language):
    source = axe_source()
    boss, _ = stage.key("boss", "operate")
    accepted = stage.photo(picture(500), key=boss.id, item="bag", sender="one")
    rejected = stage.photo(picture(501), key=boss.id, said=REJECTED, sender="one")
    match = (Match("fake", "near", "f" * 64, "bag", 0.04),)
    things = [{"label": "bag", "score": 0.9, "box_xyxy": [30, 40, 150, 180]}]
    stage.photo(picture(502), said=UNSURE, sender="one", matches=match, things=things, value=9.0)
    stage.photo(picture(503), audited=True, double=True)
    paths = [
        "/",
        "/operate",
        f"/photos/{accepted}",
        f"/appeal/{rejected}",
        "/docs",
        "/signin",
        "/review",
        "/photos/p_no",
    ]
    with listening(stage) as address:
        context = browser.new_context(color_scheme=look, locale=language, bypass_csp=True)
        sign_in(context, stage, boss, address)
        page = context.new_page()
        found = {}
        for path in paths:
            page.goto(address + path)
            page.wait_for_load_state("networkidle")
            if path == "/docs":
                page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
            found[path] = faults_of(page, source)
            if path == "/review":
                task_of(page)
                found["/review with a task"] = faults_of(page, source)
                page.keyboard.press("g")
                page.keyboard.press("r")
                found["/review, rejecting, references beside"] = faults_of(page, source)
                page.keyboard.press("?")
                found["/review, help"] = faults_of(page, source)
        assert {path: faults for path, faults in found.items() if faults} == {}
        context.close()


def test_no_page_scrolls_sideways_on_a_phone(browser, stage):
    boss, _ = stage.key("an operator with a rather long name", "operate")
    name = "IMG_" + "0123456789" * 18
    accepted = stage.photo(picture(600), key=boss.id, name=name, sender=name, item=name)
    rejected = stage.photo(picture(601), key=boss.id, said=REJECTED, name=name)
    stage.photo(picture(602), said=UNSURE, name=name, sender=name)
    with listening(stage) as address:
        for language in ("en", "zh-CN"):
            options = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}
            context = browser.new_context(**options, locale=language)
            sign_in(context, stage, boss, address)
            page = context.new_page()
            for path in (
                "/",
                "/review",
                "/operate",
                f"/photos/{accepted}",
                f"/appeal/{rejected}",
                "/docs",
                "/signin",
            ):
                page.goto(address + path)
                page.wait_for_load_state("networkidle")
                wide = page.evaluate("document.documentElement.scrollWidth")
                assert wide <= 360, (path, language, wide)
            context.close()


def test_the_first_paint_is_swift_and_nothing_jumps(browser, stage):
    boss, _ = stage.key("boss", "operate")
    for seed in range(6):
        stage.photo(picture(700 + seed), key=boss.id, said=UNSURE)
    watch = """
        window.shift = 0;
        new PerformanceObserver((list) => {
          for (const one of list.getEntries()) if (!one.hadRecentInput) window.shift += one.value;
        }).observe({ type: "layout-shift", buffered: true });
    """
    with listening(stage) as address:
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        context.add_init_script(watch)
        sign_in(context, stage, boss, address)
        page = context.new_page()
        page.goto(address + "/signin")  # the browser itself is warm
        for path in ("/", "/review", "/operate"):
            page.goto(address + path)
            page.wait_for_load_state("networkidle")
            page.wait_for_timeout(200)
            paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0")
            assert paint < 1000, (path, paint)
            assert page.evaluate("window.shift") < 0.05, path
        context.close()


def test_the_real_service_from_the_key_to_a_reviewed_photo(browser, tmp_path):
    """``assay serve`` as it is: sign in with a key, send a photo, see the verdict, its heat map, review it."""
    policy = write_tiny_policy(tmp_path)
    with served(policy, tmp_path / "home") as server:
        address = f"http://127.0.0.1:{server.port}"
        context = browser.new_context()
        page = context.new_page()
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(address + "/review")
        assert page.url == address + "/signin?to=/review"
        page.fill("#key", "assay.k_wrong.words")
        page.press("#key", "Enter")
        page.wait_for_selector("[role=alert]")
        page.fill("#key", server.words)
        page.press("#key", "Enter")
        page.wait_for_selector("#send")
        file = tmp_path / "red.png"
        file.write_bytes(picture(800))
        page.set_input_files("#files", str(file))
        page.locator(".answer[data-photo]").wait_for()
        assert "A person looks" in page.locator(".answer[data-photo] .verdict").inner_text()
        page.goto(address + "/review")
        task = task_of(page)
        page.keyboard.press("h")
        page.wait_for_function("() => /rests on/.test(document.getElementById('heat-said').textContent)")
        page.keyboard.press("a")
        page.wait_for_selector("#rest:not([hidden])")
        page.keyboard.press("u")
        assert task_of(page) == task
        page.keyboard.press("a")
        page.wait_for_selector("#held", state="hidden", timeout=20000)
        page.wait_for_timeout(2500)  # the server gives effect to it within a second or two
        page.goto(address + "/")
        assert "decided by a person" in page.locator(".answer[data-photo] .top").inner_text()
        page.get_by_text("Its story").click()
        page.wait_for_selector(".timeline li + li")
        page.goto(address + "/operate")
        assert page.locator(".drawn").count() >= 3
        assert faults == []
        context.close()


def test_masks_are_drawn_over_the_photo(browser, tmp_path):
    """Where a network outlines things: M fetches the masks, and they are seen; again, and they are gone."""
    policy = write_tiny_policy(tmp_path)
    write_cells_bundle(tmp_path / "cells.bundle")
    told = yaml.safe_load(policy.read_text("utf-8"))
    told["questions"]["parts"] = {"model": "cells.bundle", "head": "boxes", "answers": {"*": "pass"}}
    policy.write_text(yaml.safe_dump(told), "utf-8")
    stream = io.BytesIO()
    draw_cells({(2, 2): "red", (5, 4): "blue"}, scale=8).save(stream, "PNG")
    with served(policy, tmp_path / "home") as server:
        sent = server.put(stream.getvalue()).body
        assert {thing["label"] for thing in sent["things"]} == {"red", "blue"}
        context = browser.new_context()
        page = context.new_page()
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        address = f"http://127.0.0.1:{server.port}"
        page.goto(address + "/signin?to=/review")
        page.fill("#key", server.words)
        page.press("#key", "Enter")
        task_of(page)
        page.keyboard.press("b")  # boxes off, so that masks alone are seen
        look = "() => document.querySelector('canvas').toDataURL()"
        plain = page.evaluate(look)
        page.keyboard.press("m")
        page.wait_for_selector("[data-tool=masks][aria-pressed=true]")
        drawn = page.evaluate(look)
        page.keyboard.press("m")
        page.wait_for_selector("[data-tool=masks][aria-pressed=false]")
        assert page.evaluate(look) == plain != drawn
        page.goto(address + "/")
        button = page.locator(".answer [data-mark=masks]")
        button.click()
        page.wait_for_selector(".answer [data-mark=masks][aria-pressed=true]")
        assert faults == []
        context.close()
