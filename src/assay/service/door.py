"""Who is asking: keys in the header ``Authorization``, or a signed cookie of the pages."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import sqlalchemy as sql

from assay.service.store.keys import Key, find_key
from assay.service.store.schema import KEYS

if TYPE_CHECKING:
    from assay.service.store.database import Database

COOKIE = "assay_session"
SESSION_S = 12 * 3600
_REMEMBERED_S = 5.0
_MOST_REMEMBERED = 10_000


class Door:
    """Finds the key of a request; what was found is remembered for some seconds, so a revoked key soon ends."""

    def __init__(self, database: Database, session_key: bytes) -> None:
        self._database, self._secret = database, session_key
        self._known: dict[str, tuple[Key | None, float]] = {}
        self._once: dict[str, str] = {}

    async def key_of(self, authorization: str, cookie: str) -> Key | None:
        """The key of a header, or of a session; None for a stranger."""
        if authorization:
            scheme, _, words = authorization.partition(" ")
            if scheme.lower() != "bearer" or len(words) > 200:
                return None
            name = "w" + hashlib.sha256(words.strip().encode()).hexdigest()
            return await self._remembered(name, lambda c: find_key(c, words.strip()))
        key_id = self._session(cookie)
        return None if key_id is None else await self._remembered("s" + key_id, lambda c: _by_id(c, key_id))

    def session(self, key_id: str) -> str:
        """The value of a cookie that signs in for half a day."""
        until = int(time.time()) + SESSION_S
        return f"{key_id}.{until}.{self._sign(f'{key_id}.{until}')}"

    def one_time(self, key_id: str) -> str:
        """A token that signs in once."""
        token = secrets.token_urlsafe(24)
        self._once[token] = key_id
        return token

    def take_one_time(self, token: str) -> str | None:
        """Whose token it is; it is worth nothing afterwards."""
        return self._once.pop(token, None)

    def forget(self) -> None:
        """Look everything up anew."""
        self._known.clear()

    def _session(self, cookie: str) -> str | None:
        parts = cookie.split(".")
        if len(parts) != 3 or not hmac.compare_digest(
            parts[2].encode(), self._sign(f"{parts[0]}.{parts[1]}").encode()
        ):
            return None
        return parts[0] if int(parts[1]) > time.time() else None

    def _sign(self, text: str) -> str:
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()

    async def _remembered(self, name: str, find: object) -> Key | None:
        now = time.monotonic()
        known = self._known.get(name)
        if known is not None and known[1] > now:
            return known[0]
        found: Key | None = await self._database.read(find)  # type: ignore[arg-type]
        if len(self._known) >= _MOST_REMEMBERED:
            self._known.clear()
        self._known[name] = (found, now + _REMEMBERED_S)
        return found


def _by_id(connection: sql.Connection, key_id: str) -> Key | None:
    row = connection.execute(
        sql.select(KEYS).where(KEYS.c.id == key_id, KEYS.c.revoked_at.is_(None))
    ).one_or_none()
    return None if row is None else Key(row.id, row.name, frozenset(row.scopes.split()), row.per_minute)


def cookies(header: str) -> Mapping[str, str]:
    """Names and values of a Cookie header."""
    pairs = (part.strip().partition("=") for part in header.split(";"))
    return {name: value for name, _, value in pairs if name}
