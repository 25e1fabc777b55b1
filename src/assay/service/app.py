"""The web application: routes, problems, and the gate before all of them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI

from assay.service.door import Door
from assay.service.gate import Gate
from assay.service.problems import add_problems

if TYPE_CHECKING:
    from assay.service.core import Service

ROUTES = ("photos", "health", "signin", "review", "operate", "policy", "pages")
"""Modules of ``assay.service.routes``; each has a ``router``."""
DESCRIPTION = (
    "Photos in, verdicts with reasons out. Every answer that is no success is a problem (RFC 9457) that says what, got "
    "and fix. Sign in with `Authorization: Bearer KEY`."
)


def build_app(service: Service, door: Door) -> FastAPI:
    """All routes, without the gate: for the OpenAPI document and for tests of single routes."""
    app = FastAPI(
        title="Assay screening", version="1", description=DESCRIPTION, docs_url=None, redoc_url=None,
        openapi_url="/openapi.json",
    )  # fmt: skip
    app.state.service, app.state.door = service, door
    add_problems(app)
    for name in ROUTES:
        app.include_router(importlib.import_module(f"assay.service.routes.{name}").router)
    return app


def build_gated(service: Service) -> tuple[Any, Door]:
    """The application as it is served, and its door."""
    door = Door(service.database, service.home.session_key)
    return Gate(build_app(service, door), service, door), door
