"""What the pages' routes need of a request: the server, who asks, and the fields of a form."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from starlette.requests import Request

    from assay.service.core import Service
    from assay.service.store.keys import Key

_MOST_FIELDS = 200


def service_of(request: Request) -> Service:
    """The running server."""
    found: Service = request.app.state.service
    return found


def key_of(request: Request) -> Key:
    """Who asks; the gate has let nobody else in."""
    found: Key = request.state.key
    return found


async def form_of(request: Request) -> dict[str, list[str]]:
    """Name -> values of a form's body; nothing where it is none."""
    try:
        return parse_qs((await request.body()).decode("utf-8", "replace"), max_num_fields=_MOST_FIELDS)
    except ValueError:
        return {}
