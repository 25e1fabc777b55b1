"""Photos behind http(s) addresses, only where that was asked for.

Addresses that were typed may lead anywhere; this room is not for addresses that strangers put into data. Redirects go
to http(s) alone and never from https back to http; size and time have limits; no cookies, no credentials in messages.
"""

from __future__ import annotations

import http.client
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from functools import partial
from typing import Any

import assay
from assay.errors import ConfigError, ImageError
from assay.image import DEFAULT_LIMITS
from assay.photos import Photo, once

ADDRESS = re.compile(r"https?://", re.I)

_TIMEOUT_S, _WHOLE_S = 10.0, 60.0
_REDIRECTS, _TRIES = 5, 3
_AGAIN = {429, 500, 502, 503, 504}
_BLOCK = 1 << 16


def is_address(name: str) -> bool:
    """Whether a name is an http(s) address."""
    return ADDRESS.match(name) is not None


def photo_of(address: str) -> Photo:
    """The picture behind an address; it is fetched by the thread that decodes it.

    Raises
    ------
    ConfigError : it is no valid address.
    """
    try:
        parts = urllib.parse.urlsplit(address)
        is_valid = (
            bool(parts.hostname)
            and parts.username is None
            and parts.port != 0
            and not any(c in address for c in "\r\n\t ")
        )
    except ValueError:
        is_valid = False
    if not is_valid:
        raise ConfigError(
            "this is no valid address",
            got="a user name in it" if "@" in address else repr(address.split("?", maxsplit=1)[0])[:200],
            fix="e.g. https://example.org/photo.jpg",
        )
    return Photo(shown(address), once(partial(_fetch, address)))


def shown(address: str) -> str:
    """The address without user name, password and query, for messages and rows."""
    parts = urllib.parse.urlsplit(address)
    host = (parts.hostname or "") + (f":{parts.port}" if parts.port else "")
    return urllib.parse.urlunsplit((parts.scheme, host, parts.path, "", ""))


def _fetch(address: str) -> bytes:
    name, until = shown(address), time.monotonic() + _WHOLE_S
    for attempt in range(_TRIES):
        try:
            return _get(address, name, until)
        except urllib.error.HTTPError as error:
            with error:
                if error.code not in _AGAIN or attempt + 1 == _TRIES:
                    raise ImageError(
                        f"{name} cannot be fetched",
                        got=f"{error.code} {error.reason}",
                        fix="check the address",
                    ) from None
                wait = _wait(error.headers.get("Retry-After"), attempt)
        except (OSError, http.client.HTTPException, ValueError) as error:
            if attempt + 1 == _TRIES:
                reason = str(getattr(error, "reason", error))[:200] or type(error).__name__
                raise ImageError(f"{name} cannot be fetched", got=reason, fix="check the address") from None
            wait = _wait(None, attempt)
        if time.monotonic() + wait > until:
            break
        time.sleep(wait)
    raise ImageError(f"{name} cannot be fetched", got=f"no answer within {_WHOLE_S:g} s")


def _get(address: str, name: str, until: float) -> bytes:
    request = urllib.request.Request(address, headers={"User-Agent": f"assay/{assay.__version__}"})
    with _opener().open(request, timeout=_TIMEOUT_S) as answer:
        data = bytearray()
        while block := answer.read1(_BLOCK):
            data += block
            if len(data) > DEFAULT_LIMITS.max_bytes:
                raise ImageError(
                    f"{name} is too large a file", got=f"more than {DEFAULT_LIMITS.max_bytes:,} bytes"
                )
            if time.monotonic() > until:
                raise ImageError(f"{name} cannot be fetched", got=f"not done within {_WHOLE_S:g} s")
    return bytes(data)


def _wait(told: str | None, attempt: int) -> float:
    return float(told) if told is not None and told.isdecimal() else float(2**attempt)


class _Redirects(urllib.request.HTTPRedirectHandler):
    max_redirections = _REDIRECTS

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if not is_address(newurl) or (req.full_url.startswith("https:") and not newurl.startswith("https:")):
            raise urllib.error.URLError(f"it leads on to {shown(newurl)}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    """Http and https alone: the usual one also opens files and ftp."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(),
    ):
        opener.add_handler(handler)
    return opener
