"""The service from its start to its stop: photos, keys, waiting, repeats, appeals, webhooks, erasure, the record."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tests.postgres import new_database, postgres_server
from tests.served import Served, drawn, served
from tests.tiny_policy import SHAPES

from assay.service.settings import ServeConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest, tiny_bundle: Path, tmp_path: Path) -> Iterator[Served]:
    policy = tmp_path / "shapes.yaml"
    policy.write_text(yaml.safe_dump(SHAPES, allow_unicode=True), "utf-8")
    if request.param == "sqlite":
        with served(policy, tmp_path / "home", "--webhooks-http") as one:
            yield one
        return
    with postgres_server() as address:
        own = new_database(address)
        with served(policy, tmp_path / "home", "--webhooks-http", "--database", own) as one:
            yield one


def test_a_photo_from_upload_to_erasure(server: Served, cli: Callable[..., Any]) -> None:
    data = drawn(1)
    told = server.put(data, "wait=10&sender=anna&name=a.png&item=bag-1", Idempotency_Key="one")
    assert told.status == 200
    body = told.body
    assert (body["status"], body["verdict"], body["automatic"]) == ("decided", "review", False)
    assert body["clause"] == "no-promise"
    assert "人工" in body["words"]["zh"]
    assert body["sha256"] == hashlib.sha256(data).hexdigest()
    assert set(body["answers"]) == {"shape"}
    again = server.put(data, "wait=10", Idempotency_Key="one")
    assert again.body["photo"] == body["photo"]
    assert server.put(drawn(2), Idempotency_Key="one").status == 409
    got = server.ask("GET", f"/v1/decisions/{body['photo']}")
    assert got.body == body
    bad = server.put(b"\xff\xd8nothing")
    assert (bad.status, bad.body["verdict"], bad.body["clause"]) == (200, "resubmit", "unreadable")
    appeal = server.ask("POST", f"/v1/photos/{bad.body['photo']}/appeal", {"text": "it is a photo"})
    assert appeal.status == 201
    assert server.ask("POST", f"/v1/photos/{bad.body['photo']}/appeal", {"text": "again"}).status == 409
    assert server.ask("POST", f"/v1/photos/{body['photo']}/appeal", {"text": "why"}).status == 409
    receipt = server.ask("DELETE", f"/v1/photos/{body['photo']}")
    assert receipt.status == 200
    assert receipt.body["bytes_deleted"]
    assert server.ask("GET", f"/v1/photos/{body['photo']}").status == 410
    assert server.stop() == 0
    place = ("--database", server.options[-1]) if "--database" in server.options else ()
    done = cli("verify-record", server.policy, "--folder", server.folder, *place)
    assert done.code == 0, done.out + done.err
    assert "the record is whole" in done.out


def test_keys_open_what_they_may(server: Served) -> None:
    submit = server.new_key("submit")
    mine = server.put(drawn(3), words=submit).body["photo"]
    other = server.put(drawn(4)).body["photo"]
    assert server.ask("GET", f"/v1/photos/{mine}", words=submit).status == 200
    assert server.ask("GET", f"/v1/photos/{other}", words=submit).status == 404
    assert server.ask("DELETE", f"/v1/photos/{mine}", words=submit).status == 403
    assert server.ask("POST", "/v1/operate/reload", words=submit).status == 403
    assert server.ask("GET", "/metrics", words=submit).status == 403
    assert server.ask("GET", f"/v1/photos/{mine}", words="").status == 401
    assert server.ask("GET", f"/v1/photos/{mine}", words=submit[:-1] + "x").status == 401
    assert b"assay_photos_decided_total" in server.ask("GET", "/metrics").body
    told = server.ask("PUT", "/v1/photos", b"", words=submit)
    assert (told.status, told.body["title"]) == (400, "the body is empty")
    assert told.headers["content-type"] == "application/problem+json"


class Hook(http.server.BaseHTTPRequestHandler):
    """Keeps what it is sent; answers 500 to the first."""

    got: list[tuple[dict[str, str], bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.got.append((dict(self.headers), body))
        self.send_response(500 if len(self.got) == 1 else 204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        return


def test_webhooks_are_signed_and_tried_again(server: Served) -> None:
    got: list[Any] = []
    receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Mine", (Hook,), {"got": got}))
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{receiver.server_port}/hook"
    made = server.ask("POST", "/v1/operate/hooks", {"url": url})
    assert made.status == 201
    assert server.ask("POST", "/v1/operate/hooks", {"url": "file:///etc/passwd"}).status == 400
    photo = server.put(drawn(5)).body["photo"]
    until = time.monotonic() + 20
    while len(got) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    receiver.shutdown()
    receiver.server_close()
    (_, first), (headers, second) = got[:2]
    assert first == second
    assert json.loads(second)["photo"] == photo
    stamp, code = (part.partition("=")[2] for part in headers["Assay-Signature"].split(","))
    wanted = hmac.new(made.body["secret"].encode(), f"{stamp}.".encode() + second, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(code, wanted)
    assert server.ask("DELETE", f"/v1/operate/hooks/{made.body['id']}").status == 200


def test_a_second_server_in_one_folder_is_refused(shapes_home: tuple[Path, Path]) -> None:
    policy, folder = shapes_home
    with served(policy, folder):
        second = Served(policy, folder, words="x")
        with pytest.raises(AssertionError, match="another server works in"):
            second.start()


@pytest.fixture
def shapes_home(tiny_bundle: Path, tmp_path: Path) -> tuple[Path, Path]:
    policy = tmp_path / "shapes.yaml"
    policy.write_text(yaml.safe_dump(SHAPES, allow_unicode=True), "utf-8")
    return policy, tmp_path / "home"


def test_mistakes_are_told_before_anything_is_made(tmp_path: Path, cli: Callable[..., Any]) -> None:
    missing = cli("serve", tmp_path / "none.yaml")
    assert missing.code == 2
    assert "there is no policy" in missing.err
    policy = tmp_path / "shapes.yaml"
    policy.write_text(yaml.safe_dump(SHAPES), "utf-8")
    for words, told in (
        (("--database", "mysql://x/y"), "no database of kind 'mysql'"),
        (("--port", "99999"), "port"),
        (("--precision", "int9"), "tiny.bundle"),
    ):
        done = cli("serve", policy, "--folder", tmp_path / "h", *words)
        assert done.code == 2, done
        assert told in done.err
    assert cli("verify-record", policy, "--folder", tmp_path / "no").code == 2


def test_a_key_that_cannot_be_leaves_no_folder_behind(tmp_path: Path, cli: Callable[..., Any]) -> None:
    policy, folder = tmp_path / "shapes.yaml", tmp_path / "home"
    policy.write_text(yaml.safe_dump(SHAPES), "utf-8")
    for words, told in (
        (("--name", "shop", "--scope", "submitt"), "did you mean submit?"),
        (("--name", "shop"), "at least one scope"),
        (("--scope", "submit"), "a key has a name"),
    ):
        done = cli("keys", "add", policy, "--folder", folder, *words)
        assert done.code == 2, done
        assert told in done.err
    assert not folder.exists()


@pytest.mark.parametrize("words", [("keys", "add"), ("keys", "list"), ("verify-record",), ("serve",)])
def test_a_library_that_is_missing_is_named(tmp_path: Path, words: tuple[str, ...]) -> None:
    policy = tmp_path / "shapes.yaml"
    policy.write_text(yaml.safe_dump(SHAPES), "utf-8")
    given = [*words, str(policy), *(["--name", "shop", "--scope", "submit"] if "add" in words else [])]
    code = f"import sys; sys.modules['sqlalchemy'] = None; from assay.cli.main import main; sys.exit(main({given!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done
    assert "the service is not installed" in done.stderr
    assert "got: no sqlalchemy" in done.stderr


def test_a_record_of_another_key_is_left_alone(
    shapes_home: tuple[Path, Path], cli: Callable[..., Any]
) -> None:
    policy, folder = shapes_home
    add = ("keys", "add", policy, "--folder", folder, "--name", "shop", "--scope", "submit")
    assert cli(*add).code == 0
    own = (folder / "record.key").read_bytes()
    (folder / "record.key").write_bytes(b"x" * 32)
    for words in (add, ("serve", policy, "--folder", folder, "--port", "0")):
        done = cli(*words)
        assert done.code == 2, done
        assert "was not kept with the key in" in done.err
    (folder / "record.key").write_bytes(own)
    assert cli(*add).code == 0
    assert cli("verify-record", policy, "--folder", folder).code == 0


def test_starting_and_stopping_leaves_nothing_behind(shapes_home: tuple[Path, Path]) -> None:

    from tests.served import children

    from assay.service.serve import running

    policy, folder = shapes_home
    config = ServeConfig(decoders=1, answerers=1)

    async def turn() -> None:
        async with running(policy, config, folder) as service:
            assert service.foreman.can_work

    def counted() -> tuple[int, int, int]:
        return (
            len(list(Path("/proc/self/fd").iterdir())),
            threading.active_count(),
            len(children(os.getpid())),
        )

    asyncio.run(turn())
    before = counted()
    for _ in range(5):
        asyncio.run(turn())
    assert counted() == before


def test_what_is_decoded_while_it_is_stored_may_be_left(shapes_home: tuple[Path, Path]) -> None:
    from assay.service.serve import running
    from assay.service.store.jobs import Job
    from assay.service.store.photos import Upload, take_in

    policy, folder = shapes_home
    data = drawn(1)

    async def stored(service: Any, name: str) -> Job:
        upload = Upload(name, "ab" * 32, len(data), "k_1", time.time())
        until = service.foreman.lease_until()
        await service.database.write(lambda c: take_in(c, upload, service.foreman.owner, until))
        return Job(name, upload.sha256, "", "", "", 0)

    async def turn() -> None:
        async with running(policy, ServeConfig(decoders=1, answerers=1), folder) as service:
            foreman = service.foreman
            left = [foreman.begin(data) for _ in range(4)]
            foreman.leave(left[0])  # before its turn
            while left[1].decoded is None:
                await asyncio.sleep(0.001)
            for one in left[1:]:  # decoded, being decoded, waiting
                foreman.leave(one)
            begun = foreman.begin(data)
            while begun.decoded is None:
                await asyncio.sleep(0.001)
            assert service.live.in_work == 1
            foreman.offer(await stored(service, "p_1"), begun)
            early = foreman.begin(data)
            foreman.offer(await stored(service, "p_2"), early)
            lost = foreman.begin(data)
            foreman.leave(lost)  # as when its decoder went: it is taken up anew
            service.objects.put("ab" * 32, data)
            foreman.offer(await stored(service, "p_3"), lost)
            for name in ("p_1", "p_2", "p_3"):
                row = await foreman.wait(name, 10)
                assert row is None or row["verdict"] == "review"
            while foreman.in_work:
                await asyncio.sleep(0.01)
            assert service.live.in_work == 0

    asyncio.run(asyncio.wait_for(turn(), 60))


def test_connections_beyond_the_limit_are_told_so(shapes_home: tuple[Path, Path]) -> None:
    policy, folder = shapes_home
    with served(policy, folder, "--connections", "8") as server, contextlib.ExitStack() as stack:
        place = ("127.0.0.1", server.port)
        for _ in range(8):
            stack.enter_context(socket.create_connection(place, 5))
        for data in (drawn(1), b"x" * 5_000_000):
            told = server.put(data)
            assert (told.status, told.headers["retry-after"]) == (503, "2")
            assert told.body["title"] == "too many connections are open"
        assert server.ask("GET", "/v1/live").status == 200
        for _ in range(8):
            stack.enter_context(socket.create_connection(place, 5))
        with socket.create_connection(place, 5) as further, contextlib.suppress(ConnectionResetError):
            assert further.recv(1) == b""
        stack.close()
        until = time.monotonic() + 5
        while server.put(drawn(1)).status != 200:
            assert time.monotonic() < until
        told = server.ask("GET", "/metrics").body.decode()
        assert float(told.split('refused_total{why="too many connections"} ')[1].split()[0]) >= 3
