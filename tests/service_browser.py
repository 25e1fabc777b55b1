"""Headless Chromium for the pages' tests and pictures, and the check of accessibility that runs inside of it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.service_stage import Stage

    from assay.service.store.keys import Key

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
AXE = ROOT / ".cache" / "axe" / "node_modules" / "axe-core" / "axe.min.js"
AXE_VERSION = "4.14.1"


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """A browser, driven by Playwright; it is Debian's own, nothing is downloaded."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


def require_browser() -> None:
    """Skip where there is no browser, but never in CI."""
    lacks = []
    if not Path(CHROMIUM).exists():
        lacks.append(f"no browser at {CHROMIUM}")
    try:
        import playwright  # noqa: F401
    except ImportError:
        lacks.append("playwright is not installed")
    if lacks:
        _absent(" and ".join(lacks))


def sign_in(context: Any, stage: Stage, key: Key, address: str) -> None:
    """The session's cookie of a key."""
    cookies = [{"name": name, "value": value, "url": address} for name, value in stage.cookies(key).items()]
    context.add_cookies(cookies)


def axe_source() -> str:
    """The script of axe-core; fetched once into a folder that git ignores."""
    if not AXE.exists():
        npm = shutil.which("npm")
        folder = AXE.parents[2]
        folder.mkdir(parents=True, exist_ok=True)
        tried = "there is no npm"
        if npm is not None:
            clean = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
            command = [npm, "install", "--prefix", str(folder), "--no-save", "--ignore-scripts", "--no-audit",
                       "--no-fund", f"axe-core@{AXE_VERSION}"]  # fmt: skip
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, env=clean, timeout=120
            )
            tried = done.stderr[-300:]
        if not AXE.exists():
            _absent(f"axe-core is not here: {tried}")
    return AXE.read_text(encoding="utf-8")


def faults_of(page: Any, source: str) -> list[str]:
    """What axe finds against WCAG 2.2 AA and calls serious or critical: rule, place and summary."""
    page.evaluate(source)
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    told = page.evaluate("tags => axe.run(document, {runOnly: tags})", tags)
    return [
        f"{found['id']} ({found['impact']}): {node['target']} {node.get('failureSummary', '')[:200]}"
        for found in told["violations"]
        if found["impact"] in ("serious", "critical")
        for node in found["nodes"]
    ]


def _absent(why: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI needs it: {why}")
    pytest.skip(why)
