"""Signing in to the pages: with a key, or by the link that the server prints."""

from __future__ import annotations

from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse

from assay.service.door import COOKIE, SESSION_S, Door

router = APIRouter(include_in_schema=False)


@router.post("/signin")
async def sign_in(request: Request) -> RedirectResponse:
    """Form field ``key``; a cookie in return."""
    door: Door = request.app.state.door
    fields = parse_qs((await request.body()).decode("utf-8", "replace"))
    words = fields.get("key", [""])[0].strip()
    key = await door.key_of(f"Bearer {words}", "") if words else None
    if key is None:
        return RedirectResponse("/signin?wrong=1", 303)
    return _opened(request, door.session(key.id), fields.get("to", ["/"])[0])


@router.get("/open/{token}")
async def open_once(request: Request, token: str) -> RedirectResponse:
    """The link that the server prints at its start; it opens once."""
    door: Door = request.app.state.door
    key_id = door.take_one_time(token)
    if key_id is None:
        return RedirectResponse("/signin?used=1", 303)
    return _opened(request, door.session(key_id), "/")


@router.post("/signout")
async def sign_out() -> RedirectResponse:
    """The cookie goes."""
    answer = RedirectResponse("/signin", 303)
    answer.delete_cookie(COOKIE)
    return answer


def _opened(request: Request, value: str, to: str) -> RedirectResponse:
    place = to if to.startswith("/") and not to.startswith(("//", "/\\")) else "/"
    answer = RedirectResponse(place, 303)
    secure = request.url.scheme == "https"
    answer.set_cookie(COOKIE, value, max_age=SESSION_S, httponly=True, samesite="strict", secure=secure)
    return answer
