"""The pages of the service, without a browser: every page in both languages, hostile names, scopes, undo, leases."""

from __future__ import annotations

import json
import re
import string
import time
from html.parser import HTMLParser
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.served import drawn
from tests.service_stage import Stage, answers, staged

from assay.service.pages.assets import asset_address, assets
from assay.service.pages.words import Words, choose_language, dictionary
from assay.service.store.reviews import LEASE_S
from assay.service.store.schema import ANSWERS, DECISIONS, KEYS, RECORD, REFERENCES, TASKS

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)> \u202egpj.exe {{7*7}}'
UNSURE = answers(kind={"bag": 0.55, "shoe": 0.45})
REJECTED = answers(product={"other": 0.99, "product": 0.01})


@pytest.fixture
def stage(tmp_path):
    with staged(tmp_path) as found:
        yield found


def browse(stage: Stage, *scopes: str, name: str = "somebody") -> tuple[Any, TestClient]:
    key, _ = stage.key(name, *scopes)
    return key, TestClient(stage.app, cookies=stage.cookies(key), follow_redirects=False)


class Outline(HTMLParser):
    """Tags with their attributes, and whatever is no page of ours."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def pages_of(stage: Stage, key_id: str) -> dict[str, str]:
    """Name -> path of every page, with photos that have something to show."""
    named = {"key": key_id, "name": HOSTILE, "sender": HOSTILE[:200], "item": HOSTILE[:200]}
    accepted = stage.photo(drawn(1), **named)
    rejected = stage.photo(drawn(2), said=REJECTED, **named)
    stage.photo(drawn(3), said=UNSURE, **named)
    stage.photo(drawn(4), waits=True, **named)
    return {
        "upload": "/", "review": "/review", "operate": "/operate", "month": "/operate?range=month",
        "story": f"/photos/{accepted}", "card": f"/cards/{rejected}", "appeal": f"/appeal/{rejected}",
        "docs": "/docs", "signin": "/signin", "wrong": "/signin?wrong=1&to=/review", "gone": "/photos/p_nothing",
    }  # fmt: skip


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_page_is_whole_escaped_and_strict(stage, language):
    key, client = browse(stage, "operate", name=HOSTILE)
    for name, path in pages_of(stage, key.id).items():
        answer = client.get(path, headers={"Accept-Language": f"fr;q=0.9, {language};q=0.8, *;q=0.1"})
        assert answer.status_code == (404 if name == "gone" else 200), (name, answer.text)
        assert answer.headers["content-type"].startswith("text/html")
        assert "script-src 'self'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"
        outline = Outline(answer.text)
        for tag, attributes in outline.tags:
            assert "style" not in attributes, (name, tag)
            assert not [one for one in attributes if one.startswith("on")], (name, tag, attributes)
            for place in ("src", "href", "action", "formaction"):
                address = attributes.get(place) or "/"
                assert re.match(r"/(?!/)|#|[?]", address), (name, address)
        scripts = [attributes for tag, attributes in outline.tags if tag == "script"]
        assert all(one.get("src", "").startswith("/static/") for one in scripts), (name, scripts)
        assert "alert(1)</script>" not in answer.text
        assert "49" not in re.findall(r"exe (\S+)", answer.text)
        if name != "card":
            told = dict(outline.tags)
            assert told["html"]["lang"] == ("zh-CN" if language == "zh" else "en")
            assert {"header", "main", "title"} <= {tag for tag, _ in outline.tags}


def test_both_languages_have_the_same_keys_and_places():
    english, chinese = dictionary("en"), dictionary("zh")
    assert english.keys() == chinese.keys()

    def places(text: str) -> set[str]:
        return {field for _, field, _, _ in string.Formatter().parse(text) if field}

    assert not [key for key in english if places(english[key]) != places(chinese[key])]
    assert not [key for key in chinese if not chinese[key].strip()]


def test_languages_are_chosen_by_address_cookie_and_browser(stage):
    assert choose_language(None, None, "de, zh-TW;q=0.7, en;q=0.3") == "zh"
    assert choose_language("en", "zh", "zh") == "en"
    assert choose_language("xx", "zh", "en") == "zh"
    assert choose_language(None, None, "zh;q=0, ;;q=x, en-GB") == "en"
    _, client = browse(stage, "submit")
    first = client.get("/?lang=zh&theme=dark")
    assert 'lang="zh-CN" data-theme="dark"' in first.text
    assert 'lang="zh-CN" data-theme="dark"' in client.get("/").text
    assert Words("zh").other == "en"


def test_assets_are_kept_for_a_year_under_their_own_address(stage):
    client = TestClient(stage.app)
    for name in assets():
        answer = client.get(asset_address(name))
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        assert b"://" not in answer.content.replace(b"http://www.w3.org/2000/svg", b""), name
    assert client.get("/static/0000000000000000/style.css").status_code == 404
    assert (
        client.get(asset_address("style.css").replace("style.css", "..%2f..%2frender.py")).status_code == 404
    )


def test_pages_open_only_to_their_scopes(stage):
    _, seller = browse(stage, "submit", name="seller")
    _, reviewer = browse(stage, "review", name="reviewer")
    stranger = TestClient(stage.app, follow_redirects=False)
    photo = stage.photo(drawn(5), key="k_other", said=REJECTED)
    for path in ("/", "/review", "/operate", f"/photos/{photo}", f"/appeal/{photo}", "/docs"):
        answer = stranger.get(path)
        place = "/signin" if path == "/" else f"/signin?to={path}"
        assert (answer.status_code, answer.headers["location"]) == (303, place)
    assert stranger.post("/v1/review/next", json={}).status_code == 401
    for path in ("/review", "/operate", f"/photos/{photo}", "/v1/operate/figures"):
        assert seller.get(path).status_code == 403, path
    for path in ("/operate", "/v1/operate/figures"):
        assert reviewer.get(path).status_code == 403, path
    assert seller.post("/v1/review/next", json={}).status_code == 403
    assert reviewer.post("/operate/erase", content=f"photo={photo}&why=x").status_code == 403
    assert reviewer.get("/").headers["location"] == "/review"
    assert reviewer.get(f"/photos/{photo}").status_code == 200
    # whose photo it is not, is told like one that is not there
    assert seller.get(f"/appeal/{photo}").status_code == 404
    assert seller.get(f"/cards/{photo}").status_code == 404


def test_a_form_of_another_site_is_refused(stage):
    _, client = browse(stage, "operate")
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        answer = client.post("/operate/keys", content="name=x&scope=operate", headers=headers)
        assert answer.status_code == 403


# ---- the reviewers' queue


def next_of(client: TestClient, most: int = 3) -> list[dict[str, Any]]:
    answer = client.post("/v1/review/next", json={"most": most})
    assert answer.status_code == 200, answer.text
    return answer.json()["tasks"]


def live_verdict(stage: Stage, photo_id: str) -> str:
    with stage.database.reading() as connection:
        mine = DECISIONS.select().where(DECISIONS.c.photo_id == photo_id, DECISIONS.c.live)
        return connection.execute(mine).one().verdict


def test_an_answer_takes_effect_after_ten_seconds_and_can_be_taken_back_before(stage):
    key, client = browse(stage, "review")
    photo = stage.photo(drawn(6), said=UNSURE, item="bag")
    (task,) = next_of(client)
    assert (task["photo_id"], task["why"], task["blind"]) == (photo, "review", False)
    assert [one["name"] for one in task["questions"][1]["options"]][:2] == ["bag", "shoe"]
    panel = client.get(f"/review/tasks/{task['id']}?part=1")
    assert panel.status_code == 200
    assert "<html" not in panel.text

    given = {"verdict": "reject", "clause": "mark", "truth": {"kind": "shoe"}}
    told = client.post(f"/v1/review/tasks/{task['id']}/answer", json=given).json()
    assert told["hold_s"] == 10
    assert told["today"] == 1
    assert stage.settle(5).answers == 0
    undone = client.post("/v1/review/undo").json()
    assert (undone["task"], undone["today"]) == (task["id"], 0)
    assert stage.settle().answers == 0
    assert live_verdict(stage, photo) == "review"

    assert next_of(client)[0]["id"] == task["id"]
    given = {"verdict": "accept", "truth": {"kind": "shoe"}}
    assert client.post(f"/v1/review/tasks/{task['id']}/answer", json=given).status_code == 200
    assert stage.settle().answers == 1
    assert live_verdict(stage, photo) == "accept"
    assert client.post("/v1/review/undo").status_code == 409
    with stage.database.reading() as connection:
        row = connection.execute(ANSWERS.select().where(ANSWERS.c.state == "final")).one()
    # what follows from the verdict is known as well; "genuine" has two passing answers, so nothing is guessed there
    assert json.loads(row.truth) == {"kind": "shoe", "product": "product", "sharp": "sharp"}
    assert row.reviewer == key.id


def test_a_fake_needs_a_rejection_and_is_known_afterwards(stage):
    _, client = browse(stage, "review")
    stage.photo(drawn(7), said=answers(genuine={"suspect": 0.9, "genuine": 0.1}), item="bag")
    (task,) = next_of(client)
    assert task["fake_clause"] == "known-fake"
    wrong = client.post(f"/v1/review/tasks/{task['id']}/answer", json={"verdict": "accept", "fake": True})
    assert wrong.status_code == 400
    given = {"verdict": "reject", "clause": task["fake_clause"], "fake": True}
    assert client.post(f"/v1/review/tasks/{task['id']}/answer", json=given).status_code == 200
    assert len(stage.settle().fakes) == 1
    with stage.database.reading() as connection:
        assert connection.execute(REFERENCES.select()).one().list == "fake"
        assert json.loads(connection.execute(ANSWERS.select()).one().truth) == {"genuine": "suspect"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"verdict": "maybe"}, "no answer 'maybe'"),
        ({"verdict": "reject"}, "no clause ''"),
        ({"verdict": "reject", "clause": "because"}, "no clause 'because'"),
        ({"verdict": "accept", "truth": {"colour": "red"}}, "no question 'colour'"),
        ({"verdict": "accept", "truth": {"product": "other"}}, "does not pass"),
        ({"verdict": "accept", "more": 1}, "Extra inputs"),
        ({"verdict": "reject", "clause": "mark", "note": "x" * 2001}, "at most 2000"),
    ],
)
def test_an_answer_that_cannot_be_kept_is_told_why(stage, given, words):
    _, client = browse(stage, "review")
    stage.photo(drawn(8), said=UNSURE)
    (task,) = next_of(client)
    answer = client.post(f"/v1/review/tasks/{task['id']}/answer", json=given)
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"
    assert words in answer.json()["title"]


def test_a_blind_task_tells_nothing_of_the_machine(stage):
    _, client = browse(stage, "review")
    said = answers(kind={"bag": 0.97531, "shoe": 0.02469})
    things = [{"label": "bag", "score": 0.97, "box_xyxy": [1, 2, 3, 4]}]
    stage.photo(drawn(9), said=said, audited=True, things=things, item="watch")
    rejected = stage.photo(drawn(10), said=REJECTED, key="k_seller")
    seller, words = stage.key("seller", "submit")
    del seller, words
    operator = TestClient(stage.app, cookies=stage.cookies(stage.key("boss", "operate")[0]))
    sent = operator.post(f"/appeal/{rejected}", content="text=It+is+a+bag", follow_redirects=False)
    assert sent.headers["location"].endswith("made=1")
    tasks = next_of(client)
    assert {task["why"] for task in tasks} == {"audit", "appeal"}
    for task in tasks:
        told = json.dumps(task)
        part = client.get(f"/review/tasks/{task['id']}?part=1").text
        assert task["blind"]
        assert (task["proposed"], task["threshold"], task["things"], task["heat"], task["matches"]) == (
            None, None, None, None, [],
        )  # fmt: skip
        for secret in ("0.975", "97.5", "97\u202f", "box_xyxy", "No product"):
            assert secret not in told
            assert secret not in part
        assert "checked" not in part
        assert not any(o["checked"] or o["share"] for q in task["questions"] for o in q["options"])
    assert "It is a bag" in json.dumps(tasks)


def test_copies_are_one_job_and_get_one_answer(stage):
    _, client = browse(stage, "review")
    photos = [stage.photo(drawn(11), said=UNSURE, alike="same") for _ in range(4)]
    (task,) = next_of(client)
    assert task["copies"] == 3
    assert "3" in client.get(f"/review/tasks/{task['id']}?part=1").text
    client.post(f"/v1/review/tasks/{task['id']}/answer", json={"verdict": "accept"})
    stage.settle()
    assert [live_verdict(stage, photo) for photo in photos] == ["accept"] * 4


def test_a_lost_lease_is_told_and_the_answer_is_not_kept(stage):
    _, first = browse(stage, "review", name="first")
    other, second = browse(stage, "review", name="second")
    stage.photo(drawn(12), said=UNSURE)
    (task,) = next_of(first)
    assert next_of(second) == []
    assert (
        first.post(f"/v1/review/tasks/{task['id']}/renew").json()["lease_until"] > time.time() + LEASE_S - 5
    )
    stolen = TASKS.update().values(leased_by=other.id, lease_until=time.time() + 60)
    stage.database.write_now(lambda c: c.execute(stolen))
    for call in ("renew", "skip"):
        assert first.post(f"/v1/review/tasks/{task['id']}/{call}").status_code == 409
    late = first.post(f"/v1/review/tasks/{task['id']}/answer", json={"verdict": "accept"})
    assert late.status_code == 409
    assert late.json()["title"] == "this photo is no longer yours"
    assert first.get(f"/review/tasks/{task['id']}?part=1").status_code == 409
    assert first.get(f"/review/tasks/{task['id']}").status_code == 409
    assert next_of(second)[0]["id"] == task["id"]


def test_a_skipped_task_goes_to_somebody_else(stage):
    _, first = browse(stage, "review", name="first")
    _, second = browse(stage, "review", name="second")
    stage.photo(drawn(13), said=UNSURE)
    (task,) = next_of(first)
    assert first.post(f"/v1/review/tasks/{task['id']}/skip").status_code == 200
    assert next_of(second)[0]["id"] == task["id"]


def test_the_queue_works_without_the_script(stage):
    _, client = browse(stage, "review")
    photos = [stage.photo(drawn(seed), said=UNSURE, value=-seed) for seed in (14, 15)]
    assert 'action="/review/take"' in client.get("/review").text
    place = client.post("/review/take").headers["location"]
    text = client.get(place).text
    assert f"/v1/photos/{photos[0]}/view" in text
    assert client.post(place, content="verdict=reject").status_code == 422
    fields = "verdict=reject&clause.reject=mark&truth.kind=shoe&other.kind=cap&note=%3Cb%3E"
    done = client.post(place, content=fields)
    assert done.headers["location"] != place
    undone = client.post("/review/undo")
    assert undone.headers["location"] == place
    skipped = client.post("/review/skip", content=f"task={place.rsplit('/', 1)[1]}")
    assert skipped.status_code == 303
    with stage.database.reading() as connection:
        row = connection.execute(ANSWERS.select()).one()
    assert (row.state, row.note, json.loads(row.truth)["kind"]) == ("undone", "<b>", "cap")


# ---- sellers


def test_an_appeal_is_made_once_and_shown(stage):
    key, client = browse(stage, "submit")
    photo = stage.photo(drawn(16), said=REJECTED, key=key.id)
    assert "Ask for another look" in client.get("/").text
    assert client.post(f"/appeal/{photo}", content="text=+").status_code == 422
    assert client.post(f"/appeal/{photo}", content="text=" + "x" * 2001).status_code == 422
    sent = client.post(f"/appeal/{photo}", content="text=%3Cscript%3E+look+again")
    page = client.get(sent.headers["location"])
    assert 'role="status"' in page.text
    again = client.post(f"/appeal/{photo}", content="text=once+more")
    assert again.status_code == 409
    _, operator = browse(stage, "operate")
    story = operator.get(f"/photos/{photo}").text
    assert "&lt;script&gt; look again" in story
    assert "Appeal" in story
    accepted = stage.photo(drawn(17), key=key.id)
    assert "<textarea" not in client.get(f"/appeal/{accepted}").text


def test_a_photo_that_is_sent_gets_its_card(stage):
    _, client = browse(stage, "submit")
    stage.machine.says = lambda data: {"said": REJECTED, "things": []}
    told = client.put("/v1/photos", params={"wait": "5s", "name": HOSTILE[:200]}, content=drawn(18)).json()
    assert told["verdict"] == "reject"
    card = client.get(f"/cards/{told['photo']}").text
    assert "does not show an item" in card
    assert f'href="/appeal/{told["photo"]}"' in card
    assert "<script>" not in card


# ---- operators


def test_a_new_key_is_shown_once_and_can_be_revoked(stage):
    key, client = browse(stage, "operate")
    made = client.post("/operate/keys", content="name=%3Cnight%3E&scope=review&scope=submit&per_minute=60")
    words = re.search(r'id="words">([^<]+)<', made.text)[1]
    assert words.startswith("assay.k_")
    assert words not in client.get("/operate").text
    bearer = {"Authorization": f"Bearer {words}"}
    assert TestClient(stage.app).post("/v1/review/next", json={}, headers=bearer).status_code == 200
    number = words.split(".")[1]
    assert client.post(f"/operate/keys/{number}/revoke").headers["location"] == "/operate?done=revoked#keys"
    assert TestClient(stage.app).post("/v1/review/next", json={}, headers=bearer).status_code == 401
    assert client.post(f"/operate/keys/{key.id}/revoke").status_code == 409
    assert client.post("/operate/keys", content="name=&scope=review").status_code == 422
    assert client.post("/operate/keys", content="name=x&scope=root").status_code == 422
    with stage.database.reading() as connection:
        assert connection.execute(KEYS.select().where(KEYS.c.id == number)).one().revoked_at
        kinds = [row.kind for row in connection.execute(RECORD.select().where(RECORD.c.subject == number))]
    assert kinds == ["key", "key revoked"]


def test_a_webhook_is_added_and_stopped(stage):
    _, client = browse(stage, "operate")
    made = client.post("/operate/hooks", content="url=https%3A%2F%2Fshop.example%2Fverdicts")
    secret = re.search(r'id="hook-words">([^<]+)<', made.text)[1]
    page = client.get("/operate").text
    assert "https://shop.example/verdicts" in page
    assert secret not in page
    (hook,) = client.get("/v1/operate/hooks").json()["hooks"]
    stopped = client.post(f"/operate/hooks/{hook['id']}/stop")
    assert stopped.headers["location"] == "/operate?done=stopped#hooks"
    assert client.post(f"/operate/hooks/{hook['id']}/stop").status_code == 409
    assert client.get("/v1/operate/hooks").json()["hooks"] == []
    bad = client.post("/operate/hooks", content="url=http%3A%2F%2Fshop.example")
    assert bad.status_code == 422
    assert "no address for a webhook" in bad.text
    with stage.database.reading() as connection:
        asked = RECORD.select().where(RECORD.c.subject == hook["id"])
        entries = {row.kind: row.body for row in connection.execute(asked)}
    assert list(entries) == ["webhook", "webhook stopped"]
    assert "shop.example" in entries["webhook"]
    assert not any(word in entries["webhook"] for word in (secret, "verdicts"))


def test_references_are_added_and_removed(stage):
    _, client = browse(stage, "operate")
    photo = stage.photo(drawn(19), item="bag")
    assert client.post("/operate/references", content="photo=p_none&list=fake").status_code == 404
    assert client.post("/operate/references", content=f"photo={photo}&list=odd").status_code == 404
    added = client.post("/operate/references", content=f"photo={photo}&list=fake")
    assert added.status_code == 303
    page = client.get("/operate").text
    digest = re.search(r"/operate/references/([0-9a-f]{64})/remove", page)[1]
    gone = client.post(f"/operate/references/{digest}/remove", content="list=fake")
    assert gone.status_code == 303
    assert digest not in client.get("/operate").text
    assert client.post(f"/operate/references/{digest}/remove", content="list=fake").status_code == 404


def test_an_erased_photo_leaves_a_receipt_and_a_story_without_it(stage):
    _, client = browse(stage, "operate")
    photo = stage.photo(drawn(20), name="secret name", sender="secret sender")
    done = client.post("/operate/erase", content=f"photo={photo}&why=asked+for")
    assert done.status_code == 200
    assert "&#34;bytes_deleted&#34;: true" in done.text
    story = client.get(f"/photos/{photo}").text
    assert "secret" not in story
    assert f"/v1/photos/{photo}/view" not in story
    assert client.post("/operate/erase", content=f"photo={photo}&why=again").status_code == 404
    assert client.get("/photos", params={"id": f" {photo} "}).headers["location"] == f"/photos/{photo}"
    assert client.get("/photos", params={"id": "//evil"}).status_code == 404


def test_figures_tell_what_audits_say_and_nothing_else(stage):
    _, client = browse(stage, "operate")
    reviewers = [browse(stage, "review", name=f"r{i}")[1] for i in range(2)]
    now = time.time()
    for seed in range(30, 42):
        stage.photo(drawn(seed), audited=True, at=now - 60, double=True)
    stage.photo(drawn(50), said=UNSURE, at=now - 7200)
    for number, client_of in enumerate(reviewers):
        while tasks := [task for task in next_of(client_of, 10) if task["why"] != "review"]:
            for task in tasks:
                wrong = number == 0 and task["photo_id"] == tasks[0]["photo_id"] and task["why"] == "audit"
                given = {"verdict": "reject", "clause": "mark"} if wrong else {"verdict": "accept"}
                assert client_of.post(f"/v1/review/tasks/{task['id']}/answer", json=given).status_code == 200
    stage.settle()
    told = client.get("/v1/operate/figures?range=day").json()
    assert told["totals"]["photos"] == 13
    assert told["totals"]["verdicts"] == {"accept": 12, "review": 1}
    assert told["totals"]["automatic_share"] == pytest.approx(12 / 13)
    bags = next(one for one in told["kinds"] if one["name"] == "bag")
    assert bags["audited"] == 12
    assert bags["wrong"] in (1, 2)
    assert bags["precision"]["low"] < bags["precision"]["value"] < bags["precision"]["high"]
    assert bags["burn"] > 1
    assert told["agreement"]["pairs"] == 12
    assert told["queue"]["open"] >= 1
    assert told["recall"][0]["verdict"] == "accept"
    assert 0 <= told["recall"][0]["recall"]["low"] <= told["recall"][0]["recall"]["high"] <= 1
    assert client.get("/v1/operate/figures?range=year").status_code == 422
    page = client.get("/operate?range=day").text
    assert page.count('class="drawn"') == 4
    assert "NaN" not in page


def test_an_empty_service_has_whole_pages(stage):
    _, client = browse(stage, "operate")
    for path in ("/", "/review", "/operate", "/docs"):
        assert client.get(path).status_code == 200
    assert "NaN" not in client.get("/operate").text
    assert json.loads(client.get("/v1/operate/figures").text)["totals"]["photos"] == 0


def test_the_docs_page_tells_every_operation(stage):
    _, client = browse(stage, "submit")
    page = client.get("/docs").text
    for path, methods in stage.app._app.openapi()["paths"].items():
        assert path in page
        assert all(method.upper() in page for method in methods)
    assert "``" not in page


def test_a_decision_of_other_rules_is_still_told(stage):
    """A photo that was decided under a policy with other questions keeps its page."""
    key, client = browse(stage, "operate")
    photo = stage.photo(drawn(60), key=key.id, waits=True)
    with stage.database.reading() as connection:
        digest = connection.exec_driver_sql("SELECT sha256 FROM photos").scalar()
    stage.decide(photo, digest, said={**answers(), "old question": {"yes": 1.0}})
    assert "old question" in client.get(f"/photos/{photo}").text
