"""The real web application over a real database; its machine says what a test tells it to, without worker processes."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import uvicorn
from PIL import Image

from assay.decide.budgets import Budgets, Kind
from assay.decide.decision import Decision, decide
from assay.decide.evidence import Evidence
from assay.decide.match import Match
from assay.decide.monitor import watch_all
from assay.decide.policy_read import parse_policy
from assay.service.app import build_gated
from assay.service.core import Service
from assay.service.door import COOKIE
from assay.service.home import open_home
from assay.service.live import count_audit, note_version
from assay.service.load import Load
from assay.service.meters import Meters
from assay.service.objects import open_objects
from assay.service.settings import ServeConfig
from assay.service.store.database import Database
from assay.service.store.decisions import Decided, keep
from assay.service.store.engine import open_engine
from assay.service.store.ids import new_id
from assay.service.store.jobs import Job
from assay.service.store.keys import Key, add_key
from assay.service.store.migrate import migrate
from assay.service.store.photos import Upload, take_in
from assay.service.store.settle import Settled, settle

KINDS = ("backpack", "bag", "book", "bottle", "cap", "headphones", "lamp", "mug", "shoe", "t-shirt", "watch")
POLICY: dict[str, Any] = {
    "format": 1,
    "name": "shop",
    "version": 7,
    "by": "kind",
    "questions": {
        "product": {
            "model": "product.bundle",
            "answers": {"product": "pass", "other": {"verdict": "reject", "clause": "no-product"}},
        },
        "kind": {"model": "kind.bundle", "answers": {"*": "pass"}},
        "sharp": {
            "model": "sharp.bundle",
            "answers": {"sharp": "pass", "blurred": {"verdict": "resubmit", "clause": "blurred"}},
        },
        "genuine": {
            "model": "mark.bundle",
            "counterfeit": True,
            "answers": {"genuine": "pass", "no mark": "pass", "suspect": {"verdict": "review", "clause": "mark"}},
        },
    },
    "automatic": {
        "accept": {"risk": 0.02}, "reject": {"risk": 0.05, "confidence": 0.9}, "resubmit": {"risk": 0.05}
    },
    "clauses": {
        "no-product": {
            "en": "The photo does not show an item for sale.", "zh": "照片中没有可出售的商品。"
        },
        "mark": {
            "en": "The maker's mark is unlike that of genuine items.", "zh": "商标与正品不一致。"
        },
        "blurred": {
            "en": "The photo is too blurred. Please hold the camera still and send another one.",
            "zh": "照片过于模糊。请拿稳相机后重新拍摄。",
        },
        "not-allowed": {
            "en": "Items of this kind may not be sold here.", "zh": "本店不允许出售此类商品。"
        },
    },
    "least_side_px": 32,
    "audit": 0.1,
}  # fmt: skip
SURE = {
    "product": {"product": 0.994, "other": 0.006},
    "kind": {"bag": 0.973, "backpack": 0.021, "shoe": 0.006},
    "sharp": {"sharp": 0.99, "blurred": 0.01},
    "genuine": {"no mark": 0.96, "genuine": 0.034, "suspect": 0.006},
}


def answers(**changed: dict[str, float]) -> dict[str, dict[str, float]]:
    """``SURE`` with other answers to some questions."""
    return {**SURE, **changed}


@dataclass(frozen=True)
class Seen(Decision):
    """A decision whose evidence also has things and a heat map."""

    more: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        told = super().to_dict()
        return {**told, "evidence": {**told["evidence"], **self.more}}


def budgets_of(policy: Any) -> Budgets:
    """Thresholds of most kinds; none for caps."""
    kinds = [
        Kind("accept", name, 0.02, 0.95, 0.9, 400, 6, 0.86, 0.009, None)
        if name != "cap"
        else Kind("accept", name, 0.02, 0.95, None, 60, 4, 0.0, None, 320)
        for name in KINDS
    ]  # fmt: skip
    kinds += [
        Kind("reject", "no-product", 0.05, 0.9, 0.95, 500, 20, 0.8, 0.02, None),
        Kind("resubmit", "blurred", 0.05, 0.95, 0.9, 300, 5, 0.7, 0.01, None),
    ]
    return Budgets(policy.rules, {"kind": "0" * 64}, tuple(kinds), 5200, 5200)


class Viewer:
    """Pictures as they are, smaller."""

    async def render(self, data: bytes, side: int) -> bytes | None:
        """As the service's own."""
        try:
            picture = Image.open(io.BytesIO(data)).convert("RGB")
        except OSError:
            return None
        picture.thumbnail((side, side))
        stream = io.BytesIO()
        picture.save(stream, "JPEG", quality=85)
        return stream.getvalue()


@dataclass
class Machine:
    """In the place of the foreman. ``says``: bytes of a photo -> what ``Stage.decide`` takes."""

    live: Any
    stage: Any = None
    says: Callable[[bytes], dict[str, Any]] = lambda data: {}
    owner: str = "s_stage"
    can_work: bool = True
    shadow: Any = None
    load: Load = field(default_factory=lambda: Load(4.0))
    workers: dict[str, int] = field(default_factory=lambda: {"decoder": 1, "answerer": 1})
    _begun: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    def full_for(self) -> float:
        return 0.0

    def lease_until(self) -> float:
        return time.time() + 60

    def begin(self, data: bytes) -> bytes:
        return data

    def leave(self, begun: bytes) -> None:
        pass

    def offer(self, job: Job, begun: bytes) -> None:
        async def work() -> None:
            await asyncio.to_thread(self.stage.decide, job.photo_id, job.sha256, **self.says(begun))

        self._begun[job.photo_id] = asyncio.get_running_loop().create_task(work())

    async def wait(self, photo_id: str, seconds: float) -> None:
        task = self._begun.get(photo_id)
        if task is not None and seconds > 0:
            await asyncio.wait([task], timeout=seconds)


class Stage:
    """The application (``app``), its database, and what happens in it."""

    def __init__(self, folder: Path, config: ServeConfig | None = None, database: str | None = None) -> None:
        self.home = open_home(folder / "home")
        engine = open_engine(database, folder)
        migrate(engine)
        self.database = Database(engine)
        self.objects = open_objects(None, folder)
        self.policy = parse_policy(POLICY, "shop.yaml", folder / "shop.yaml")
        (folder / "shop.yaml").write_text(json.dumps(POLICY), "utf-8")
        self.budgets = budgets_of(self.policy)
        live = SimpleNamespace(
            policy=self.policy, budgets=self.budgets, monitor=watch_all(self.budgets), path=folder / "shop.yaml",
            models={"kind": "kind.bundle fp32", "genuine": "mark.bundle int8"},
            facts=SimpleNamespace(classes={"kind": KINDS}, masks=()),
        )  # fmt: skip
        machine = Machine(live)
        self.service = Service(
            config or ServeConfig(), self.home, self.database, self.objects, machine, Viewer(), Meters()
        )
        machine.stage, self.machine = self, machine
        self.app, self.door = build_gated(self.service)
        self.database.write_now(lambda c: note_version(c, self.home.key, time.time() - 20 * 86400, live))

    def close(self) -> None:
        """Let go of everything."""
        self.database.close()
        self.home.close()

    def key(self, name: str, *scopes: str) -> tuple[Key, str]:
        """A new key and its words."""
        return self.database.write_now(
            lambda c: add_key(c, self.home.key, time.time(), "k_test", name, scopes)
        )

    def cookies(self, key: Key) -> dict[str, str]:
        """What a browser has that signed in with a key."""
        return {COOKIE: self.door.session(key.id)}

    def photo(
        self, data: bytes, *, key: str = "k_shop", sender: str = "", item: str = "", name: str = "",
        at: float | None = None, **said: Any,
    ) -> str:  # fmt: skip
        """Take a photo in and decide it; its id. ``said`` as for ``decide``."""
        at = time.time() if at is None else at
        digest = hashlib.sha256(data).hexdigest()
        self.objects.put(digest, data)
        upload = Upload(new_id("p"), digest, len(data), key, at, sender, name, item)
        self.database.write_now(lambda c: take_in(c, upload, self.machine.owner, at + 60))
        if said.pop("waits", False):
            return upload.id
        self.decide(upload.id, digest, at=at, **said)
        return upload.id

    def decide(
        self, photo_id: str, digest: str, *, said: Mapping[str, Mapping[str, float]] | None = None,
        at: float | None = None, unknown: tuple[str, ...] = (), matches: tuple[Match, ...] = (), double: bool = False,
        value: float = 0.0, alike: str = "", audited: bool = False, size_hw: tuple[int, int] = (640, 640),
        error: str | None = None, **more: Any,
    ) -> None:  # fmt: skip
        """The machine's decision."""
        evidence = Evidence("the photo", digest, size_hw, said or SURE, unknown, error, matches)
        made = decide(self.policy, self.budgets, evidence)
        values = {**vars(made), "audited": audited or made.audited}
        one = Decided(photo_id, Seen(**values, more=more), {"kind": "0" * 64}, value, alike, double, b"")
        now = time.time() if at is None else at
        owner, key = self.machine.owner, self.home.key
        assert self.database.write_now(lambda c: keep(c, owner, key, now, [one])) != [None]

    def settle(self, later_s: float = 11.0) -> Settled:
        """Answers take effect, as if so many seconds had passed."""
        now, key = time.time() + later_s, self.home.key

        def audited(connection: Any, decision: Any, right: bool) -> None:
            count_audit(connection, key, now, decision, right)

        return self.database.write_now(lambda c: settle(c, key, now, audited, most=1000))


@contextlib.contextmanager
def staged(folder: Path, config: ServeConfig | None = None, database: str | None = None) -> Iterator[Stage]:
    """A stage that is closed in the end."""
    stage = Stage(folder, config, database)
    try:
        yield stage
    finally:
        stage.close()


@contextlib.contextmanager
def listening(stage: Stage) -> Iterator[str]:
    """The address of the application in a thread of this process, for browsers."""
    config = uvicorn.Config(stage.app, port=0, log_level="warning", lifespan="off", loop="asyncio", ws="none")
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 30
    while not server.started:
        assert time.monotonic() < until, "the server did not start"
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(20)
