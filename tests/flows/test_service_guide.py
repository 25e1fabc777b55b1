"""The guide of the service is run: its programs against a server, its figures against the code, its two languages."""

from __future__ import annotations

import http.client
import http.server
import importlib.util
import json
import os
import re
import shlex
import shutil
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

from assay.cli.flags import options_of
from assay.service.settings import ServeConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

GUIDES = Path(__file__).resolve().parents[2] / "docs" / "guides"
ENGLISH, CHINESE = ((GUIDES / name).read_text("utf-8") for name in ("service.md", "service.zh-CN.md"))


def blocks(text: str, language: str = r"\w+") -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def programs(folder: Path) -> list[ModuleType]:
    """The guide's programs, as modules."""
    found = []
    for number, text in enumerate(blocks(ENGLISH, "python")):
        path = folder / f"program_{number}.py"
        path.write_text(text, "utf-8")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found.append(module)
    return found


def shell(word: str) -> str:
    """The one block of shell that has this word in it."""
    (found,) = [block for block in blocks(ENGLISH, "sh") if word in block]
    return found


@pytest.fixture
def shop(tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """``assay serve shop.yaml``, in the folder of the policy."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.yaml").write_text(yaml.safe_dump(SHAPES, allow_unicode=True), "utf-8")
    options = ("--webhooks-http", "--decoders", "1", "--answerers", "1")
    with served(tmp_path / "shop.yaml", tmp_path / "shop.service", *options) as server:
        yield server


def run(server: Served, script: str, **names: str) -> str:
    """What a shell makes of lines of the guide, in the policy's folder and at the server's own port."""
    script = script.replace("127.0.0.1:8000", f"127.0.0.1:{server.port}").replace(
        "python3 ", f"{sys.executable} "
    )
    around = {name: value for name, value in os.environ.items() if not name.endswith("_proxy")}
    done = subprocess.run(
        ["bash", "-ec", script], env={**around, **names}, cwd=server.policy.parent, capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_guide_from_the_first_photo_to_the_back_up(shop: Served, cli: Callable[..., Any]) -> None:
    folder = shop.policy.parent
    sender, receiver = programs(folder)
    submit = shop.new_key("submit")
    told = sender.send_photo(f"127.0.0.1:{shop.port}", submit, drawn(1))
    assert (told["status"], told["verdict"]) == ("decided", "review")
    with pytest.raises(ValueError, match="a key is needed"):
        sender.send_photo(f"127.0.0.1:{shop.port}", "nobody's", drawn(1))

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), receiver.Letters) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        mine = f"http://127.0.0.1:{listening.server_port}/assay"
        hook = json.loads(
            run(shop, shell("operate/hooks").replace("https://shop.example/assay", mine), OPERATE=shop.words)
        )
        receiver.SECRET = hook["secret"]
        (folder / "photo.jpg").write_bytes(drawn(2, kind="JPEG"))
        sent = json.loads(run(shop, shell("@photo.jpg"), KEY=submit))
        assert set(sent) >= {"photo", "status", "sha256", "sender", "name"}
        assert sent["sender"] == "seller-17"
        until = time.monotonic() + 30
        while not receiver.SEEN and time.monotonic() < until:
            time.sleep(0.05)
        assert len(receiver.SEEN) == 1
        assert forged(listening.server_port) == 400
        assert len(receiver.SEEN) == 1
        listening.shutdown()

    bad = shop.put(b"no photo", words=submit).body
    assert (bad["verdict"], bad["clause"]) == ("resubmit", "unreadable")
    appeal = json.loads(run(shop, shell("/appeal"), KEY=submit, PHOTO=bad["photo"]))
    assert appeal["photo"] == bad["photo"]

    (folder / "backup").mkdir()
    run(shop, shell("record.anchors"))
    receipt = json.loads(run(shop, shell("-X DELETE"), OPERATE=shop.words, PHOTO=sent["photo"]))
    assert receipt["bytes_deleted"]
    assert {"photo", "sha256", "why", "at", "kept", "entry"} <= set(receipt)
    for line in (shell("keys add") + shell("verify-record")).splitlines():
        if "postgresql" not in line:
            done = cli(*shlex.split(line)[1:])
            assert done.code == 0, done.err
    assert cli("verify-record", "shop.yaml", "--folder", "backup").code == 0
    assert sum(one.is_file() for one in (folder / "backup" / "photos").rglob("*")) >= 1


def test_two_servers_share_a_database_a_store_and_their_keys(
    tiny_bundle: Path, tmp_path: Path, cli: Callable[..., Any]
) -> None:
    """As the guide says: each sees the photos of both, and the record is whole; with a key of its own none starts."""
    policy = tmp_path / "shop.yaml"
    policy.write_text(yaml.safe_dump(SHAPES, allow_unicode=True), "utf-8")
    with postgres_server() as address:
        place = ("--database", new_database(address), "--objects", str(tmp_path / "store"))
        more = (*place, "--decoders", "1", "--answerers", "1")
        with served(policy, tmp_path / "one", *more) as one:
            (tmp_path / "two").mkdir()
            for name in ("record.key", "session.key"):
                shutil.copy(tmp_path / "one" / name, tmp_path / "two" / name)
            with served(policy, tmp_path / "two", *more) as two:
                mine = one.put(drawn(1)).body
                assert two.ask("GET", f"/v1/photos/{mine['photo']}", words=one.words).body == mine
                assert two.ask("GET", f"/v1/photos/{mine['photo']}/view", words=one.words).status == 200
                assert two.put(drawn(2)).status == 200
        for folder in ("one", "two"):
            done = cli("verify-record", policy, "--folder", tmp_path / folder, *place[:2])
            assert done.code == 0, done.out
        done = cli("serve", policy, "--folder", tmp_path / "three", *more, "--port", "0")
        assert done.code == 2
        assert "was not kept with the key in" in done.err
        assert cli("verify-record", policy, "--folder", tmp_path / "one", *place[:2]).code == 0


def forged(port: int) -> int:
    """The status of a letter that is not Assay's."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    signature = {"Assay-Event": "w_forged", "Assay-Signature": f"t={int(time.time())},v1={'0' * 64}"}
    try:
        connection.request("POST", "/assay", b'{"photo": "p_1", "verdict": "accept"}', signature)
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_letter_is_believed_for_five_minutes_and_only_as_it_came(tmp_path: Path) -> None:
    from assay.service.store.hooks import signature

    read = programs(tmp_path)[1].read_letter
    now, body = int(time.time()), '{"verdict": "accept"}'
    assert read("secret", signature("secret", now, body), body.encode()) == {"verdict": "accept"}
    for words, told in (
        (signature("other", now, body), "not Assay's"),
        (signature("secret", now, body + " "), "not Assay's"),
        ("", "not Assay's"),
        (signature("secret", now - 400, body), "too old"),
    ):
        with pytest.raises(ValueError, match=told):
            read("secret", words, body.encode())


def test_figures_of_the_guide_are_those_of_the_code() -> None:
    from assay.service import chores, foreman, gate
    from assay.service.routes import photos
    from assay.service.store import appeals, database, hooks, reviews
    from assay.service.workers import child, pool, sandbox

    defaults = ServeConfig()
    pauses = [min(3600.0, 2.0**number) for number in range(1, hooks.MOST_TRIES)]
    figures = {
        "MiB of a photo": (defaults.max_mib, 16),
        "s of an upload": (defaults.receive_s, 15),
        "s of waiting for the machine": (defaults.max_wait_s, 4),
        "bytes of another body": (gate.SMALL_BODY, 64 * 1024),
        "headers": (gate._MOST_HEADERS, 64),
        "bytes of headers": (gate._MOST_HEADER_BYTES, 16 * 1024),
        "bytes of an address": (gate._MOST_TARGET, 4096),
        "s that a request may wait": (photos._MOST_WAIT_S, 30),
        "days of an idempotency key": (chores.REPEATS_KEPT_S, 2 * 86400),
        "tries of a letter": (hooks.MOST_TRIES, 12),
        "minutes of tries": (round(sum(pauses) / 60), 68),
        "letters of an appeal": (appeals.MOST_LETTERS, 2000),
        "s of a write": (database.PATIENCE_S, 30),
        "s of a job's lease": (foreman.LEASE_S, 4),
        "s of a stop": (foreman._STOP_S, 10),
        "s of a reviewer's lease": (reviews.LEASE_S, 180),
        "pixels": (pool.SERVICE_LIMITS.max_pixels, 40_000_000),
        "bytes of a decoder": (sandbox.DECODER_BYTES, 512 * 1024 * 1024),
        "s of decoding": (pool.Decoders.__init__.__defaults__[1], 3.0),
        "tries of decoding": (pool.TRIES, 2),
    }
    assert not {name: pair for name, pair in figures.items() if pair[0] != pair[1]}
    assert child.SILENT_S <= 2


def test_what_the_guide_names_is_there() -> None:
    from assay.service.meters import Meters

    flags = {option.flag for option in options_of(ServeConfig)} | {
        "--folder",
        "--per-minute",
        "--key",
        "--name",
        "--scope",
    }
    named = set(re.findall(r"`(--[a-z-]+)", re.sub(r"```.*?```", "", ENGLISH, flags=re.DOTALL)))
    assert named <= flags, named - flags
    counted = Meters().text().decode()
    metrics = set(re.findall(r"^\| `(assay_\w+)", ENGLISH, re.MULTILINE))
    assert len(metrics) == 12
    for name in metrics:
        assert f"# TYPE {name} " in counted
    written = {
        name
        for name in re.findall(r"^# TYPE (assay_\w+) ", counted, re.MULTILINE)
        if not name.endswith("_created")
    }
    assert metrics == written


def test_both_languages_show_the_same() -> None:
    assert blocks(ENGLISH) == blocks(CHINESE)
    for pattern in (r"^## (\d+)\.", r"^\| ([\d, ]+) \|", r"^\| (`[^|]+`) \|", r"`([A-Z]+ /v1/[^`]*)`"):
        assert re.findall(pattern, ENGLISH, re.MULTILINE) == re.findall(pattern, CHINESE, re.MULTILINE), (
            pattern
        )
