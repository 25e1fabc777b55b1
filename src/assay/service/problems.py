"""Errors over HTTP: ``application/problem+json`` (RFC 9457) with what, got and fix, never a traceback."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from assay.errors import AssayError, ImageError
from assay.service.objects import StoreError
from assay.service.store.appeals import NoAppealError
from assay.service.store.database import BusyError
from assay.service.store.erasure import NothingThereError
from assay.service.store.photos import ConflictError
from assay.service.store.reviews import NotYoursError

_STATUS: dict[type[AssayError], int] = {
    ConflictError: 409,
    NotYoursError: 409,
    NoAppealError: 409,
    NothingThereError: 404,
    BusyError: 503,
    StoreError: 503,
    ImageError: 422,
}
MEDIA = "application/problem+json"


class Problem(Exception):  # noqa: N818 - named as in RFC 9457
    """An answer that is an error."""

    def __init__(
        self,
        status: int,
        title: str,
        *,
        got: str | None = None,
        fix: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(title)
        self.status, self.headers = status, headers
        self.told = told(status, title, got, fix)


def told(status: int, title: str, got: str | None = None, fix: str | None = None) -> dict[str, Any]:
    """The body of a problem."""
    parts = {"got": got, "fix": fix}
    return {"type": "about:blank", "title": title, "status": status, **{k: v for k, v in parts.items() if v}}


def add_problems(app: FastAPI) -> None:
    """Tell every failure as a problem."""

    @app.exception_handler(Problem)
    async def problem(_: Request, error: Problem) -> JSONResponse:
        return JSONResponse(error.told, error.status, headers=error.headers, media_type=MEDIA)

    @app.exception_handler(AssayError)
    async def known(_: Request, error: AssayError) -> JSONResponse:
        status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 400)
        headers = {"Retry-After": "2"} if status == 503 else None
        return JSONResponse(
            told(status, error.what, error.got, error.fix), status, headers=headers, media_type=MEDIA
        )

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse(
            told(error.status_code, str(error.detail)),
            error.status_code,
            headers=error.headers,
            media_type=MEDIA,
        )

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return JSONResponse(told(422, f"{where}: {first['msg']}"), 422, media_type=MEDIA)

    @app.exception_handler(Exception)
    async def unknown(_: Request, __: Exception) -> JSONResponse:
        return JSONResponse(told(500, "the server made a mistake; it is in its log"), 500, media_type=MEDIA)
