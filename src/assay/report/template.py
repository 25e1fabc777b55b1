"""A page from its template in ``pages/``: styles inlined, values escaped, a missing value an error."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from assay import __version__


def fill(template: str, **values: Any) -> str:
    """The text of a page; ``style`` and ``version`` come by themselves."""
    pages = Environment(
        loader=PackageLoader("assay.report", "pages"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = Markup(pages.get_template("style.css").render() + pages.get_template("compare.css").render())
    return pages.get_template(template).render(style=style, version=__version__, **values)


def markup(svg: str | None) -> Markup | None:
    """A chart that may stand in the page as it is."""
    return None if svg is None else Markup(svg)
