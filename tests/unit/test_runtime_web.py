"""Addresses: only when asked, within limits, and never to other kinds of places."""

from __future__ import annotations

import io
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from assay.errors import ConfigError, ImageError
from assay.image import ImageLimits
from assay.runtime import web
from assay.runtime.containers import pictures
from assay.runtime.web import photo_of, shown


class Handler(BaseHTTPRequestHandler):
    picture = b""
    failures = 0

    def do_GET(self):
        if self.path.startswith("/photo"):
            self._answer(200, self.picture)
        elif self.path == "/moved":
            self._answer(302, b"", ("Location", "/photo.png"))
        elif self.path == "/out":
            self._answer(302, b"", ("Location", "file:///etc/passwd"))
        elif self.path == "/loop":
            self._answer(302, b"", ("Location", "/loop"))
        elif self.path == "/later" and Handler.failures < 1:
            Handler.failures += 1
            self._answer(503, b"", ("Retry-After", "0"))
        elif self.path == "/later":
            self._answer(200, self.picture)
        else:
            self._answer(404, b"")

    def _answer(self, code, body, *headers):
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(photos, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    Handler.picture, Handler.failures = (photos / "circle" / "0.png").read_bytes(), 0
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as found:
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{found.server_address[1]}"
        found.shutdown()
        thread.join()


@pytest.mark.parametrize("path", ["photo.png", "moved", "later"])
def test_what_is_there_is_fetched(server, path):
    assert photo_of(f"{server}/{path}").read() == Handler.picture


@pytest.mark.parametrize(
    ("path", "got"),
    [("gone", "404 Not Found"), ("out", "file:///etc/passwd' is not allowed"), ("loop", "redirect")],
)
def test_what_is_not_there_is_told(server, path, got, monkeypatch):
    monkeypatch.setattr(web.time, "sleep", lambda _s: None)
    with pytest.raises(ImageError, match="cannot be fetched") as told:
        photo_of(f"{server}/{path}").read()
    assert got in told.value.got


def test_no_server(monkeypatch):
    monkeypatch.setattr(web.time, "sleep", lambda _s: None)
    with pytest.raises(ImageError, match="cannot be fetched"):
        photo_of("http://127.0.0.1:9/photo.png").read()


def test_no_more_than_the_limit_is_taken(server, monkeypatch):
    monkeypatch.setattr(web, "DEFAULT_LIMITS", ImageLimits(max_bytes=50))
    with pytest.raises(ImageError, match="is too large a file"):
        photo_of(f"{server}/photo.png").read()


def test_only_when_asked(cli, tiny_bundle, server):
    refused = cli("predict", tiny_bundle, f"{server}/photo.png")
    assert refused.code == 2
    assert "nothing is fetched from the network unless it is allowed" in refused.err
    assert "--allow-network" in refused.err
    done = cli("predict", tiny_bundle, f"{server}/photo.png?key=secret", "--allow-network")
    assert done.code == 0
    assert done.out.startswith(f"{server}/photo.png  circle")
    gone = cli("predict", tiny_bundle, f"{server}/gone.png", f"{server}/photo.png", "--allow-network")
    assert gone.code == 1
    assert "404 Not Found" in gone.err
    assert len(gone.out.splitlines()) == 1


def test_credentials_are_not_shown():
    assert shown("https://user:word@host:8443/a.png?token=1#x") == "https://host:8443/a.png"


@pytest.mark.parametrize(
    "address", ["http://", "http://host:port/x.png", "http://ho st/x.png", "http://user:word@host/x.png"]
)
def test_no_address(address):
    with pytest.raises(ConfigError, match="this is no valid address") as told:
        photo_of(address)
    assert "word" not in told.value.got


def listed(*lines, network=True):
    return list(pictures("-", stdin=io.BytesIO("\n".join(lines).encode()), network=network))


def test_a_list_may_hold_addresses_where_they_are_allowed(server):
    photo, path, wrong = listed(f"{server}/photo.png?key=secret", "a.png", "http://user:word@host/x.png")
    assert (photo.name, photo.read()) == (f"{server}/photo.png", Handler.picture)
    assert path == "a.png"
    assert wrong.name == "http://host/x.png"
    with pytest.raises(ImageError, match="this is no valid address") as told:
        wrong.read()
    assert "word" not in str(told.value)
    (refused,) = listed(f"{server}/photo.png", network=False)
    with pytest.raises(ImageError, match="nothing is fetched from the network unless it is allowed") as told:
        refused.read()
    assert told.value.fix == "add --allow-network"
    assert [one.name for one in listed("http://host:port/x.png")] == ["an address"]


def test_what_was_fetched_is_not_kept_to_the_end(server):
    import gc

    found = pictures([f"{server}/photo.png?{i}" for i in range(3)], network=True)
    assert [one.read() for one in found] == [Handler.picture] * 3
    lists = [one for one in gc.get_objects() if type(one) is list and len(one) == 1]
    assert not [one for one in lists if type(one[0]) is bytes and one[0] == Handler.picture]
