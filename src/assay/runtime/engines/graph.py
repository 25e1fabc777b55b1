"""Looks through an ONNX file before an engine may load it, without the onnx package.

Two things in ONNX reach outside of the file: tensors that name another file to read (``external_data``), and
operators of a domain that a plug-in provides. Both are refused. This walks the protobuf wire format
(https://protobuf.dev/programming-guides/encoding/) along the fields of ``onnx.proto`` that can hold either;
everything else is skipped by its length.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from assay.errors import BundleError

DOMAINS = ("", "ai.onnx")
"""Operator sets that a graph may use: the standard's own."""

_FIX = "export the run again with `assay export`"

# message -> field number -> what is in it. Numbers are those of onnx.proto.
_FIELDS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 8: "operator set", 20: "training information", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "node": {5: "attribute", 7: "domain"},
    "attribute": {
        5: "tensor",
        6: "graph",
        10: "tensor",
        11: "graph",
        22: "sparse tensor",
        23: "sparse tensor",
    },
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "tensor": {13: "external data", 14: "data location"},
    "function": {7: "node", 9: "operator set", 10: "domain", 11: "attribute"},
    "operator set": {1: "domain"},
}
_LONGEST_VARINT = 10


def check_graph(data: bytes) -> None:
    """Refuse a graph that reaches outside of itself.

    Raises
    ------
    BundleError : external data, foreign operators, training information, or no valid protobuf.
    """
    waiting: list[tuple[str, memoryview]] = [("model", memoryview(data))]
    while waiting:
        message, view = waiting.pop()
        for number, value in _fields(view):
            kind = _FIELDS[message].get(number)
            if kind is None:
                continue
            if kind in _FIELDS:
                waiting.append((kind, _as_message(value)))
            else:
                _check_leaf(kind, value)


def _check_leaf(kind: str, value: memoryview | int) -> None:
    if kind == "data location" and value == 0:
        return
    if kind in ("external data", "data location"):
        raise BundleError("the network keeps weights in another file", got="external data", fix=_FIX)
    if kind == "domain":
        domain = bytes(_as_message(value)).decode("utf-8", "replace")
        if domain not in DOMAINS:
            raise BundleError(
                "the network uses operators that are not ONNX's own", got=f"domain {domain[:80]!r}", fix=_FIX
            )
        return
    raise BundleError(f"the network holds {kind}", fix=_FIX)


def _fields(view: memoryview) -> Iterator[tuple[int, Any]]:
    """(field number, value) of one message: a view of its bytes, or an int for a varint."""
    at, end = 0, len(view)
    while at < end:
        key, at = _varint(view, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(view, at)
            yield number, value
            continue
        if wire == 2:
            size, at = _varint(view, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise _broken()
        if size > end - at or number == 0:
            raise _broken()
        yield number, view[at : at + size]
        at += size


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    """(value, position after it)."""
    value = 0
    for i in range(_LONGEST_VARINT):
        if at + i >= len(view):
            break
        byte = view[at + i]
        value |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            return value, at + i + 1
    raise _broken()


def _as_message(value: memoryview | int) -> memoryview:
    if isinstance(value, int):
        raise _broken()
    return value


def _broken() -> BundleError:
    return BundleError("the network is no valid ONNX file", got="damaged protobuf", fix=_FIX)
