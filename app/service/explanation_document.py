"""An explanation as JSON. Source: our decision, docs/decisions/0103."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from app.domain.model import JsonObject
from app.engine.bounds import MAX_MS, MIN_MS
from app.engine.explain import Explanation
from app.engine.explain_change import NextChange
from app.engine.explain_events import Counted, FilledChain
from app.engine.explain_flip import Alternative, Flip
from app.engine.explain_needs import Need
from app.engine.explain_tree import Explained
from app.engine.oracle import Event
from app.engine.windows import window_of
from app.pql import ast
from app.service.explanation_values import (
    event_document,
    instant,
    patch_of,
    place,
    shortened,
    value_fields,
)


def explanation_document(
    said: Explanation, source: str, now_ms: int, most_events: int
) -> JsonObject:
    """Return the parts of an answer that come from the expression.

    Args:
        said: The explanation.
        source: The expression.
        now_ms: The instant that it is of.
        most_events: So many events are listed of each condition, the newest.
    """
    return {
        "tree": _node(said.tree, source, now_ms),
        "events": [_counted(one, source, most_events) for one in said.counted],
        "sequences": [_chain(one, source, most_events) for one in said.chains],
        "nextChange": change_document(said.next_change),
        "toFlip": _flip(said.flip, source),
    }


def _node(node: Explained, source: str, now_ms: int) -> JsonObject:
    document: JsonObject = {"kind": node.kind, "text": node.text, **place(source, node.span)}
    if node.has_value:
        document |= {**value_fields(node.value), "holds": node.holds}
    elif node.tally is not None:
        document |= {"items": node.tally.items, "itemsThatHold": node.tally.holds}
    if isinstance(node.node, ast.Occurs):
        document |= _window(node.node.tail, now_ms)
    document["deciding"] = node.deciding
    document["children"] = [_node(child, source, now_ms) for child in node.children]
    return document


def _window(tail: ast.OccursTail, now_ms: int) -> JsonObject:
    """Return from when on until before when an `occurs` holds, where that is one interval."""
    window = window_of(tail)
    if window is None or window.negated or len(window.intervals) != 1:
        return {}
    low, high = window.intervals[0].low.at(now_ms), window.intervals[0].high.at(now_ms)
    return {
        "from": None if low <= MIN_MS else instant(low),
        "until": None if high >= MAX_MS else instant(high),
    }


def _counted(counted: Counted, source: str, most: int) -> JsonObject:
    return {
        "text": counted.text,
        **place(source, counted.span),
        "count": len(counted.events),
        "events": _events(reversed(counted.events), most),
    }


def _events(events: Iterable[Event], most: int) -> list[JsonObject]:
    return [event_document(event) for event in list(events)[:most]]


def _chain(chain: FilledChain, source: str, most: int) -> JsonObject:
    document: JsonObject = {"text": chain.text, **place(source, chain.span)}
    if chain.steps is None:
        note = "which events fill the steps is not told: the sequence looks at other events too"
        return document | {"standsAt": None, "steps": [], "note": f"{note}, or there are too many"}
    at = chain.stands_at
    document["standsAt"] = None if at is None else at.label
    document["steps"] = [
        {
            "label": step.label,
            "text": step.text,
            "needed": step.needed,
            "done": step.is_done,
            "events": _events(step.events, most),
        }
        for step in chain.steps
    ]
    return document


def change_document(change: NextChange) -> JsonObject:
    """Return when an answer changes by itself."""
    if change.at_ms is not None:
        return {"at": instant(change.at_ms), "qualifies": change.qualifies}
    if change.searched_until_ms is None:
        return {"at": None, "note": "it does not change by itself"}
    note = "it does not change by itself before; later instants were not looked at"
    return {"at": None, "searchedUntil": instant(change.searched_until_ms), "note": note}


def _flip(flip: Flip, source: str) -> JsonObject:
    document: JsonObject = {
        "qualifies": flip.qualifies,
        "alternatives": [_alternative(one, source) for one in flip.alternatives],
    }
    if not flip.is_complete:
        document["note"] = "finding out takes too many evaluations"
    elif not flip.alternatives:
        document["note"] = "nothing can flip it: what decides is the same for every profile"
    elif flip.alternatives[0].checked is False:
        document["note"] = "the needs are in each other's way: meeting each by itself is not enough"
    return document


def _alternative(one: Alternative, source: str) -> JsonObject:
    return {
        "needs": [_need(need, source) for need in one.needs],
        "checked": one.checked,
        "updates": _updates(one.needs) if one.checked else [],
    }


def _need(need: Need, source: str) -> JsonObject:
    document: JsonObject = {
        "kind": need.kind,
        "words": need.words,
        "text": need.text,
        **place(source, need.span),
        "becomes": need.wanted,
    }
    if need.kind == "attribute":
        document |= {"path": need.path}
    if need.operator:
        document |= {"operator": need.operator, "operand": shortened(need.operand)}
        document |= {"current": shortened(need.current)}
    if need.count:
        document |= {"count": need.count, "current": need.current}
    if need.segment_id:
        document["segmentId"] = need.segment_id
    return document


_MOST_UPDATES = 20


def _updates(needs: Sequence[Need]) -> list[JsonObject]:
    """Return profile updates that would meet the needs, as `POST …/updates` takes them.

    None of them where not all needs can be met so, or it takes too many.
    """
    updates: list[JsonObject] = []
    for need in needs:
        if need.assignment is not None:
            updates.append({"attributes": patch_of(need.assignment)})
        elif need.event is not None and need.count <= _MOST_UPDATES:
            event = {**need.event, "timestamp": instant(need.event["timestamp"])}
            updates += [{"event": event}] * need.count
        else:
            return []
    return updates
