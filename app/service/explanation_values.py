"""Values, places, instants and events as an explanation shows them."""

from __future__ import annotations

from typing import Any

from app.domain.model import JsonObject
from app.domain.timestamps import iso_text
from app.engine.explain_needs import Assignment, Missing
from app.engine.oracle import Event
from app.pql.ast import Span
from app.pql.calendar import FIRST_MS, LAST_MS
from app.pql.functions import EventItem
from app.pql.render import locate

_ITEMS = 5
_KEYS = 10
_LETTERS = 200
_LEVELS = 3


def instant(at_ms: int) -> str | None:
    """Return an instant as text; None for one that no calendar has."""
    return iso_text(at_ms) if FIRST_MS < at_ms < LAST_MS else None


def place(source: str, span: Span) -> JsonObject:
    """Return where in the expression something stands; all zero for what was not written."""
    if span.end <= span.start:
        return {"start": 0, "end": 0, "line": 0, "column": 0}
    line, column = locate(source, span.start)
    return {"start": span.start, "end": span.end, "line": line, "column": column}


def shortened(value: Any, level: int = 0) -> Any:
    """Return a value with only the beginnings of what is long."""
    if isinstance(value, EventItem):
        return _named(value, value.get("timestamp"))
    if isinstance(value, str):
        return value if len(value) <= _LETTERS else f"{value[:_LETTERS]}…"
    if isinstance(value, list):
        if level >= _LEVELS:
            return "…"
        return [shortened(item, level + 1) for item in value[:_ITEMS]]
    if isinstance(value, dict):
        if level >= _LEVELS:
            return "…"
        first = list(value.items())[:_KEYS]
        return {name: shortened(part, level + 1) for name, part in first}
    return value


def value_fields(value: Any) -> JsonObject:
    """Return the fields of a value, with the count of what has items."""
    fields: JsonObject = {"value": shortened(value)}
    is_list = isinstance(value, list | dict) and not isinstance(value, EventItem)
    return {**fields, "valueCount": len(value)} if is_list else fields


def event_document(event: Event) -> JsonObject:
    """Return what names an event."""
    return _named(event.body, event.at_ms)


def _named(body: JsonObject, at_ms: Any) -> JsonObject:
    return {
        "id": shortened(body.get("_id")),
        "eventType": shortened(body.get("eventType")),
        "timestamp": instant(at_ms) if isinstance(at_ms, int) else None,
    }


def patch_of(assignment: Assignment) -> JsonObject:
    """Return the merge patch of the profile record that makes an assignment."""
    *way, last = assignment.path
    patch: JsonObject = {last: None if isinstance(assignment.value, Missing) else assignment.value}
    for name in reversed(way):
        patch = {name: patch}
    return patch
