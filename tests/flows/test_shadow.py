"""A candidate decides beside the live policy: it is compared, and nothing follows from it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import yaml
from tests.served import drawn, served
from tests.tiny_policy import SHAPES, write_tiny_policy

if TYPE_CHECKING:
    from pathlib import Path


def test_a_candidate_is_compared_without_effect(tmp_path: Path) -> None:
    policy = write_tiny_policy(tmp_path)
    candidate = tmp_path / "candidate.yaml"
    candidate.write_text(
        yaml.safe_dump({**SHAPES, "version": "2", "least_side_px": 100}, allow_unicode=True), "utf-8"
    )
    with served(policy, tmp_path / "home", "--shadow", str(candidate), "--answerers", "1") as server:
        told = [server.put(drawn(n), "wait=10&sender=anna").body for n in range(5)]
        assert {one["verdict"] for one in told} == {"review"}
        until = time.monotonic() + 20
        while (found := server.ask("GET", "/v1/operate/shadow").body)["n"] < 5 and time.monotonic() < until:
            time.sleep(0.2)
        assert found["n"] == 5
        assert found["table"]["review"]["resubmit"] == 5
        assert found["disagreements"][0]["shadow_clause"] == "too-small"
    with served(policy, tmp_path / "home") as server:
        assert server.ask("GET", "/v1/operate/shadow").status == 404
