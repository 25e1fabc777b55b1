"""The operator's page: figures with charts, webhooks, keys, references, erasure; and the figures as JSON."""

from __future__ import annotations

import json
import time
from typing import Any

import sqlalchemy as sql
from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from assay.errors import AssayError
from assay.service.letters import require_hook
from assay.service.live import read_monitor
from assay.service.pages.asking import form_of, key_of, service_of
from assay.service.pages.boards import charts_of, headline
from assay.service.pages.render import page, turned_away, words_of
from assay.service.problems import Problem
from assay.service.routes.photos import erase_photo
from assay.service.store import figures as found_in
from assay.service.store.drift import drift
from assay.service.store.enrolled import add_reference, list_references, remove_reference
from assay.service.store.erasure import NothingThereError
from assay.service.store.hooks import add_hook, stop_hook
from assay.service.store.keys import SCOPES, Key, add_key, list_keys, revoke_key
from assay.service.store.progress import agreement, people
from assay.service.store.reviews import ANSWERS_GIVEN

router = APIRouter(tags=["operate"])
_MONTH_S = 30 * 86400.0


@router.get("/operate", include_in_schema=False)
async def operate_page(request: Request) -> Response:
    """Everything at a glance; ``?range=`` day, week or month."""
    said = {"kind": "good", "name": request.query_params.get("done", "")}
    return await _page(request, said=said if said["name"] in _DONE else None)


@router.get("/v1/operate/figures", summary="The figures of the operator's page")
async def get_figures(request: Request, range: str = "day") -> JSONResponse:  # noqa: A002 - as the page's address says
    """Traffic, promises with exact intervals from blind audits alone, queue, agreement, drift, versions, webhooks."""
    if range not in found_in.RANGES:
        raise Problem(422, f"no range {range[:20]!r}", fix=f"choose from {', '.join(found_in.RANGES)}")
    return JSONResponse(await _figures(request, range))


@router.post("/operate/keys", include_in_schema=False)
async def make_key(request: Request) -> Response:
    """A new key, whose words are shown on the answer alone."""
    service, by, at = service_of(request), key_of(request), time.time()
    fields = await form_of(request)
    name, number = fields.get("name", [""])[0], fields.get("per_minute", ["0"])[0]
    scopes = tuple(fields.get("scope", []))

    quota = int(number) if number.isdigit() else 0

    def write(connection: sql.Connection) -> tuple[Key, str]:
        return add_key(connection, service.home.key, at, by.id, name, scopes, quota)

    try:
        key, words = await service.database.write(write)
    except AssayError as error:
        return await _page(request, status=422, said=_fault(error))
    return await _page(request, new_key={"name": key.name, "words": words})


@router.post("/operate/keys/{key_id}/revoke", include_in_schema=False)
async def take_key(request: Request, key_id: str) -> Response:
    """A key that opens nothing any more."""
    service, by, at = service_of(request), key_of(request), time.time()

    def write(connection: sql.Connection) -> bool:
        return key_id != by.id and revoke_key(connection, service.home.key, at, by.id, key_id)

    done = await service.database.write(write)
    _forget(request)
    return (
        _back("revoked", "keys")
        if done
        else await _page(request, status=409, said=_said(request, "keys.not"))
    )


@router.post("/operate/hooks", include_in_schema=False)
async def make_hook(request: Request) -> Response:
    """A new webhook, whose secret is shown on the answer alone."""
    service, by, at = service_of(request), key_of(request), time.time()
    url = (await form_of(request)).get("url", [""])[0].strip()
    try:
        require_hook(url, anywhere=service.config.webhooks_http)
    except AssayError as error:
        return await _page(request, status=422, said=_fault(error))
    _, words = await service.database.write(lambda c: add_hook(c, service.home.key, at, by.id, url))
    return await _page(request, new_hook={"url": url, "words": words})


@router.post("/operate/hooks/{hook_id}/stop", include_in_schema=False)
async def end_hook(request: Request, hook_id: str) -> Response:
    """Nothing is told to it any more."""
    service, by, at = service_of(request), key_of(request), time.time()
    if await service.database.write(lambda c: stop_hook(c, service.home.key, at, by.id, hook_id)):
        return _back("stopped", "hooks")
    return await _page(request, status=409, said=_said(request, "hooks.not"))


@router.post("/operate/references", include_in_schema=False)
async def make_reference(request: Request) -> Response:
    """A photo becomes a known fake or a genuine reference."""
    service, by, at = service_of(request), key_of(request), time.time()
    fields = await form_of(request)
    photo_id, kind = fields.get("photo", [""])[0].strip(), fields.get("list", ["fake"])[0]
    key = service.home.key
    try:
        await service.database.write(lambda c: add_reference(c, key, photo_id, kind, by.id, at))
    except AssayError as error:
        return await _page(request, status=404, said=_fault(error))
    return _back("enrolled", "references")


@router.post("/operate/references/{digest}/remove", include_in_schema=False)
async def drop_reference(request: Request, digest: str) -> Response:
    """It is no longer compared with."""
    service, by, at = service_of(request), key_of(request), time.time()
    kind, key = (await form_of(request)).get("list", ["fake"])[0], service.home.key
    try:
        await service.database.write(lambda c: remove_reference(c, key, digest, kind, by.id, at))
    except AssayError as error:
        return await _page(request, status=404, said=_fault(error))
    return _back("removed", "references")


@router.post("/operate/erase", include_in_schema=False)
async def erase_form(request: Request) -> Response:
    """Erase a photo; the answer shows the receipt."""
    service, by = service_of(request), key_of(request)
    fields = await form_of(request)
    photo_id, why = fields.get("photo", [""])[0].strip(), fields.get("why", [""])[0].strip()[:200]
    try:
        receipt = await erase_photo(service, photo_id, f"{why} (asked for by {by.id})")
    except NothingThereError as error:
        return await _page(request, status=404, said=_fault(error))
    return await _page(request, receipt=json.dumps(receipt, indent=2, ensure_ascii=False))


_DONE = ("revoked", "stopped", "enrolled", "removed")


def _back(done: str, place: str) -> Response:
    return RedirectResponse(f"/operate?done={done}#{place}", 303)


def _fault(error: AssayError) -> dict[str, str]:
    return {"kind": "bad", "name": "", "text": str(error)}


def _said(request: Request, name: str) -> dict[str, str]:
    return {"kind": "bad", "name": "", "text": words_of(request)(name)}


def _forget(request: Request) -> None:
    """A revoked key ends at once, not after the door has forgotten it."""
    door = getattr(request.app.state, "door", None)
    if door is not None:
        door.forget()


async def _page(
    request: Request, *, status: int = 200, said: dict[str, str] | None = None, **values: Any
) -> Response:
    if (turned := turned_away(request, "operate")) is not None:
        return turned
    words = words_of(request)
    asked = request.query_params.get("range", "day")
    told = await _figures(request, asked if asked in found_in.RANGES else "day")
    database = service_of(request).database
    if said is not None and said["name"]:
        said = {**said, "text": words(f"operate.done.{said['name']}")}
    shown: dict[str, Any] = {
        "f": told, "charts": charts_of(told, words), "headline": headline(told, words), "said": said,
        "new_key": None, "new_hook": None, "receipt": None, "ranges": tuple(found_in.RANGES),
        "verdicts": found_in.VERDICTS, "answers": ANSWERS_GIVEN, "scopes": SCOPES,
        "keys": await database.read(list_keys), "references": await database.read(list_references),
    }  # fmt: skip
    return page(request, "operate.html", status=status, **{**shown, **values})


async def _figures(request: Request, name: str) -> dict[str, Any]:
    service, now = service_of(request), time.time()
    budgets = service.live.budgets

    def read(connection: sql.Connection) -> dict[str, Any]:
        since = found_in.live_since(connection)
        monitor = read_monitor(connection, budgets)
        return {
            **found_in.traffic(connection, now, name),
            "at": now,
            "queue": found_in.queue(connection, now),
            "kinds": found_in.kinds(connection, budgets, monitor, since),
            "recall": found_in.recall(connection, since),
            "withdrawn": [list(kind) for kind in sorted(monitor.withdrawn)],
            "agreement": agreement(connection, now - _MONTH_S),
            "people": people(connection, now - _MONTH_S),
            "drift": drift(connection, budgets, now),
            "versions": found_in.versions(connection),
            "hooks": found_in.hooks(connection),
        }

    return await service.database.read(read)
