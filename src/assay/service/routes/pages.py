"""Pages for people: send photos and see the answer, one photo's story, an appeal, signing in, the API's page."""

from __future__ import annotations

import json
import time
from typing import Any

import sqlalchemy as sql
from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from assay.service.answers import answer_json
from assay.service.core import Service
from assay.service.pages.asking import form_of, key_of, service_of
from assay.service.pages.assets import asset_kind, assets, assets_digest
from assay.service.pages.reference import groups_of
from assay.service.pages.render import page, part, problem, turned_away, words_of
from assay.service.store.appeals import MOST_LETTERS, NoAppealError, appeal
from assay.service.store.keys import Key
from assay.service.store.looks import can_mask, heat_question, sorted_answers
from assay.service.store.photos import live_decision, photo_row
from assay.service.store.stories import last_appeal, latest_of_key, story

router = APIRouter(include_in_schema=False)
_KEPT = {"cache-control": "public, max-age=31536000, immutable", "x-content-type-options": "nosniff"}
_SIGN_IN_FAULTS = ("wrong", "used")


@router.get("/static/{digest}/{name}")
async def asset(digest: str, name: str) -> Response:
    """Style sheet, scripts, icon; their address changes with them."""
    data = assets().get(name) if digest == assets_digest() else None
    if data is None:
        return Response("", 404)
    return Response(data, media_type=asset_kind(name), headers=_KEPT)


@router.get("/favicon.ico")
async def favicon() -> Response:
    """Browsers ask for it unasked; the pages name their own."""
    return Response(
        assets()["icon.svg"], media_type=asset_kind("icon.svg"), headers={"cache-control": "max-age=86400"}
    )


@router.get("/signin")
async def sign_in_page(request: Request) -> Response:
    """Where a stranger lands."""
    fault = next((name for name in _SIGN_IN_FAULTS if name in request.query_params), None)
    to = request.query_params.get("to", "")
    kept = to if to.startswith("/") and not to.startswith(("//", "/\\")) and len(to) < 300 else ""
    return page(request, "signin.html", fault=fault, to=kept)


@router.get("/")
async def upload_page(request: Request) -> Response:
    """Send photos and see their answers; the latest ones of this key stand below."""
    if (turned := turned_away(request)) is not None:
        return turned
    key = key_of(request)
    if not key.may("submit"):
        return RedirectResponse("/review", 303)
    service = service_of(request)
    found = await service.database.read(lambda c: latest_of_key(c, key.id))
    answers = [_card(service, key, photo, decision) for photo, decision in found]
    mib = service.config.max_mib
    most = int(mib * 1024 * 1024)
    return page(request, "upload.html", answers=answers, most_bytes=most, most_mib=f"{mib:g}")


@router.get("/cards/{photo_id}")
async def card(request: Request, photo_id: str) -> Response:
    """One photo with its answer, as a part of the first page."""
    if (turned := turned_away(request)) is not None:
        return turned
    told = await _told(request, photo_id)
    return Response("", 404) if told is None else part(request, "card.html", a=told)


@router.get("/photos")
async def find_photo(request: Request, id: str = "") -> Response:  # noqa: A002 - the name of the form's field
    """From an id to the page of a photo."""
    if (turned := turned_away(request, "review")) is not None:
        return turned
    wanted = id.strip()
    there = wanted.isascii() and wanted.replace("_", "").isalnum() and len(wanted) <= 40
    return RedirectResponse(f"/photos/{wanted}", 303) if there else problem(request, 404, "problem.photo")


@router.get("/photos/{photo_id}")
async def story_page(request: Request, photo_id: str) -> Response:
    """One photo's story."""
    if (turned := turned_away(request, "review")) is not None:
        return turned
    service, language = service_of(request), words_of(request).language
    policy = service.live.policy
    photo = await service.database.read(lambda c: photo_row(c, photo_id))
    if photo is None:
        return problem(request, 404, "problem.photo")
    told = await service.database.read(lambda c: story(c, policy, photo_id, language))
    live = next((one for one in told["decisions"] if one["live"]), None)
    shown = {**_card(service, key_of(request), photo, live), "may_review": False}
    return page(request, "story.html", photo=photo, a=shown, **told)


@router.get("/appeal/{photo_id}")
async def appeal_page(request: Request, photo_id: str) -> Response:
    """Where a seller asks for another look."""
    return await _appeal_page(request, photo_id)


@router.post("/appeal/{photo_id}")
async def send_appeal(request: Request, photo_id: str) -> Response:
    """The form of the page."""
    fields = await form_of(request)
    text = fields.get("text", [""])[0].strip()
    words = words_of(request)
    if not text or len(text) > MOST_LETTERS:
        return await _appeal_page(
            request, photo_id, status=422, fault=words("appeal.text.fault", most=MOST_LETTERS)
        )
    if (turned := turned_away(request)) is not None:
        return turned
    if await _told(request, photo_id) is None:
        return problem(request, 404, "problem.photo")
    service, at = service_of(request), time.time()
    try:
        await service.database.write(lambda c: appeal(c, service.home.key, photo_id, text, at))
    except NoAppealError:
        return await _appeal_page(request, photo_id, status=409, fault=words("appeal.twice"))
    return RedirectResponse(f"/appeal/{photo_id}?made=1", 303)


async def _appeal_page(
    request: Request, photo_id: str, *, status: int = 200, fault: str | None = None
) -> Response:
    if (turned := turned_away(request)) is not None:
        return turned
    told = await _told(request, photo_id)
    if told is None:
        return problem(request, 404, "problem.photo")
    number = told.get("decision")
    earlier = None
    if number is not None:
        earlier = await service_of(request).database.read(lambda c: last_appeal(c, number))
    made = "made" in request.query_params and earlier is not None
    values = {
        "a": {**told, "heat": None, "masks": False},
        "can": bool(told["appeal"]),
        "earlier": earlier,
        "made": made,
        "fault": fault,
        "most": MOST_LETTERS,
    }
    return page(request, "appeal.html", status=status, **values)


@router.get("/docs")
async def docs_page(request: Request) -> Response:
    """The API's page, from the same document that programs read."""
    if (turned := turned_away(request)) is not None:
        return turned
    document = request.app.openapi()
    about = document.get("info", {}).get("description", "")
    return page(request, "docs.html", groups=groups_of(document), about=about)


async def _told(request: Request, photo_id: str) -> dict[str, Any] | None:
    """A photo that this key may see, as it is told; None where there is none."""
    service, key = service_of(request), key_of(request)

    def read(connection: sql.Connection) -> tuple[Any, Any]:
        return photo_row(connection, photo_id), live_decision(connection, photo_id)

    photo, decision = await service.database.read(read)
    if photo is None or photo["erased_at"] is not None:
        return None
    return _card(service, key, photo, decision) if photo["key_id"] == key.id or key.may("review") else None


def _card(service: Service, key: Key, photo: Any, decision: Any) -> dict[str, Any]:
    """What a card shows; absent parts are None."""
    absent = dict.fromkeys(("things", "heat", "matches", "appeal", "decided_by", "size_hw"))
    policy = service.live.policy
    told = answer_json(policy, photo, decision)
    body = json.loads(decision["body"]) if decision is not None and decision["body"] else {}
    evidence = body.get("evidence", {})
    seen = {name: evidence.get(name) for name in ("things", "size_hw")}
    answers, may = sorted_answers(policy, told.get("answers", {})), key.may("review")
    heat = heat_question(policy, told.get("proposed")) if may and answers else None
    masks = may and can_mask(evidence, service.live.facts.masks)
    return {**absent, **told, **seen, "answers": answers, "heat": heat, "masks": masks, "may_review": may}
