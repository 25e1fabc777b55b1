"""The reviewers' queue: its page, and the calls of its script, which other programs may use as well."""

from __future__ import annotations

import time
from typing import Annotated, Any

import sqlalchemy as sql
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, RedirectResponse, Response

from assay.service.pages.asking import form_of, key_of, service_of
from assay.service.pages.render import page, part, problem, turned_away, words_of
from assay.service.problems import Problem
from assay.service.store.looks import leased_task, look
from assay.service.store.progress import own_counts, own_progress
from assay.service.store.reviews import (
    HOLD_S,
    LEASE_S,
    NotYoursError,
    answer,
    give_back,
    next_tasks,
    renew_lease,
    undo,
)
from assay.service.store.truths import MOST_LETTERS, AnswerError, checked_answer

router = APIRouter(tags=["review"])
_MOST_TASKS = 10
Name = Annotated[str, Field(max_length=200)]


class Wanted(BaseModel):
    """How many tasks a reviewer takes at once."""

    model_config = ConfigDict(extra="forbid")
    most: int = Field(
        3, ge=1, le=_MOST_TASKS, description="tasks to lease; those that are yours already come first"
    )


class Given(BaseModel):
    """An answer."""

    model_config = ConfigDict(extra="forbid")
    verdict: str = Field(max_length=16, description="accept, reject or resubmit")
    clause: str = Field("", max_length=200, description="of the policy; why, where it is no accept")
    truth: dict[Name, Name] = Field(
        default_factory=dict, max_length=50, description="question: the right answer"
    )
    fake: bool = Field(False, description="a confirmed fake: its copies are known from now on")
    note: str = Field("", max_length=MOST_LETTERS, description="for other reviewers")


@router.get("/review", include_in_schema=False)
async def review_page(request: Request) -> Response:
    """The queue; the script fetches the tasks."""
    if (turned := turned_away(request, "review")) is not None:
        return turned
    return page(request, "review.html", task=None, progress=await _progress(request))


@router.get("/review/tasks/{task_id}", include_in_schema=False)
async def task_page(request: Request, task_id: str) -> Response:
    """A leased task: ``?part=1`` the part that the script shows, else a page that works without it."""
    if (turned := turned_away(request, "review")) is not None:
        return turned
    is_part = "part" in request.query_params
    try:
        task = await _look(request, task_id)
    except NotYoursError:
        return Response("", 409) if is_part else problem(request, 409, "problem.task")
    if is_part:
        return part(request, "task.html", task=task)
    return page(request, "review.html", task=task, progress=await _progress(request))


@router.post("/review/take", include_in_schema=False)
async def take(request: Request) -> Response:
    """Without the script: lease one task and go to it."""
    service, key, now = service_of(request), key_of(request), time.time()
    found = await service.database.write(lambda c: next_tasks(c, key.id, now, 1))
    return RedirectResponse(f"/review/tasks/{found[0].id}" if found else "/review", 303)


@router.post("/review/tasks/{task_id}", include_in_schema=False)
async def send_form(request: Request, task_id: str) -> Response:
    """Without the script: the form of a task."""
    fields = await form_of(request)
    said = {name: values[0] for name, values in fields.items()}
    fake = said.get("verdict") == "fake"
    verdict = "reject" if fake else said.get("verdict", "")
    policy = service_of(request).live.policy
    truth = {one.name: said.get(f"other.{one.name}") or said.get(f"truth.{one.name}", "") for one in policy}
    given = Given.model_construct(
        verdict=verdict,
        clause=said.get(f"clause.{verdict}", ""),
        truth={name: value for name, value in truth.items() if value},
        fake=fake,
        note=said.get("note", "")[:MOST_LETTERS],
    )
    try:
        await _answer(request, task_id, given)
    except NotYoursError:
        return problem(request, 409, "problem.task")
    except AnswerError:
        return problem(request, 422, "problem.answer")
    return await take(request)


@router.post("/review/skip", include_in_schema=False)
async def skip_form(request: Request) -> Response:
    """Without the script: leave a task to others."""
    key, task_id = key_of(request), (await form_of(request)).get("task", [""])[0]
    await service_of(request).database.write(lambda c: give_back(c, key.id, task_id))
    return await take(request)


@router.post("/review/undo", include_in_schema=False)
async def undo_form(request: Request) -> Response:
    """Without the script: take the latest answer back."""
    key, now = key_of(request), time.time()
    task_id = await service_of(request).database.write(lambda c: undo(c, key.id, now))
    return await take(request) if task_id is None else RedirectResponse(f"/review/tasks/{task_id}", 303)


@router.post("/v1/review/next", summary="Lease the next tasks")
async def post_next(request: Request, wanted: Wanted) -> JSONResponse:
    """The most valuable tasks that nobody else looks at. A blind task tells nothing of what the machine said."""
    service, key, now = service_of(request), key_of(request), time.time()
    tasks = await service.database.write(lambda c: next_tasks(c, key.id, now, wanted.most))
    policy, facts, language = service.live.policy, service.live.facts, words_of(request).language

    def read(connection: sql.Connection) -> list[dict[str, Any]]:
        return [look(connection, policy, task, language, facts.classes, facts.masks) for task in tasks]

    told = await service.database.read(read)
    return JSONResponse({"tasks": told, "lease_s": LEASE_S, "hold_s": HOLD_S, **await _counts(request)})


@router.post("/v1/review/tasks/{task_id}/answer", summary="Answer a task")
async def post_answer(request: Request, task_id: str, given: Given) -> JSONResponse:
    """Has its effect when it can no longer be taken back, after some seconds. 409: the task is not yours any more."""
    name, at = await _answer(request, task_id, given)
    told = {"answer": name, "final_at": at + HOLD_S, "hold_s": HOLD_S, **await _counts(request)}
    return JSONResponse(told)


@router.post("/v1/review/tasks/{task_id}/renew", summary="Keep a task")
async def post_renew(request: Request, task_id: str) -> JSONResponse:
    """409: it went to somebody else."""
    key, now = key_of(request), time.time()
    if not await service_of(request).database.write(lambda c: renew_lease(c, key.id, task_id, now)):
        raise NotYoursError("this photo is no longer yours", fix="take the next one")
    return JSONResponse({"task": task_id, "lease_until": now + LEASE_S})


@router.post("/v1/review/tasks/{task_id}/skip", summary="Leave a task to others")
async def post_skip(request: Request, task_id: str) -> JSONResponse:
    """409: it is not yours."""
    key = key_of(request)
    if not await service_of(request).database.write(lambda c: give_back(c, key.id, task_id)):
        raise NotYoursError("this photo is no longer yours", fix="take the next one")
    return JSONResponse({"task": task_id})


@router.post("/v1/review/undo", summary="Take back the latest answer")
async def post_undo(request: Request) -> JSONResponse:
    """The task is yours again. 409: nothing can be taken back any more."""
    key, now = key_of(request), time.time()
    task_id = await service_of(request).database.write(lambda c: undo(c, key.id, now))
    if task_id is None:
        raise Problem(409, "nothing can be taken back", fix="an answer can be for ten seconds")
    return JSONResponse({"task": task_id, **await _counts(request)})


async def _answer(request: Request, task_id: str, given: Given) -> tuple[str, float]:
    service, key, now = service_of(request), key_of(request), time.time()
    whole = checked_answer(
        service.live.policy, given.verdict, given.clause, given.truth, fake=given.fake, note=given.note
    )
    name = await service.database.write(lambda c: answer(c, key.id, task_id, whole, now))
    return name, now


async def _look(request: Request, task_id: str) -> dict[str, Any]:
    service, key, now = service_of(request), key_of(request), time.time()
    policy, facts, language = service.live.policy, service.live.facts, words_of(request).language

    def read(connection: sql.Connection) -> dict[str, Any]:
        task = leased_task(connection, key.id, task_id, now)
        return look(connection, policy, task, language, facts.classes, facts.masks)

    return await service.database.read(read)


async def _progress(request: Request) -> dict[str, Any]:
    key, now = key_of(request), time.time()
    return await service_of(request).database.read(lambda c: own_progress(c, key.id, now))


async def _counts(request: Request) -> dict[str, int]:
    key, now = key_of(request), time.time()
    return await service_of(request).database.read(lambda c: own_counts(c, key.id, now))
