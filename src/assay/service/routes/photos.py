"""Photos: send one, ask for its decision, look at it, erase it."""

from __future__ import annotations

import asyncio
import hashlib
import time
from typing import Annotated, Any

import sqlalchemy as sql
from fastapi import APIRouter, Header, Query, Request, Response
from starlette.responses import JSONResponse

from assay.service.answers import answer_json
from assay.service.core import Service
from assay.service.heat import heat
from assay.service.masks import masks_of
from assay.service.objects import ObjectMissingError
from assay.service.problems import Problem
from assay.service.store.appeals import MOST_LETTERS, appeal
from assay.service.store.erasure import erase
from assay.service.store.ids import new_id
from assay.service.store.jobs import Job
from assay.service.store.keys import Key
from assay.service.store.photos import Upload, is_wanted, live_decision, photo_row, take_in

router = APIRouter(tags=["photos"])
Short = Annotated[str, Query(max_length=200)]
_MOST_WAIT_S = 30.0
_VIEWS_CACHED = {"cache-control": "private, max-age=600, immutable"}


@router.put("/v1/photos", status_code=202, summary="Send a photo")
async def put_photo(
    request: Request,
    wait: Annotated[str, Query(max_length=10, description="seconds to wait for the decision: 2 or 2s")] = "0",
    sender: Short = "",
    name: Short = "",
    item: Short = "",
    idempotency_key: Annotated[str, Header(max_length=200)] = "",
) -> Response:
    """The body is the file itself. 202: the photo is safe and will be decided; 200: here is the decision.

    ``sender`` is who took it, ``name`` what it is called, ``item`` what it is said to show. The same
    ``Idempotency-Key`` gives the same photo, however often it is sent.
    """
    service, key = _service(request), _key(request)
    seconds = _seconds(wait)
    data = await request.body()
    if not data:
        raise Problem(400, "the body is empty", fix="send the bytes of a picture file")
    begun = service.foreman.begin(data)  # decoded while it is stored
    try:
        digest = await asyncio.to_thread(_put, service, data)
        upload = Upload(
            new_id("p"), digest, len(data), key.id, time.time(), sender, name, item, repeat=idempotency_key
        )
        photo_id, is_new = await _taken_in(service, upload, data)
    except BaseException:
        service.foreman.leave(begun)
        raise
    if not is_new:
        service.foreman.leave(begun)
        return await _decision(service, photo_id, seconds, 202)
    service.meters.received.inc()
    if (in_work := getattr(request.state, "in_work", None)) is not None:
        in_work()  # from here on the foreman counts it
    service.foreman.offer(Job(photo_id, digest, name, sender, item, 0), begun)
    decision = await service.foreman.wait(photo_id, seconds)
    if decision is None and seconds:  # it took too long, or another server has it by now
        return await _decision(service, photo_id, 0, 202)
    told = answer_json(service.live.policy, vars(upload), decision)
    return JSONResponse(told, 202 if decision is None else 200)


@router.get("/v1/photos/{photo_id}", summary="The decision on a photo")
@router.get("/v1/decisions/{photo_id}", summary="The decision on a photo")
async def get_photo(
    request: Request,
    photo_id: str,
    wait: Annotated[str, Query(max_length=10, description="seconds to wait for the decision")] = "0",
) -> Response:
    """``status`` is "waiting" until the machine has decided. The verdict is accept, reject, resubmit or review."""
    service = _service(request)
    await _own_photo(service, photo_id, _key(request))
    return await _decision(service, photo_id, _seconds(wait), 200)


@router.get("/v1/photos/{photo_id}/view", summary="The photo, upright and without metadata")
async def view_photo(
    request: Request, photo_id: str, side: Annotated[int, Query(ge=32, le=2048)] = 1024
) -> Response:
    """JPEG, at most ``side`` px long, encoded anew: nothing of the sender's file but its pixels."""
    service = _service(request)
    photo = await _own_photo(service, photo_id, _key(request))
    data = await asyncio.to_thread(service.objects.get, photo["sha256"])
    shown = await service.viewer.render(data, side)
    if shown is None:
        raise Problem(422, "the photo cannot be shown", got="the file could not be read as a picture")
    return Response(shown, media_type="image/jpeg", headers=_VIEWS_CACHED)


@router.get("/v1/photos/{photo_id}/heat", summary="Where in the photo an answer rests on")
async def heat_photo(request: Request, photo_id: str, question: Short) -> JSONResponse:
    """A grid of what the answer loses when a part is covered. Needs the scope review; takes part of a second."""
    service, key = _service(request), _key(request)
    if not key.may("review"):
        raise Problem(403, "the key does not open this", fix="use a key with the scope review")
    photo = await _own_photo(service, photo_id, key)
    data = await asyncio.to_thread(service.objects.get, photo["sha256"])
    return JSONResponse(await heat(service.live, service.viewer.decoders, data, question))


@router.get("/v1/photos/{photo_id}/masks", summary="The outlines of the things in the photo")
async def mask_photo(request: Request, photo_id: str) -> JSONResponse:
    """Each thing with its mask, in COCO's run lengths. Needs the scope review; takes part of a second."""
    service, key = _service(request), _key(request)
    if not key.may("review"):
        raise Problem(403, "the key does not open this", fix="use a key with the scope review")
    photo = await _own_photo(service, photo_id, key)
    data = await asyncio.to_thread(service.objects.get, photo["sha256"])
    return JSONResponse(await masks_of(service.live, service.viewer.decoders, data))


@router.post("/v1/photos/{photo_id}/appeal", status_code=201, summary="Ask for another look by a person")
async def post_appeal(request: Request, photo_id: str) -> JSONResponse:
    """The body is ``{"text": "..."}``. Another person than the one who decided looks at the photo."""
    service = _service(request)
    await _own_photo(service, photo_id, _key(request))
    told = await read_json(request)
    text = told.get("text", "")
    if not isinstance(text, str) or not text.strip() or len(text) > MOST_LETTERS:
        raise Problem(422, "text is missing or too long", fix=f"say in at most {MOST_LETTERS} letters why")
    at, home = time.time(), service.home
    name = await service.database.write(lambda c: appeal(c, home.key, photo_id, text.strip(), at))
    return JSONResponse({"appeal": name, "photo": photo_id}, 201)


@router.delete("/v1/photos/{photo_id}", summary="Erase a photo")
async def delete_photo(request: Request, photo_id: str) -> JSONResponse:
    """Needs the scope operate. The answer is the receipt; what was decided, and how, stays in the record."""
    service, key = _service(request), _key(request)
    if not key.may("operate"):
        raise Problem(403, "the key does not open this", fix="use a key with the scope operate")
    return JSONResponse(await erase_photo(service, photo_id, f"asked for by {key.id}"))


async def erase_photo(service: Service, photo_id: str, why: str) -> dict[str, Any]:
    """Erase rows, then bytes; the receipt. Raises NothingThereError."""
    at, home = time.time(), service.home
    receipt = await service.database.write(lambda c: erase(c, home.key, photo_id, at, why))
    if digest := receipt.pop("object"):
        await delete_bytes(service, digest)
    return receipt


async def delete_bytes(service: Service, digest: str) -> None:
    """Delete bytes that no photo has any more.

    A photo with the same bytes may be taken in at this moment: it is looked for before, and again afterwards, when they
    are put back; who takes it in looks too, after its commit.
    """

    def wanted(connection: sql.Connection) -> bool:
        return is_wanted(connection, digest)

    if await service.database.read(wanted):
        return
    try:
        data = await asyncio.to_thread(service.objects.get, digest)
    except ObjectMissingError:
        return
    await asyncio.to_thread(service.objects.delete, digest)
    if await service.database.read(wanted):
        await asyncio.to_thread(service.objects.put, digest, data)


async def read_json(request: Request) -> dict[str, Any]:
    """The body as a JSON object. Raises Problem."""
    try:
        told = await request.json()
    except ValueError as error:
        raise Problem(422, "the body is no JSON", got=str(error)[:100]) from error
    except RecursionError as error:
        raise Problem(422, "the body is nested too deeply") from error
    if not isinstance(told, dict):
        raise Problem(422, "the body is no JSON object")
    return told


def _put(service: Service, data: bytes) -> str:
    """Keep the bytes; their digest. In one thread, as each change of threads costs as much as the digest."""
    digest = hashlib.sha256(data).hexdigest()
    service.objects.put(digest, data)
    return digest


async def _taken_in(service: Service, upload: Upload, data: bytes) -> tuple[str, bool]:
    """(the photo's id, whether it is new), once its rows and its bytes are safe."""
    owner, until, objects = service.foreman.owner, service.foreman.lease_until(), service.objects

    def work(connection: sql.Connection) -> tuple[str, bool]:
        return take_in(connection, upload, owner, until)

    try:
        found = await service.database.write(work)
    except sql.exc.IntegrityError:  # the same Idempotency-Key came to another server in the same moment
        found = await service.database.write(work)
    has = (
        objects.has(upload.sha256) if objects.is_near else await asyncio.to_thread(objects.has, upload.sha256)
    )
    if not has:  # erased with an earlier photo meanwhile
        await asyncio.to_thread(objects.put, upload.sha256, data)
    return found


async def _decision(service: Service, photo_id: str, seconds: float, waiting: int) -> Response:
    await service.foreman.wait(photo_id, seconds)

    def read(connection: sql.Connection) -> tuple[Any, Any]:
        return photo_row(connection, photo_id), live_decision(connection, photo_id)

    photo, decision = await service.database.read(read)
    status = 200 if decision is not None else waiting
    return JSONResponse(answer_json(service.live.policy, photo, decision), status)


async def _own_photo(service: Service, photo_id: str, key: Key) -> Any:
    """A photo that this key may see; whose it is not is told like one that is not there."""
    photo = await service.database.read(lambda c: photo_row(c, photo_id))
    if photo is None or (photo["key_id"] != key.id and not key.may("review")):
        raise Problem(404, "there is no such photo")
    if photo["erased_at"] is not None:
        raise Problem(410, "the photo was erased")
    return photo


def _seconds(wait: str) -> float:
    try:
        seconds = float(wait.removesuffix("s"))
    except ValueError as error:
        raise Problem(422, "wait is no time", got=wait[:20], fix="write wait=2 or wait=2s") from error
    if not 0 <= seconds <= _MOST_WAIT_S:
        raise Problem(422, "wait is out of range", got=wait[:20], fix=f"from 0 to {_MOST_WAIT_S:g} seconds")
    return seconds


def _service(request: Request) -> Service:
    found: Service = request.app.state.service
    return found


def _key(request: Request) -> Key:
    found: Key = request.state.key
    return found
