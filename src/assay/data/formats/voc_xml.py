"""One XML file as elements that know their line. What an XML file could do to its reader, it cannot do here.

A document type (``<!DOCTYPE``), with which entities are declared that grow without bound or name other files, is
refused before anything in it is read. The standard library's ElementTree does not tell lines, so its parser,
expat, is asked directly.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from assay.errors import DatasetError


@dataclass(slots=True)
class Element:
    """One element: its name, the line where it begins, its text, and the elements in it."""

    name: str
    line: int
    text: str = ""
    inside: list[Element] = field(default_factory=list)

    def all(self, name: str) -> Iterator[Element]:
        """The elements of this name directly in it."""
        return (element for element in self.inside if element.name == name)

    def first(self, name: str) -> Element | None:
        """The first element of this name directly in it."""
        return next(self.all(name), None)

    def text_of(self, name: str) -> str:
        """The text of the first element of this name, without spaces around it; "" where there is none."""
        found = self.first(name)
        return "" if found is None else found.text.strip()


def read_xml(path: Path) -> Element:
    """The outermost element of a file.

    Raises
    ------
    DatasetError : the file cannot be read, is no XML, or has a document type; the line is in ``got``.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(
            "cannot be read", got=error.strerror or str(error), fix="check its permissions"
        ) from error
    if not data.strip():
        raise DatasetError("is empty", fix="write it again, or remove it")
    builder = _Builder()
    try:
        builder.parser.Parse(data, True)
    except expat.ExpatError as error:
        reason = expat.ErrorString(error.code)
        raise DatasetError(
            "is no XML", got=f"line {error.lineno}: {reason}", fix="correct the line, or write the file again"
        ) from error
    except (LookupError, ValueError) as error:  # an encoding that Python does not know, or not for XML
        raise DatasetError("is in an unknown encoding", got=str(error), fix="save it as UTF-8") from error
    return builder.root


class _Builder:
    """Collects what expat reports."""

    def __init__(self) -> None:
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self._open = [Element("", 0)]

    @property
    def root(self) -> Element:
        return self._open[0].inside[0]

    def _refuse(self, name: str, *_: object) -> None:
        raise DatasetError(
            "has a document type, which Assay does not read",
            got=f"line {self.parser.CurrentLineNumber}: <!DOCTYPE {name[:40]}",
            fix="remove that line: labels need none",
        )

    def _start(self, name: str, _: dict[str, str]) -> None:
        element = Element(name, self.parser.CurrentLineNumber)
        self._open[-1].inside.append(element)
        self._open.append(element)

    def _end(self, _: str) -> None:
        self._open.pop()

    def _text(self, text: str) -> None:
        self._open[-1].text += text
