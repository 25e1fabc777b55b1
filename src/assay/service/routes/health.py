"""Whether the server lives, whether it can answer, and what it counts."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from assay.errors import AssayError
from assay.service.core import Service
from assay.service.store.jobs import waiting

router = APIRouter(tags=["health"])


@router.get("/v1/live", summary="Whether the process lives")
async def live() -> JSONResponse:
    """Always 200."""
    return JSONResponse({"live": True})


@router.get("/v1/ready", summary="Whether photos can be answered")
async def ready(request: Request) -> JSONResponse:
    """503 while no worker lives, the database does not answer, or the server stops."""
    service: Service = request.app.state.service
    told: dict[str, object] = {"workers": service.foreman.workers, "stopping": service.is_stopping}
    try:
        told["waiting"] = (await service.database.read(waiting))[0]
        fine = service.foreman.can_work and not service.is_stopping
    except (
        AssayError,
        OSError,
        Exception,
    ) as error:  # whatever a driver raises: the database does not answer
        told["database"] = type(error).__name__
        fine = False
    return JSONResponse({"ready": fine, **told}, 200 if fine else 503)


@router.get("/metrics", summary="Counters for Prometheus")
async def metrics(request: Request) -> Response:
    """Needs a key with the scope operate."""
    service: Service = request.app.state.service
    return Response(service.meters.text(), media_type="text/plain; version=0.0.4")
