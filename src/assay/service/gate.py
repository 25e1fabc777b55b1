"""What stands before every route: who asks, how often, how much, how long, before anything is parsed.

Limits hold for each route alike, also for those that do not exist. A refusal is one small answer; the connection of a
body that was not read is closed, so nobody can keep the server reading.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.requests import ClientDisconnect

from assay.service.door import COOKIE, Door, cookies
from assay.service.problems import MEDIA, told
from assay.service.quota import Quotas
from assay.service.store.database import BusyError

if TYPE_CHECKING:
    from assay.service.core import Service
    from assay.service.store.keys import Key

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

SMALL_BODY = 64 * 1024
"""Most bytes of a body that is no photo."""
_MOST_HEADERS, _MOST_HEADER_BYTES, _MOST_TARGET = 64, 16 * 1024, 4096
_PAIR = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")
_HALF = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_OPEN = ("/static/", "/v1/live", "/v1/ready", "/signin", "/open/", "/favicon.ico")
_SCOPES = (("/v1/review", "review"), ("/v1/operate", "operate"), ("/metrics", "operate"), ("/review", "review"),
           ("/operate", "operate"), ("/photos/", "review"))  # fmt: skip
_SAFE = {
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"x-frame-options": b"DENY",
    b"content-security-policy": (
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        b"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
}


class Gate:
    """ASGI around ASGI."""

    def __init__(self, app: Any, service: Service, door: Door) -> None:
        self._app, self._service, self._door = app, service, door
        self._quotas = Quotas(service.config.per_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        answer = _Answer(send)
        try:
            refusal = await self._refusal(scope)
        except BusyError as error:
            refusal = 503, f"busy: {error.what}", "ask again", 2.0
        if refusal is not None:
            why = "signin" if refusal[0] == 303 else refusal[1].split(":")[0][:40]
            self._service.meters.refused.labels(why).inc()
            await answer.refuse(scope, *refusal)
            return
        body = _Body(receive, self._most_bytes(scope), self._service.config.receive_s)
        ended = self._service.foreman.load.arrive() if _is_photo(scope) else lambda: None
        scope["state"]["in_work"] = ended
        try:
            await self._app(scope, body.receive, answer.send)
        except _TooMuchError as error:
            self._service.meters.refused.labels(error.why).inc()
            if not answer.begun:
                await answer.refuse(scope, error.status, error.why, error.fix, None)
        except ClientDisconnect:
            self._service.meters.refused.labels("the sender went away").inc()
        finally:
            ended()

    async def _refusal(self, scope: Scope) -> tuple[int, str, str | None, float | None] | None:
        """(status, title, fix, seconds to wait) where the request is not let in."""
        headers = scope["headers"]
        if len(headers) > _MOST_HEADERS or sum(len(k) + len(v) for k, v in headers) > _MOST_HEADER_BYTES:
            return 431, "too many headers", None, None
        if len(scope["raw_path"]) + len(scope["query_string"]) > _MOST_TARGET:
            return 414, "the address is too long", None, None
        if "\0" in scope["path"] or b"%00" in scope["query_string"]:
            return 400, "the address holds a NUL, which no text here may hold", None, None
        given = {k.decode("latin-1"): v.decode("latin-1") for k, v in headers}
        if (fault := self._length_fault(scope, given)) is not None:
            return fault
        path = scope["path"]
        if path.startswith(_OPEN):
            scope.setdefault("state", {})["key"] = None
            return None
        key = await self._door.key_of(
            given.get("authorization", ""), cookies(given.get("cookie", "")).get(COOKIE, "")
        )
        scope.setdefault("state", {})["key"] = key
        return self._stranger(scope, given, key) or self._busy(scope, key)

    def _length_fault(self, scope: Scope, given: dict[str, str]) -> tuple[int, str, str | None, None] | None:
        length = given.get("content-length")
        if length is None:
            return None
        if not length.isdigit():
            return 400, "content-length is no number", None, None
        most = self._most_bytes(scope)
        if int(length) > most:
            return 413, "the body is too large", f"send at most {most:,} bytes", None
        return None

    def _most_bytes(self, scope: Scope) -> int:
        return int(self._service.config.max_mib * 1024 * 1024) if _is_photo(scope) else SMALL_BODY

    def _stranger(
        self, scope: Scope, given: dict[str, str], key: Key | None
    ) -> tuple[int, str, str | None, float | None] | None:
        path = scope["path"]
        is_page = scope["method"] in ("GET", "HEAD") and not path.startswith(("/v1/", "/metrics"))
        if key is None:
            if is_page:
                return 303, _sign_in(path), None, None
            fix = "send Authorization: Bearer KEY; make one with `assay keys add`"
            return 401, "a key is needed", fix, None
        wanted = next((name for prefix, name in _SCOPES if path.startswith(prefix)), "submit")
        opens = key.may(wanted) or (wanted == "submit" and key.may("review"))
        if not opens and not is_page:  # a page says it in its own words
            return 403, "the key does not open this", f"use a key with the scope {wanted}", None
        if "authorization" not in given and scope["method"] not in ("GET", "HEAD") and _is_foreign(given):
            return 403, "the request comes from another site", None, None
        return None

    def _busy(self, scope: Scope, key: Key | None) -> tuple[int, str, str | None, float | None] | None:
        if key is not None and (wait := self._quotas.take(key.id, key.per_minute)):
            return 429, "quota: this key asks too often", None, wait
        if not _is_photo(scope):
            return None
        if self._service.is_stopping:
            return 503, "stopping: the server stops", "send the photo again", 2.0
        if not self._service.foreman.can_work:
            return 503, "nobody can answer now", "send the photo again", 2.0
        wait = self._service.foreman.full_for()
        return (
            (429, "busy: there is more work than can be done in time", "send the photo again later", wait)
            if wait
            else None
        )


class _TooMuchError(BaseException):
    """The body is too large, or too slow. No Exception: those are answered with 500 before they come back here."""

    def __init__(self, status: int, why: str, fix: str) -> None:
        super().__init__(why)
        self.status, self.why, self.fix = status, why, fix


class _Body:
    """Counts what arrives, and waits for it no longer than until the deadline."""

    def __init__(self, receive: Receive, most: int, seconds: float) -> None:
        self._receive, self._left, self._most = receive, most, most
        self._until = asyncio.get_running_loop().time() + seconds
        self._whole = False
        self._words = bytearray()

    async def receive(self) -> MutableMapping[str, Any]:
        """As ASGI's; raises _TooMuchError."""
        if self._whole:
            return await self._receive()  # the wait for a disconnect has no deadline
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError:
            raise _TooMuchError(408, "the body did not arrive in time", "send it again") from None
        if message["type"] == "http.request":
            part = message.get("body", b"")
            self._left -= len(part)
            self._whole = not message.get("more_body", False)
            if self._left >= 0 and self._most == SMALL_BODY:
                self._words += part
                if self._whole and _no_text(bytes(self._words)):
                    raise _TooMuchError(
                        422, "a text has a sign that cannot be kept", "leave NUL and half signs out"
                    )
            if self._left < 0:
                raise _TooMuchError(413, "the body is too large", f"send at most {self._most:,} bytes")
        return message


class _Answer:
    """Adds what every answer carries."""

    def __init__(self, send: Send) -> None:
        self._send, self.begun = send, False

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """As ASGI's."""
        if message["type"] == "http.response.start":
            self.begun = True
            given = {name.lower() for name, _ in message["headers"]}
            more = [(k, v) for k, v in _SAFE.items() if k not in given]
            message = {**message, "headers": [*message["headers"], *more]}
        await self._send(message)

    async def refuse(
        self, scope: Scope, status: int, title: str, fix: str | None, wait: float | None
    ) -> None:
        """A small answer. What comes of the body is thrown away for a moment (``protocol``), so that it is heard."""
        waits = any(name == b"expect" for name, _ in scope["headers"])  # its body may never come
        headers = [(b"connection", b"close")] if waits else []
        if wait:
            headers.append((b"retry-after", str(max(1, math.ceil(wait))).encode()))
        if status == 303:
            headers, body = [(b"location", title.encode())], b""
        else:
            headers.append((b"content-type", MEDIA.encode()))
            body = json.dumps(told(status, title, None, fix)).encode()
        if status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        headers.append((b"content-length", str(len(body)).encode()))
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})


def _no_text(body: bytes) -> bool:
    """Whether JSON or a form holds NUL, or half of a pair of UTF-16: no database keeps them as text."""
    if b"\0" in body or b"\\u0000" in body or b"%00" in body:
        return True
    return b"\\u" in body and _HALF.search(_PAIR.sub(b"", body)) is not None


def _sign_in(path: str) -> str:
    """Where to sign in, and where to go from there."""
    return "/signin" if path == "/" else f"/signin?to={quote(path)}"


def _is_photo(scope: Scope) -> bool:
    return (scope["method"], scope["path"]) == ("PUT", "/v1/photos")


def _is_foreign(given: dict[str, str]) -> bool:
    """Whether a browser sends this from a page of another site; it says so itself."""
    site = given.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = given.get("origin")
    return origin is not None and origin.split("://", 1)[-1] != given.get("host", "")
