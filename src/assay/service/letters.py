"""Sending webhooks: signed, without following redirects, and never into the shop's own network unless it was asked for.

The address is looked up once, checked, and connected to as it was checked, so a name that changes in between leads
nowhere else.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import time
from urllib.parse import urlsplit

from assay.errors import ConfigError
from assay.service.store.hooks import Letter, signature

_SECONDS = 5.0
_MOST_URL = 2000


def require_hook(url: str, *, anywhere: bool) -> None:
    """Refuse an address that letters are not sent to.

    Raises
    ------
    ConfigError : no https address, or one with a user in it.
    """
    parts = urlsplit(url)
    kinds = ("http", "https") if anywhere else ("https",)
    if parts.scheme not in kinds or not parts.hostname or parts.username or len(url) > _MOST_URL:
        raise ConfigError(
            "this is no address for a webhook",
            got=url[:100],
            fix="write https://host/path, without user and password",
        )


def send(letter: Letter, *, anywhere: bool) -> str:
    """Send one letter; empty where it arrived (an answer of 2xx), else why it did not."""
    parts = urlsplit(letter.url)
    at = int(time.time())
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "assay",
        "Assay-Event": letter.id,
        "Assay-Signature": signature(letter.secret, at, letter.body),
    }
    try:
        connection = _connect(parts.hostname or "", parts.port, parts.scheme == "https", anywhere)
    except (OSError, ValueError) as error:
        return str(error)[:300] or type(error).__name__
    try:
        path = parts.path or "/"
        connection.request(
            "POST", f"{path}?{parts.query}" if parts.query else path, letter.body.encode(), headers
        )
        answer = connection.getresponse()
        answer.read(4096)
        return "" if 200 <= answer.status < 300 else f"answered {answer.status}"
    except (OSError, http.client.HTTPException) as error:
        return f"{type(error).__name__}: {error}"[:300]
    finally:
        connection.close()


def _connect(host: str, port: int | None, tls: bool, anywhere: bool) -> http.client.HTTPConnection:
    """A connection to the very address that was checked. Raises OSError, ValueError."""
    number = port or (443 if tls else 80)
    found = socket.getaddrinfo(host, number, type=socket.SOCK_STREAM)
    family, kind, protocol, _, address = found[0]
    if not anywhere and not ipaddress.ip_address(address[0]).is_global:
        raise ValueError(f"{host} is an address of a private network")
    raw = socket.socket(family, kind, protocol)
    raw.settimeout(_SECONDS)
    try:
        raw.connect(address)
        wrapped: socket.socket = (
            ssl.create_default_context().wrap_socket(raw, server_hostname=host) if tls else raw
        )
    except BaseException:
        raw.close()
        raise
    connection = http.client.HTTPConnection(host, number, timeout=_SECONDS)
    connection.sock = wrapped
    return connection
