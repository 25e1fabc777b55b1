"""The API's page: the OpenAPI document in the order of its tags, as plain values for the template."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_METHODS = ("get", "put", "post", "patch", "delete")


def groups_of(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Tag -> its operations, tags in the order in which they occur."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path, methods in document.get("paths", {}).items():
        for method in _METHODS:
            if method in methods:
                operation = methods[method]
                tag = (operation.get("tags") or ["other"])[0]
                found.setdefault(tag, []).append(_operation(document, method, path, operation))
    return [{"name": name, "operations": operations} for name, operations in found.items()]


def _operation(
    document: Mapping[str, Any], method: str, path: str, operation: Mapping[str, Any]
) -> dict[str, Any]:
    summary, about = operation.get("summary", ""), operation.get("description", "")
    return {
        "id": operation.get("operationId", f"{method}-{path}"),
        "method": method.upper(),
        "path": path,
        "summary": summary,
        "about": about if about != summary else "",
        "parameters": [_parameter(document, one) for one in operation.get("parameters", [])],
        "fields": list(_fields(document, operation.get("requestBody", {}))),
        "responses": [
            {"code": code, "about": told.get("description", "")}
            for code, told in operation.get("responses", {}).items()
        ],
    }


def _parameter(document: Mapping[str, Any], one: Mapping[str, Any]) -> dict[str, Any]:
    schema = one.get("schema", {})
    return {
        "name": one["name"],
        "where": one["in"],
        "required": one.get("required", False),
        "kind": _kind(document, schema),
        "about": one.get("description") or schema.get("description", ""),
    }


def _fields(document: Mapping[str, Any], body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for media in body.get("content", {}).values():
        schema = _seen(document, media.get("schema", {}))
        required = schema.get("required", [])
        for name, told in schema.get("properties", {}).items():
            about = told.get("description", "")
            yield {"name": name, "required": name in required, "kind": _kind(document, told), "about": about}


def _kind(document: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """What a value is, with its bounds: "integer, 1 to 10"."""
    told = _seen(document, schema)
    if "anyOf" in told:
        return " or ".join(_kind(document, one) for one in told["anyOf"])
    kind = str(told.get("type", "any"))
    if "enum" in told:
        return ", ".join(map(str, told["enum"]))
    if kind == "array":
        return f"list of {_kind(document, told.get('items', {}))}"
    low, high = told.get("minimum"), told.get("maximum")
    bounds = f", {low} to {high}" if low is not None and high is not None else ""
    most = f", at most {told['maxLength']} letters" if "maxLength" in told else ""
    default = told.get("default")
    usual = f", {default!r} when not given" if default not in (None, "") else ""
    return kind + bounds + most + usual


def _seen(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema itself, or what it refers to."""
    place = schema.get("$ref", "")
    if not place.startswith("#/"):
        return schema
    found: Any = document
    for name in place[2:].split("/"):
        found = found.get(name, {})
    return found if isinstance(found, Mapping) else {}
