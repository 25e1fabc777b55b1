"""Hostile requests, made from a server's own OpenAPI document: each route and method, each parameter, each field."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

WORDS = (
    "", "..", "../../../../etc/passwd", "..\\..\\windows", "/etc/passwd", "%2e%2e%2f", "' OR 1=1 --",
    '"; DROP TABLE photos;--', "\0", "a\0b", "\r\nX-Planted: yes", "\ufffe", "\U0001f4a3", "<script>alert(1)</script>",
    "{{7*7}}", "${jndi:ldap://x}", "-1", "0", "NaN", "Infinity", "1e309", "1_0", "0x10", "9" * 40, "null", "true",
    "[]", "{}", "x" * 300, "x" * 3000,
)  # fmt: skip
"""What a parameter is given, whatever its type."""
RAW_BODIES = (
    b"", b"{", b"null", b"[]", b'"x"', b"NaN", b"1e999", b"-", b"\xff\xfe\x00", b"\xef\xbb\xbf{}", b'{"a": 1, "a": 2}',
    b"[" * 30_000, b'{"a":' * 10_000, b'{"a":' * 10_000 + b"1" + b"}" * 10_000, b'{"' + b"k" * 60_000 + b'": 1}',
    b"9" * 60_000, b'{"text": "\\ud800"}', b'{"text": "\\u0000"}',
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, 10**30, "", "\0", "x" * 5000, "' OR 1=1 --", "../../x", [], [[]], {}, {"a": {"b": []}},
)  # fmt: skip
"""What a field of a body is given."""
FIELDS = ("text", "url", "verdict", "most")
"""Fields of bodies that the document does not describe."""
CONTENT_TYPES = (
    "", "application/xml", "text/html", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded",
    "application/json; charset=utf-16", "application/json; charset=nothing", "image/svg+xml", "x" * 500, "; ; ;", "/",
)  # fmt: skip


class Call(NamedTuple):
    """One request. ``path`` is ready to be sent; ``what`` says which attack it is."""

    method: str
    path: str
    what: str = ""
    body: bytes | None = None
    headers: Mapping[str, str] = {}


class Reply(NamedTuple):
    status: int
    kind: str
    headers: Mapping[str, str]
    body: bytes


def routes(document: Mapping[str, Any], known: Mapping[str, str]) -> Iterator[tuple[Call, Mapping[str, Any]]]:
    """(a harmless call, what the document says of it) of each route and method.

    ``known`` names real ids; nothing is deleted by them.
    """
    for template, methods in document["paths"].items():
        for method, told in methods.items():
            path = template
            for name, value in known.items():
                path = path.replace("{" + name + "}", "none" if method == "delete" else value)
            assert "{" not in path, f"no real id for {template}"
            yield Call(method.upper(), path), told


def on_parameters(document: Mapping[str, Any], known: Mapping[str, str]) -> Iterator[Call]:
    """Each parameter of each route with each of ``WORDS``, the others as they should be."""
    for template, methods in document["paths"].items():
        for method, told in methods.items():
            for parameter in told.get("parameters", ()):
                for word in WORDS:
                    yield _with(template, method, parameter, word, known)


def _with(
    template: str, method: str, parameter: Mapping[str, Any], word: str, known: Mapping[str, str]
) -> Call:
    path, headers, name = template, {}, parameter["name"]
    if parameter["in"] == "path":
        path = path.replace("{" + name + "}", quote(word, safe=""))
    for other, value in known.items():
        path = path.replace("{" + other + "}", value)
    if parameter["in"] == "query":
        path += f"?{quote(name)}={quote(word, safe='')}"
    if parameter["in"] == "header":
        headers = {name: word.encode("utf-8").decode("latin-1").translate({0: "?", 10: " ", 13: " "})}
    body = b"no picture" if method == "put" else None
    return Call(method.upper(), path, f"{parameter['in']} {name}={word[:30]!r}", body, headers)


def on_bodies(document: Mapping[str, Any], known: Mapping[str, str]) -> Iterator[Call]:
    """Bodies in the wrong form, fields of the wrong type and odd content types, for each route that may have a body."""
    for call, told in routes(document, known):
        if call.method not in ("POST", "PUT", "DELETE"):
            continue
        json_type = {"Content-Type": "application/json"}
        for body in RAW_BODIES:
            yield call._replace(what=f"body {body[:20]!r}", body=body, headers=json_type)
        for field, others in _fields(document, told):
            for value in VALUES:
                whole = json.dumps({**others, field: value}).encode()
                yield call._replace(what=f"field {field}={value!r}"[:60], body=whole, headers=json_type)
        for kind in CONTENT_TYPES:
            yield call._replace(
                what=f"content type {kind[:30]!r}", body=b"{}", headers={"Content-Type": kind}
            )


def _fields(document: Mapping[str, Any], told: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(a field, plausible values of the others) of a body's schema, or of what such bodies have elsewhere."""
    schema: Any = next(iter(told.get("requestBody", {}).get("content", {}).values()), {}).get("schema")
    while schema and "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]]
    known = (schema or {}).get("properties")
    if known is None:
        yield from ((field, {}) for field in FIELDS)
        return
    plausible = {name: {"string": "accept", "integer": 1, "boolean": False, "object": {}}.get(one.get("type"))
                 for name, one in known.items()}  # fmt: skip
    for field in [*known, "unknown_field"]:
        yield field, {name: value for name, value in plausible.items() if name != field}


def send(port: int, call: Call, key: str = "", timeout: float = 20) -> Reply:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.putrequest(call.method, call.path, skip_accept_encoding=True)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        length = {} if call.body is None else {"Content-Length": str(len(call.body))}
        for name, value in {**length, **headers, **call.headers}.items():
            connection.putheader(name, value)
        connection.endheaders()
        if call.body:
            connection.send(call.body)
        return _reply(connection.getresponse())
    finally:
        connection.close()


def send_slowly(port: int, call: Call, key: str, first: bytes = b"abc", timeout: float = 20) -> Reply:
    """A body that is announced and never comes; the answer that the server gives all the same."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.putrequest(call.method, call.path)
        connection.putheader("Authorization", f"Bearer {key}")
        connection.putheader("Content-Length", "1000")
        connection.endheaders()
        connection.send(first)
        return _reply(connection.getresponse())
    finally:
        connection.close()


def send_endlessly(
    port: int, call: Call, key: str, most: int, timeout: float = 20
) -> tuple[Reply | None, int]:
    """(the answer, bytes of the body that were sent until it came): chunks without an announced length.

    At most ``most`` bytes are sent; None where the connection ended without an answer.
    """
    words = [f"{call.method} {call.path} HTTP/1.1", "Host: x", f"Authorization: Bearer {key}"]
    head = "\r\n".join([*words, "Transfer-Encoding: chunked", "", ""])
    sent, part = 0, b"1000\r\n" + b"x" * 4096 + b"\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout) as there:
        there.sendall(head.encode())
        there.settimeout(0.005)
        answer = http.client.HTTPResponse(there, method=call.method)
        while sent < most:
            try:
                if there.recv(1, socket.MSG_PEEK):
                    break
                return None, sent
            except TimeoutError:
                pass
            except OSError:
                return None, sent
            there.settimeout(timeout)
            try:
                there.sendall(part)
            except OSError:
                break
            sent += 4096
            there.settimeout(0.001)
        there.settimeout(timeout)
        try:
            answer.begin()
            return _reply(answer), sent
        except (OSError, http.client.HTTPException):
            return None, sent


def raw(port: int, data: bytes, timeout: float = 10) -> bytes:
    """Bytes to the server, and all that comes back until it hangs up or nothing comes any more."""
    found = b""
    with socket.create_connection(("127.0.0.1", port), timeout) as there:
        try:
            there.sendall(data)
            while part := there.recv(65536):
                found += part
        except OSError:
            pass
    return found


def hangs_up(port: int, first: bytes, part: bytes, seconds: float) -> tuple[bool, bytes]:
    """(whether the server ends the connection in time, what it said): ``part`` follows over and over ``first``."""
    found, until = b"", time.monotonic() + seconds
    with socket.create_connection(("127.0.0.1", port), seconds) as there:
        there.settimeout(0.05)
        try:
            there.sendall(first)
            while time.monotonic() < until:
                try:
                    there.sendall(part)
                    if not (heard := there.recv(65536)):
                        return True, found
                    found += heard
                except TimeoutError:
                    continue
        except OSError:
            return True, found
    return False, found


def _reply(answer: http.client.HTTPResponse) -> Reply:
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return Reply(answer.status, headers.get("content-type", ""), headers, answer.read())
