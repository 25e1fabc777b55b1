"""API keys: only a hash is kept. A key is 256 random bits, so a plain SHA-256 cannot be searched.

Who made a key or took it back, and what it opens, goes into the record.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass

import sqlalchemy as sql

from assay.errors import ConfigError
from assay.service.store.ids import new_id
from assay.service.store.record import append
from assay.service.store.schema import KEYS
from assay.tables import suggest

SCOPES = ("submit", "review", "operate")
"""Send photos and read their decisions; answer the reviewers' queue; everything else."""
MACHINE = "this machine"
"""Who made a key, where it was no other key: somebody who may use the service's folder."""
_PREFIX = "assay"


@dataclass(frozen=True)
class Key:
    """Who asks. ``per_minute`` 0 means no quota."""

    id: str
    name: str
    scopes: frozenset[str]
    per_minute: int = 0

    def may(self, scope: str) -> bool:
        """Whether this scope is open to it; "operate" opens all."""
        return scope in self.scopes or "operate" in self.scopes


def require_fit(name: str, scopes: tuple[str, ...]) -> None:
    """Raise ConfigError where a key cannot have this name and these scopes."""
    for scope in scopes:
        if scope not in SCOPES:
            raise ConfigError(f"no scope {scope!r}", fix=suggest(scope, list(SCOPES)))
    if not name.strip() or not scopes:
        raise ConfigError("a key has a name and at least one scope", fix="e.g. --name shop --scope submit")


def add_key(
    connection: sql.Connection,
    secret: bytes,
    at: float,
    by: str,
    name: str,
    scopes: tuple[str, ...],
    per_minute: int = 0,
) -> tuple[Key, str]:
    """A new key, and its words, which are told this once.

    Parameters
    ----------
    secret : the record's key. by : the key of who makes it, or ``MACHINE``.

    Raises
    ------
    ConfigError : no name, or an unknown scope.
    """
    require_fit(name, scopes)
    name_id, word = new_id("k"), secrets.token_urlsafe(32)
    connection.execute(
        sql.insert(KEYS).values(
            id=name_id,
            name=name.strip()[:200],
            hash=_hash(word),
            scopes=" ".join(scopes),
            per_minute=per_minute,
            created_at=at,
        )
    )
    told = {"key": name_id, "name": name.strip(), "scopes": sorted(scopes), "by": by}
    append(connection, secret, at, [("key", name_id, told)])
    return Key(name_id, name.strip(), frozenset(scopes), per_minute), f"{_PREFIX}.{name_id}.{word}"


def find_key(connection: sql.Connection, words: str) -> Key | None:
    """Whose words these are; None for nobody's."""
    parts = words.split(".")
    if len(parts) != 3 or parts[0] != _PREFIX:
        return None
    row = connection.execute(
        sql.select(KEYS).where(KEYS.c.id == parts[1], KEYS.c.revoked_at.is_(None))
    ).one_or_none()
    if row is None or not hmac.compare_digest(row.hash, _hash(parts[2])):
        return None
    return Key(row.id, row.name, frozenset(row.scopes.split()), row.per_minute)


def list_keys(connection: sql.Connection) -> list[dict[str, object]]:
    """All keys, without their hashes, the newest last."""
    columns = [column for column in KEYS.c if column.name != "hash"]
    return [
        dict(row._mapping) for row in connection.execute(sql.select(*columns).order_by(KEYS.c.created_at))
    ]


def revoke_key(connection: sql.Connection, secret: bytes, at: float, by: str, key_id: str) -> bool:
    """Take a key back; False where there is none that holds."""
    mine = sql.and_(KEYS.c.id == key_id, KEYS.c.revoked_at.is_(None))
    if not connection.execute(sql.update(KEYS).where(mine).values(revoked_at=at)).rowcount:
        return False
    append(connection, secret, at, [("key revoked", key_id, {"key": key_id, "by": by})])
    return True


def _hash(word: str) -> str:
    return hashlib.sha256(word.encode()).hexdigest()
