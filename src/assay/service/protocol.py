"""HTTP as uvicorn speaks it, with limits on what comes before and after a request: connections without number, headers
that do not end, or do not come; bodies that nobody wants any more. What is no HTTP gets the same shape of error as all
else.

A refusal is told while the sender still sends, so what is left of the body is read and thrown away for a moment: where
bytes are left unread, closing resets the connection, and the refusal is lost.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from assay.service.problems import MEDIA, told

HEAD_BYTES = 64 * 1024
LINGER_S, LINGER_BYTES = 2.0, 64 * 1024 * 1024
TOO_MANY = "too many connections"
_HEALTH = (b"/v1/live", b"/v1/ready")
_WORDS = {
    400: "Bad Request",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}


class LimitedProtocol(HttpToolsProtocol):
    """One connection.

    ``head_s`` is how long the headers of a request may take; ``most_open`` how many connections there may be: further
    ones are told so, but for questions about the server's health, and from twice as many on they are cut off unheard.
    ``refused`` hears why.
    """

    head_s = 15.0
    most_open = 1000

    @staticmethod
    def refused(why: str) -> None:
        """Nobody counts."""

    def connection_made(self, transport: Any) -> None:
        """As asyncio's."""
        super().connection_made(transport)
        self._in_head, self._is_whole, self._has_ended = True, True, False
        self._head_bytes, self._left = 0, LINGER_BYTES
        self._timer: asyncio.TimerHandle | None = None
        self._is_over, self._is_away = len(self.connections) > self.most_open, False
        if len(self.connections) > 2 * self.most_open:
            self.refused(TOO_MANY)
            transport.abort()
            return
        self._wait(self.head_s, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """As asyncio's."""
        self._calm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """As asyncio's."""
        if self._is_away:
            self._drop(len(data))
            return
        if self._in_head and self._timer is None:
            self._wait(self.head_s, self._too_slow)
        self._has_ended = False
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._in_head:
            self._head_bytes += 0 if self._has_ended else len(data)
            if self._head_bytes > HEAD_BYTES:
                self._refuse(431, "too many headers")
        elif self.cycle is not None and self.cycle.response_complete:
            self._drop(len(data))

    def on_message_begin(self) -> None:
        """As httptools'."""
        super().on_message_begin()
        self._in_head, self._is_whole, self._head_bytes = True, False, 0

    def on_headers_complete(self) -> None:
        """As httptools'."""
        self._in_head = False
        self._calm()
        if self._is_over and self.url.partition(b"?")[0] not in _HEALTH:
            self._turn_away()
            return
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """As httptools'."""
        if not self._is_away:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """As httptools'."""
        self._in_head, self._is_whole, self._head_bytes, self._has_ended = True, True, 0, True
        self._calm()
        if self._is_away:
            self.transport.close()
            return
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """As uvicorn's."""
        super().on_response_complete()
        if not self._is_whole and not self.transport.is_closing():
            self._left = LINGER_BYTES
            self._wait(LINGER_S, self.transport.close)

    def send_400_response(self, msg: str) -> None:
        """As uvicorn's, in the shape of all errors."""
        self._refuse(400, msg)

    def _turn_away(self) -> None:
        """One connection too many: its request is refused, and what still comes of it is thrown away for a moment."""
        self.refused(TOO_MANY)
        self._is_away, self._left = True, LINGER_BYTES
        self._tell(503, f"{TOO_MANY} are open", "connect again in a moment", ["retry-after: 2"])
        self._wait(LINGER_S, self.transport.close)

    def _drop(self, count: int) -> None:
        """So many bytes came that nobody wants."""
        self._left -= count
        if self._left < 0:
            self.transport.close()

    def _too_slow(self) -> None:
        self._refuse(408, "the headers did not arrive in time")

    def _refuse(self, status: int, title: str) -> None:
        self._tell(status, title)
        self.transport.close()

    def _tell(self, status: int, title: str, fix: str | None = None, more: Sequence[str] = ()) -> None:
        body = json.dumps(told(status, title, None, fix)).encode()
        head = [
            f"HTTP/1.1 {status} {_WORDS[status]}",
            f"content-type: {MEDIA}",
            f"content-length: {len(body)}",
            *more,
        ]
        self.transport.write("\r\n".join([*head, "connection: close", "", ""]).encode() + body)

    def _wait(self, seconds: float, do: Callable[[], None]) -> None:
        self._calm()
        self._timer = self.loop.call_later(seconds, do)

    def _calm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
