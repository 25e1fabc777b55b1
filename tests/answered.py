"""A service whose photos people have answered, filled through the store's own functions: no server, no clock."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from assay.decide.decision import Fixed, decide
from assay.decide.evidence import Evidence
from assay.decide.policy import Policy
from assay.decide.policy_read import read_policy
from assay.service.home import open_home
from assay.service.objects import open_objects
from assay.service.store.appeals import appeal
from assay.service.store.database import Database
from assay.service.store.decisions import Decided, keep
from assay.service.store.engine import open_engine
from assay.service.store.erasure import erase
from assay.service.store.ids import new_id
from assay.service.store.migrate import migrate
from assay.service.store.photos import Upload, take_in
from assay.service.store.reviews import Answer, answer, next_tasks
from assay.service.store.settle import settle

SHAPES: dict[str, Any] = {
    "format": 1,
    "name": "shapes",
    "version": "1",
    "by": "shape",
    "questions": {
        "shape": {
            "model": "tiny.bundle",
            "truth": "label",
            "answers": {"circle": {"verdict": "reject", "clause": "round"}, "*": "pass"},
        }
    },
    "automatic": {"accept": {"risk": 0.3, "confidence": 0.8}, "reject": {"risk": 0.3, "confidence": 0.8}},
    "clauses": {"round": {"en": "Round things are not sold here.", "zh": "本店不售圆形商品。"}},
    "audit": 0.25,
}


def write_policy(path: Path, **changes: Any) -> Path:
    """A policy about the pictures of the fixture ``photos``."""
    path.write_text(yaml.safe_dump({**SHAPES, **changes}, allow_unicode=True, sort_keys=False), "utf-8")
    return path


def picture(seed: int, colour: tuple[int, int, int] = (200, 60, 60), side: int = 48) -> bytes:
    """A small noisy PNG; other seeds give other bytes."""
    noise = np.random.default_rng(seed).integers(-20, 21, (side, side, 3))
    made = io.BytesIO()
    Image.fromarray(np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)).save(made, "PNG")
    return made.getvalue()


class AnsweredService:
    """The folder of a service beside a policy. ``now`` moves on with everything that is done."""

    def __init__(self, policy: Path, address: str | None = None) -> None:
        self.policy: Policy = read_policy(policy)
        self.folder = policy.with_suffix(".service")
        self.home = open_home(self.folder, lock=False)
        engine = open_engine(address, self.folder)
        migrate(engine)
        self.database = Database(engine)
        self.objects = open_objects(None, self.folder)
        self.now = 1_000_000.0

    def send(
        self,
        data: bytes,
        sender: str = "",
        verdict: str = "review",
        *,
        audited: bool = False,
        double: bool = False,
    ) -> str:
        """A photo that the machine has decided on; its id."""
        self.now += 1
        digest = hashlib.sha256(data).hexdigest()
        self.objects.put(digest, data)
        upload = Upload(new_id("p"), digest, len(data), "key", self.now, sender)
        said = "circle" if verdict == "reject" else "square"
        evidence = Evidence("photo", digest, (48, 48), {"shape": {said: 0.9}})
        decision = decide(self.policy, Fixed(None if verdict == "review" else 0.5), evidence)
        assert decision.verdict == verdict
        made = Decided(upload.id, replace(decision, audited=audited), {}, alike=upload.id, double=double)
        self.write(lambda c: take_in(c, upload, "server", self.now + 60))
        self.write(lambda c: keep(c, "server", self.home.key, self.now, [made]))
        return upload.id

    def answer(
        self,
        photo: str,
        verdict: str,
        clause: str = "",
        reviewer: str = "ann",
        *,
        settled: bool = True,
        **truth: str,
    ) -> None:
        """A person's answer to the first open task of a photo."""
        self.now += 1

        def work(connection: Any) -> None:
            tasks = next_tasks(connection, reviewer, self.now, most=10_000)
            task = next(task for task in tasks if task.photo_id == photo)
            answer(connection, reviewer, task.id, Answer(verdict, clause, truth), self.now)

        self.write(work)
        if settled:
            self.settle()
        self.now += 1000  # leases have run out

    def settle(self) -> None:
        """What was answered can no longer be taken back."""
        self.now += 60
        self.write(lambda c: settle(c, self.home.key, self.now, lambda *_: None))

    def appeal(self, photo: str) -> None:
        """The sender asks for another look."""
        self.write(lambda c: appeal(c, self.home.key, photo, "please", self.now))

    def erase(self, photo: str) -> None:
        """The photo and its bytes go."""
        receipt = self.write(lambda c: erase(c, self.home.key, photo, self.now, "asked for"))
        if receipt["object"]:
            self.objects.delete(receipt["object"])

    def write(self, work: Any) -> Any:
        """In a transaction."""
        return self.database.write_now(work)

    def close(self) -> None:
        """Let go of everything."""
        self.database.close()
        self.home.close()
