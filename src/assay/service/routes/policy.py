"""The live policy over HTTP: what it is, taking up a new one, webhooks."""

from __future__ import annotations

import asyncio
import time

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse

from assay.decide.shadow import compare_shadow
from assay.service.core import Service
from assay.service.letters import require_hook
from assay.service.problems import Problem
from assay.service.routes.photos import read_json
from assay.service.shadow import shadow_rows
from assay.service.store.hooks import add_hook, hook_rows, stop_hook

router = APIRouter(prefix="/v1/operate", tags=["operate"])


@router.get("/policy", summary="The policy that decides now")
async def get_policy(request: Request) -> JSONResponse:
    """Its name, version and digests, those of its networks, and which promises are withdrawn."""
    live = _service(request).live
    return JSONResponse(
        {
            "name": live.policy.name,
            "version": live.policy.version,
            "policy": live.policy.digest,
            "thresholds": live.budgets.digest,
            "models": live.models,
            "withdrawn": sorted(" ".join(one) for one in live.monitor.withdrawn),
        }
    )


@router.post("/reload", summary="Take up the policy's file anew")
async def reload(request: Request) -> JSONResponse:
    """The new one is loaded and tried before it takes over; photos in work stay with the old one. SIGHUP does the same.

    An error leaves the old policy as it is.
    """
    live = await _service(request).reload()
    return JSONResponse({"policy": live.policy.digest, "thresholds": live.budgets.digest})


@router.get("/shadow", summary="What the candidate policy would have decided")
async def get_shadow(request: Request) -> JSONResponse:
    """Live against candidate with intervals over senders, and the gravest differences; see ``assay serve --shadow``."""
    service = _service(request)
    shadow = service.foreman.shadow
    if shadow is None:
        raise Problem(
            404, "no candidate runs beside the live policy", fix="start with --shadow CANDIDATE.yaml"
        )
    digest = shadow.live.policy.digest
    rows = await service.database.read(lambda c: shadow_rows(c, digest))
    found = await asyncio.to_thread(compare_shadow, rows)
    return JSONResponse({"policy": digest, **found.to_dict()})


@router.get("/hooks", summary="Webhooks")
async def get_hooks(request: Request) -> JSONResponse:
    """Without their secrets."""
    return JSONResponse({"hooks": await _service(request).database.read(hook_rows)})


@router.post("/hooks", status_code=201, summary="Add a webhook")
async def post_hook(request: Request) -> JSONResponse:
    """The body is ``{"url": "https://..."}``. The secret is told this once: ``Assay-Signature`` is made with it."""
    service = _service(request)
    told = await read_json(request)
    url = told.get("url")
    if not isinstance(url, str):
        raise Problem(422, "url is missing", fix='send {"url": "https://host/path"}')
    require_hook(url, anywhere=service.config.webhooks_http)
    key, at, by = service.home.key, time.time(), request.state.key.id
    name, words = await service.database.write(lambda c: add_hook(c, key, at, by, url))
    return JSONResponse({"id": name, "url": url, "secret": words}, 201)


@router.delete("/hooks/{hook_id}", summary="Stop a webhook")
async def delete_hook(request: Request, hook_id: str) -> JSONResponse:
    """Letters that wait for it are not sent any more."""
    service, at, by = _service(request), time.time(), request.state.key.id
    if not await service.database.write(lambda c: stop_hook(c, service.home.key, at, by, hook_id)):
        raise Problem(404, "there is no such webhook")
    return JSONResponse({"id": hook_id, "stopped": True})


def _service(request: Request) -> Service:
    found: Service = request.app.state.service
    return found
