"""A page from its template: escaped, in the reader's language and light, with headers that let nothing foreign in."""

from __future__ import annotations

import json
import time
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from assay import __version__
from assay.decide.clauses import LANGUAGES
from assay.service.pages import tell
from assay.service.pages.assets import asset_address
from assay.service.pages.words import Words, choose_language
from assay.service.store.keys import Key

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cache-control": "no-store",
}
THEMES = ("light", "dark")
_YEAR_S = 365 * 24 * 3600


@cache
def _templates() -> Environment:
    found = Environment(
        loader=PackageLoader("assay.service.pages", "html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {
        "percent": tell.percent, "count": tell.count, "ago": tell.ago, "span": tell.span, "data": _data,
        "moment": tell.moment, "short": tell.short, "marked": _marked,
    }  # fmt: skip
    found.globals |= {"asset": asset_address, "version": __version__}
    return found


def _marked(text: str) -> Markup:
    """Words between backticks as code."""
    parts = text.replace("``", "`").split("`")
    shown = [
        Markup("<code>{}</code>").format(part) if i % 2 else escape(part) for i, part in enumerate(parts)
    ]
    return Markup("").join(shown)


def _data(value: Any) -> Markup:
    """A value as JSON that may stand in an attribute."""
    return Markup(escape(json.dumps(value, ensure_ascii=False, allow_nan=False)))


def words_of(request: Request) -> Words:
    """The reader's language."""
    asked, kept = request.query_params.get("lang"), request.cookies.get("lang")
    return Words(choose_language(asked, kept, request.headers.get("accept-language", "")))


def _theme_of(request: Request) -> str:
    for named in (request.query_params.get("theme"), request.cookies.get("theme")):
        if named in THEMES:
            return str(named)
    return "auto"


def fill(template: str, words: Words, **values: Any) -> str:
    """The text of a template, or of a part of a page."""
    return _templates().get_template(template).render(t=words, now=time.time(), **values)


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> Response:
    """A whole page. A language or light that the address asks for is kept in a cookie."""
    words, theme = words_of(request), _theme_of(request)
    key: Key | None = getattr(request.state, "key", None)
    text = fill(template, words, theme=theme, key=key, path=request.url.path, **values)
    answer = HTMLResponse(text, status, HEADERS)
    for name, known in (("lang", LANGUAGES), ("theme", THEMES)):
        if (asked := request.query_params.get(name)) in known:
            secure = request.url.scheme == "https"
            answer.set_cookie(name, str(asked), max_age=_YEAR_S, samesite="lax", secure=secure)
    return answer


def part(request: Request, template: str, **values: Any) -> Response:
    """A part of a page, which a script puts in its place."""
    key: Key | None = getattr(request.state, "key", None)
    return HTMLResponse(fill(template, words_of(request), key=key, **values), headers=HEADERS)


def turned_away(request: Request, scope: str | None = None) -> Response | None:
    """Where to send a stranger, or a key that may not see this page; None for who may."""
    key: Key | None = getattr(request.state, "key", None)
    if key is None:
        return RedirectResponse("/signin", 303)
    if scope is None or key.may(scope):
        return None
    return problem(request, 403, "problem.scope", scope=scope)


def problem(request: Request, status: int, said: str, **values: object) -> Response:
    """A page that says what is wrong; ``said`` is a key of the words, with ``said.fix`` beside it."""
    words = words_of(request)
    told = words(said, **values), words(f"{said}.fix", **values)
    return page(request, "problem.html", status=status, what=told[0], fix=told[1], code=status)
