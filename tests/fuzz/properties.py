"""What has to hold of any input: asserted of one at a time, whoever makes them up.

Nothing but our own refusals, each with its place; printing is the inverse of parsing, and writing
of reading JSON; what passes the checker has a value on any profile, the same by the oracle and
compiled; and nothing takes long.
"""

from __future__ import annotations

import json
import time
from typing import Any

from app.domain.limits import EngineLimits
from app.domain.model import DefinitionSet, SegmentDefinition, Tenant
from app.engine.catalogue import compile_catalogue
from app.engine.compiler import compile_value
from app.engine.explain_watch import ROOT, Budget, TooCostly, Watcher
from app.engine.frame import Frame
from app.engine.oracle import Event, Subject
from app.engine.report import report
from app.pql.ast import Expr
from app.pql.checker import check
from app.pql.diagnosis import diagnose
from app.pql.errors import PqlError, render
from app.pql.json_places import PqlJsonError
from app.pql.json_reader import read
from app.pql.json_writer import write
from app.pql.parser import parse
from app.pql.printer import to_text
from app.pql.schema import read_schema
from app.pql.schema_checks import Schemas
from app.pql.values import EventItem

MOST_SECONDS = 5.0
"""Of processor time for one input; instrumented code takes about ten times as long as usual."""

NOW_MS = 1_767_607_200_000  # 2026-01-05T10:00:00Z
_EVALUATIONS = 20_000
_TENANT = Tenant("fuzz@AdobeOrg", "prod")
_NEVER_NAMED = "\x00"
_RECORD = read_schema(
    {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "age": {"type": "number"},
            "a": {"type": "array", "items": {"$ref": "#"}},
        },
    }
)
_SCHEMAS = Schemas(_RECORD, _RECORD)

_USUAL: dict[str, Any] = {
    "city": "Oslo",
    "age": 41,
    "a": [1, 2.5, "x", None, True],
    "birthday": "1984-02-29",
    "tags": ["x", "y", "x"],
    "props": {"x": 1, "y": None},
    "items": [{"sku": "x", "quantity": 2}, {"sku": ["x"], "quantity": "2"}],
    "segmentMembership": {"other": {"s1": {"status": "realized"}}},
}
_ODD: dict[str, Any] = {
    "city": ["Oslo", {"a": 1}],
    "age": "41",
    "a": {"a": {"a": [[[]], {}]}},
    "birthday": -62_135_596_800_001,
    "tags": "x",
    "props": [["x", 1], []],
    "items": 1e308,
    "b": 2**63 - 1,
    "c": -0.0,
    "timestamp": True,
    "": "\u2028\U0001f600",
    "segmentMembership": 1,
}
_RECORDS: tuple[dict[str, Any], ...] = ({}, _USUAL, _ODD)
_BODIES: tuple[dict[str, Any], ...] = (
    {"eventType": "buy", "price": 10, "a": 1, "sku": "x", "items": _USUAL["items"]},
    {"eventType": ["buy"], "price": None, "a": [{"a": 3}], "sku": {}, "items": {"sku": 1}},
)
_EVENTS = [
    Event(NOW_MS - 86_400_000 * number, -number, body) for number, body in enumerate(_BODIES)
]


def hold(data: bytes) -> None:
    """Assert all of an input: as text, and as JSON where it looks like an object.

    Raises:
        AssertionError: Something does not hold; and whatever the code at fault raises.
    """
    started = time.process_time()
    text = data.decode("utf-8", "replace")
    hold_of_text(text)
    if text.lstrip().startswith("{"):
        hold_of_json(text)
    taken = time.process_time() - started
    assert taken < MOST_SECONDS, f"it took {taken:.1f} s"


def hold_of_text(text: str) -> None:
    """Assert that a text is refused with places, or means the same in every form."""
    try:
        tree = parse(text)
    except PqlError as error:
        _hold_of_refusal(text, error)
        return
    printed = to_text(tree)
    assert repr(parse(printed)) == repr(tree), printed
    assert to_text(parse(printed)) == printed
    written = write(tree)
    assert repr(write(read(json.dumps(written)).tree)) == repr(written)
    hold_of_tree(tree, text)


def hold_of_json(text: str) -> None:
    """Assert that a JSON text is refused with places, or is the same as a PQL text."""
    try:
        found = read(text)
    except PqlJsonError as error:
        _hold_of_json_refusal(error)
        return
    assert repr(parse(found.text)) == repr(found.tree)
    again = read(write(found.tree))
    assert (again.text, repr(again.tree)) == (found.text, repr(found.tree))
    hold_of_tree(found.tree, found.text)


def _hold_of_refusal(text: str, refusal: PqlError) -> None:
    problems = diagnose(text, refusal)
    assert refusal.problems[0] in problems
    assert all(0 <= one.span.start <= len(text) for one in problems)
    assert all(render(one, text) for one in problems)


def _hold_of_json_refusal(refusal: PqlJsonError) -> None:
    assert refusal.problems
    assert all(one.span.start < len(refusal.places) for one in refusal.problems)


def hold_of_tree(tree: Expr, text: str) -> None:
    """Assert that a tree is refused with problems, or has a value on any profile."""
    by_schema = check(tree, segments=("s1",), schemas=_SCHEMAS)
    assert (by_schema.expr is None) == bool(by_schema.problems)
    checked = check(tree)
    assert (checked.expr is None) == bool(checked.problems)
    if checked.expr is None:
        return
    report(checked.expr)
    definition = SegmentDefinition(_NEVER_NAMED, 0, 1, text)
    catalogue = compile_catalogue(DefinitionSet(_TENANT, "1", (definition,)), EngineLimits())
    assert not catalogue.failures, catalogue.failures
    for record in _RECORDS:
        _hold_of_values(checked.expr, record)


def _hold_of_values(expr: Expr, record: dict[str, Any]) -> None:
    try:
        meant = Watcher(Subject(record, _EVENTS, (), NOW_MS), Budget(_EVALUATIONS)).value(
            expr, ROOT
        )
    except TooCostly:
        return
    frame = Frame()
    frame.attributes, frame.now_ms = record, NOW_MS
    in_order = sorted(_EVENTS, key=lambda one: one.order)
    frame.events = [EventItem(one.body, timestamp=one.at_ms) for one in in_order]
    found = compile_value(expr)(frame)
    assert repr(found) == repr(meant), (found, meant)
