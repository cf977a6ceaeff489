"""Windows that reach further back than events are kept: accepted, with a warning.

The retention is an outer window of every event condition (docs/decisions/0004), so such a
condition sees less than it says.
"""

from __future__ import annotations

from app.domain.limits import DAY_MS
from app.pql.ast import (
    EventsRef,
    Expr,
    Field,
    ItemRef,
    Node,
    Occurs,
    OccursDistance,
    OccursOn,
    OccursTail,
    Period,
    Unit,
    Variable,
    walk,
)
from app.pql.errors import Problem

_LONGEST_MS: dict[Unit, int] = {
    "millisecond": 1,
    "second": 1_000,
    "minute": 60_000,
    "hour": 3_600_000,
    "day": DAY_MS,
    "week": 7 * DAY_MS,
    "month": 31 * DAY_MS,
    "year": 366 * DAY_MS,
    "decade": 3_653 * DAY_MS,
    "century": 36_525 * DAY_MS,
    "millennium": 365_243 * DAY_MS,
}
"""The longest that each unit of the calendar can be."""


def beyond_retention(tree: Expr, retention_ms: int) -> list[Problem]:
    """Return a warning for each window on the time of events that is longer than the retention.

    Args:
        tree: Checked: names are resolved.
        retention_ms: How long events are kept.
    """
    if not any(isinstance(node, EventsRef) for node in walk(tree)):
        return []
    return [
        _warning(node, retention_ms)
        for node in walk(tree)
        if isinstance(node, Occurs)
        and _is_event_time(node.operand)
        and _reach_ms(node.tail) > retention_ms
    ]


def _is_event_time(operand: Node) -> bool:
    """Tell whether it is the `timestamp` of an event: the only field that orders events."""
    return (
        isinstance(operand, Field)
        and operand.name == "timestamp"
        and isinstance(operand.object, EventsRef | ItemRef | Variable)
    )


def _reach_ms(tail: OccursTail) -> int:
    """Return how far back from now a window can reach; 0 for one that is not bounded by a length.

    `before 2020-01-01` and its like name no length: what is kept is what they can see.
    """
    if isinstance(tail, OccursDistance) and tail.direction != "after":
        return tail.amount * _LONGEST_MS[tail.unit]
    if isinstance(tail, OccursOn) and isinstance(tail.time, Period):
        length_ms = _LONGEST_MS[tail.time.unit]
        return {"this": length_ms, "last": 2 * length_ms, "next": 0}[tail.time.which]
    return 0


def _warning(node: Occurs, retention_ms: int) -> Problem:
    days = retention_ms // DAY_MS
    return Problem(
        "beyond-retention",
        f"this window can reach further back than events are kept, {days} days: older events"
        " are not seen",
        node.span,
        "raise SEG_RETENTION_DAYS of workers and API, or choose a shorter window",
    )
