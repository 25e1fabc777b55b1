"""HTTP as uvicorn speaks it, with limits on what comes before and after a request: headers that do not end, or do not
come; bodies that nobody wants any more. What is no HTTP gets the same shape of error as all else.

A refusal is told while the sender still sends, so what is left of the body is read and thrown away for a moment: where
bytes are left unread, closing resets the connection, and the refusal is lost.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from assay.service.problems import MEDIA, told

HEAD_BYTES = 64 * 1024
LINGER_S, LINGER_BYTES = 2.0, 64 * 1024 * 1024
_WORDS = {400: "Bad Request", 408: "Request Timeout", 431: "Request Header Fields Too Large"}


class LimitedProtocol(HttpToolsProtocol):
    """One connection. ``head_s`` is how long the headers of a request may take."""

    head_s = 15.0

    def connection_made(self, transport: Any) -> None:
        """As asyncio's."""
        super().connection_made(transport)
        self._in_head, self._is_whole, self._has_ended = True, True, False
        self._head_bytes, self._left = 0, LINGER_BYTES
        self._timer: asyncio.TimerHandle | None = None
        self._wait(self.head_s, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """As asyncio's."""
        self._calm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """As asyncio's."""
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
            self._left -= len(data)
            if self._left < 0:
                self.transport.close()

    def on_message_begin(self) -> None:
        """As httptools'."""
        super().on_message_begin()
        self._in_head, self._is_whole, self._head_bytes = True, False, 0

    def on_headers_complete(self) -> None:
        """As httptools'."""
        self._in_head = False
        self._calm()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """As httptools'."""
        self._in_head, self._is_whole, self._head_bytes, self._has_ended = True, True, 0, True
        self._calm()
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

    def _too_slow(self) -> None:
        self._refuse(408, "the headers did not arrive in time")

    def _refuse(self, status: int, title: str) -> None:
        body = json.dumps(told(status, title)).encode()
        head = [
            f"HTTP/1.1 {status} {_WORDS[status]}",
            f"content-type: {MEDIA}",
            f"content-length: {len(body)}",
        ]
        self.transport.write("\r\n".join([*head, "connection: close", "", ""]).encode() + body)
        self.transport.close()

    def _wait(self, seconds: float, do: Callable[[], None]) -> None:
        self._calm()
        self._timer = self.loop.call_later(seconds, do)

    def _calm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
