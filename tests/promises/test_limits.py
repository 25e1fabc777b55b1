"""Limits hold before parsing, on every route: attacks generated from the server's own OpenAPI document.

Whatever comes: never a 5xx, never a traceback in an answer or in the log, one error shape, and a server that is ready
afterwards. On both databases, because each has its own idea of what a text may hold.
"""

from __future__ import annotations

import contextlib
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from tests.attacks import (
    Call,
    Reply,
    hangs_up,
    on_bodies,
    on_parameters,
    raw,
    routes,
    send,
    send_endlessly,
    send_slowly,
)
from tests.postgres import new_database, postgres_server
from tests.served import Served, drawn, served
from tests.tiny_policy import write_tiny_policy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OPEN = ("/v1/live", "/v1/ready")
RECEIVE_S = 1.0
MOST_MIB = 0.125
SMALL = 64 * 1024
PROBLEM = "application/problem+json"
UNKNOWN = (
    Call("GET", "/v1/nothing"),
    Call("POST", "/v1/photos"),
    Call("PUT", "/nothing"),
    Call("PATCH", "/v1/photos/x"),
)
"""Routes and methods that there are not: limits hold there too."""


class Target:
    """A server with something in it: ``known`` has real ids, ``keys`` one of each kind."""

    def __init__(self, server: Served) -> None:
        self.server, self.port = server, server.port
        self.keys = {name: server.new_key(name) for name in ("submit", "review")} | {"all": server.words}
        self.document = server.ask("GET", "/openapi.json").body
        self.known = {
            "photo_id": server.put(drawn(1)).body["photo"],
            "hook_id": "h_none",
            "task_id": "t_none",
        }
        tasks = server.ask("POST", "/v1/review/next", {"most": 1}, Content_Type="application/json").body[
            "tasks"
        ]
        if tasks:
            self.known["task_id"] = tasks[0].get("id") or tasks[0].get("task")
        self.calls = [call for call, _ in routes(self.document, self.known)]

    def check_after(self, before: int) -> None:
        """Ready, and nothing after ``before`` lines of the log that somebody would have to look at."""
        assert self.server.ask("GET", "/v1/ready").body["ready"] is True
        time.sleep(0.1)
        lines = [line for line in self.server.log[before:] if '"error"' in line or "Traceback" in line]
        assert not lines, (len(lines), lines[:2])


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    folder = tmp_path_factory.mktemp("limits")
    policy = write_tiny_policy(folder)
    options = ["--receive-s", str(RECEIVE_S), "--max-mib", str(MOST_MIB), "--no-open-door"]
    with contextlib.ExitStack() as stack:
        if request.param == "postgresql":
            options += ["--database", new_database(stack.enter_context(postgres_server()))]
        yield Target(stack.enter_context(served(policy, folder / "home", *options)))


@pytest.fixture(autouse=True)
def calm(target: Target) -> Iterator[None]:
    """After each test the server is as before."""
    before = len(target.server.log)
    yield
    target.check_after(before)


def check(call: Call, reply: Reply) -> None:
    """What holds for every answer."""
    assert reply.status < 500, (call, reply)
    assert b"Traceback" not in reply.body, (call, reply)
    assert b"site-packages" not in reply.body, (call, reply)
    assert "x-planted" not in reply.headers, (call, reply)
    if reply.status >= 400:
        assert reply.kind == PROBLEM, (call, reply)
        assert json.loads(reply.body)["status"] == reply.status, (call, reply)
        assert json.loads(reply.body)["title"], (call, reply)


def all_at_once(calls: list[Call], ask: Callable[[Call], Reply]) -> list[tuple[Call, Reply]]:
    """Many calls in some threads, each answer checked."""
    with ThreadPoolExecutor(8) as pool:
        found = list(zip(calls, pool.map(ask, calls), strict=True))
    for call, reply in found:
        check(call, reply)
    return found


def test_without_a_key_nothing_opens(target: Target) -> None:
    calls = [call for call in [*target.calls, *UNKNOWN[:2]] if call.path not in OPEN]
    for key in ("", "wrong", "x" * 300, "\xff\xfe", "a b", "Bearer"):
        for call, reply in all_at_once(calls, lambda call, key=key: send(target.port, call, key)):
            assert reply.status == 401, (key, call, reply)
            assert reply.headers["www-authenticate"] == "Bearer"
    for scheme in ("Basic dXNlcjp3b3Jk", "bearer", "", "Bearer", f"Token {target.keys['all']}"):
        reply = send(target.port, calls[0]._replace(headers={"Authorization": scheme}))
        assert reply.status == 401, scheme


def test_a_key_of_another_scope_opens_nothing(target: Target) -> None:
    for call, reply in all_at_once(target.calls, lambda call: send(target.port, call, target.keys["submit"])):
        if call.path.startswith(("/v1/review", "/v1/operate", "/metrics")):
            assert reply.status == 403, (call, reply)
    operators = [call for call in target.calls if call.path.startswith(("/v1/operate", "/metrics"))]
    assert operators
    for call, reply in all_at_once(operators, lambda call: send(target.port, call, target.keys["review"])):
        assert reply.status == 403, (call, reply)
    erase = next(call for call in target.calls if call.method == "DELETE" and "/v1/photos/" in call.path)
    assert send(target.port, erase, target.keys["submit"]).status in (403, 404)


def test_a_body_that_says_it_is_too_large_is_refused_unread(target: Target) -> None:
    def ask(call: Call) -> Reply:
        return send(
            target.port, call._replace(headers={"Content-Length": str(10**12)}), target.keys["all"], timeout=5
        )

    for call, reply in all_at_once([*target.calls, *UNKNOWN], ask):
        assert reply.status == 413, (call, reply)


def test_a_body_without_a_length_is_counted_while_it_comes(target: Target) -> None:
    reads = 0
    for call in [one for one in target.calls if one.path != "/v1/operate/reload"]:
        limit = int(MOST_MIB * 2**20) if call.method == "PUT" else SMALL
        reply, sent = send_endlessly(target.port, call, target.keys["all"], most=64 * limit)
        assert reply is not None, (call, sent)
        check(call, reply)
        assert sent < limit + 2**20, (call, sent)  # and what lies in the sockets between
        reads += reply.status == 413
    assert reads >= 4  # those that read a body at all; the others answer before it comes


def test_a_body_that_does_not_come_is_not_waited_for(target: Target) -> None:
    calls = [call for call in target.calls if call.method != "GET" and call.path != "/v1/operate/reload"]
    begun = time.monotonic()
    found = all_at_once(calls, lambda call: send_slowly(target.port, call, target.keys["all"]))
    assert time.monotonic() - begun < RECEIVE_S + 4
    late = {call.path for call, reply in found if reply.status == 408}
    assert "/v1/photos" in late
    assert len(late) >= 4


def test_headers_and_addresses_have_limits(target: Target) -> None:
    calls = [*target.calls, *UNKNOWN]
    many = {f"X-{n}": "y" for n in range(100)}
    for headers in (many, {"X-Long": "y" * 20_000}, {"Cookie": "a=" + "b" * 20_000}):
        for call, reply in all_at_once(
            calls, lambda call, h=headers: send(target.port, call._replace(headers=h), target.keys["all"])
        ):
            assert reply.status == 431, (call, reply)
    for add in ("?x=" + "y" * 5000, "/" + "y" * 5000, "?" + "x=y&" * 2000):
        for call, reply in all_at_once(
            calls,
            lambda call, a=add: send(target.port, call._replace(path=call.path + a), target.keys["all"]),
        ):
            assert reply.status == 414, (call, reply)


def test_parameters_of_any_content_break_nothing(target: Target) -> None:
    calls = list(on_parameters(target.document, target.known))
    assert len(calls) > 200
    for call, reply in all_at_once(calls, lambda call: send(target.port, call, target.keys["all"])):
        assert b"root:" not in reply.body, call


def test_bodies_of_any_content_break_nothing(target: Target) -> None:
    calls = [call for call in on_bodies(target.document, target.known) if call.path != "/v1/operate/reload"]
    assert len(calls) > 200
    for call, reply in all_at_once(calls, lambda call: send(target.port, call, target.keys["all"])):
        assert reply.status < 300 or reply.kind == PROBLEM, (call, reply)


def test_what_is_no_http_is_answered_shortly(target: Target) -> None:
    key = target.keys["all"].encode()
    photo = b"PUT /v1/photos HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + key + b"\r\n"
    for data in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"HELLO\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
        photo + b"Content-Length: -5\r\n\r\n",
        photo + b"Content-Length: 5\r\nContent-Length: 7\r\n\r\nabcde",
        photo + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        photo + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
        photo + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 40 + b"\r\n\r\n",
    ):
        told = raw(target.port, data, timeout=2 * RECEIVE_S + 3)
        assert told.startswith(b"HTTP/1.1 4") or not told, (data[:60], told[:200])


def test_a_sender_who_goes_away_leaves_no_trace_in_the_log(target: Target) -> None:
    words = ["PUT /v1/photos?wait=5 HTTP/1.1", "Host: x", f"Authorization: Bearer {target.keys['all']}"]
    head = "\r\n".join([*words, "Content-Length: 900", "", ""])
    for body in (b"", b"abc", b"x" * 900):
        with socket.create_connection(("127.0.0.1", target.port), 5) as there:
            there.sendall(head.encode() + body)
    time.sleep(0.3)


def test_a_quota_is_told_with_the_time_to_wait(target: Target) -> None:
    key = target.server.new_key("submit", per_minute=3)
    photo = Call("GET", f"/v1/photos/{target.known['photo_id']}")
    replies = [send(target.port, photo, key) for _ in range(5)]
    assert [reply.status for reply in replies] == [404, 404, 404, 429, 429]  # the photo is another key's
    for reply in replies[3:]:
        assert 1 <= int(reply.headers["retry-after"]) <= 60
        assert "quota" in json.loads(reply.body)["title"]
        assert reply.kind == PROBLEM
    assert send(target.port, photo, target.keys["all"]).status == 200  # nobody else's matter


SLOW = RECEIVE_S + 2


def test_a_refusal_reaches_who_is_still_sending(target: Target) -> None:
    call = Call("PUT", "/v1/photos", body=b"x" * 10_000_000)
    for key in ("", target.keys["all"]):
        for _ in range(10):
            reply = send(target.port, call, key)
            check(call, reply)
            assert reply.status == 413


def test_headers_that_do_not_come_are_not_waited_for(target: Target) -> None:
    for first in (b"", b"GET / HTTP/1.1\r\nHost: x\r\nX: "):
        assert hangs_up(target.port, first, b"", SLOW)[0], first
    assert hangs_up(target.port, b"GET / HTTP/1.1\r\nHost: x\r\n", b"X: y\r\n", SLOW)[0]


def test_headers_without_an_end_are_cut_off(target: Target) -> None:
    ended, _ = hangs_up(target.port, b"GET / HTTP/1.1\r\nHost: x\r\nX: ", b"y" * 2**20, RECEIVE_S / 2)
    assert ended


def test_what_is_no_http_gets_the_same_shape_of_error(target: Target) -> None:
    told = raw(target.port, b"HELLO\r\n\r\n")
    assert PROBLEM.encode() in told


def test_nobody_keeps_the_server_reading(target: Target) -> None:
    words = ["GET /v1/live HTTP/1.1", "Host: x", "Transfer-Encoding: chunked", "", ""]
    ended, told = hangs_up(
        target.port, "\r\n".join(words).encode(), b"1000\r\n" + b"x" * 4096 + b"\r\n", SLOW
    )
    assert told.startswith((b"HTTP/1.1 200", b"HTTP/1.1 4"))
    assert ended


@pytest.mark.parametrize("letter", ["\0", "\ud800"], ids=["NUL", "half a sign"])
def test_texts_that_a_database_cannot_keep_are_refused(target: Target, letter: str) -> None:
    server, kind = target.server, {"Content_Type": "application/json"}
    photo = server.put(b"broken " + letter.encode("utf-8", "surrogatepass")).body["photo"]
    server.put(drawn(ord(letter)))
    task = server.ask("POST", "/v1/review/next", {"most": 1}, **kind).body["tasks"][0]["id"]
    answers = {
        f"/v1/photos/{photo}/appeal": {"text": f"a{letter}"},
        f"/v1/review/tasks/{task}/answer": {"verdict": "accept", "note": f"a{letter}"},
        "/v1/operate/hooks": {"url": f"https://a.example/{letter}"},
    }
    statuses = {path: server.ask("POST", path, body, **kind).status for path, body in answers.items()}
    assert set(statuses.values()) == {422}, statuses
