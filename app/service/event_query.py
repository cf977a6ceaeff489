"""Which of a profile's kept events to read: time range, filters, order, one page at a time."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.domain.errors import UserError
from app.engine.history import KeptEvent
from app.engine.profile import first_order
from app.service.profile_view import ProfileView, event_document
from app.service.property_filter import PropertyFilter

_LAST_MS = 1 << 62


@dataclass(frozen=True, slots=True)
class EventQuery:
    """What to read.

    Attributes:
        start_ms, end_ms: Only events at or after the one, and before the other.
        descending: The newest first.
        filters: All have to match.
        limit: Most events on a page.
    """

    start_ms: int = 0
    end_ms: int = _LAST_MS
    descending: bool = False
    filters: tuple[PropertyFilter, ...] = ()
    limit: int = 1_000

    @property
    def has_end(self) -> bool:
        """Whether there is an end at all."""
        return self.end_ms != _LAST_MS


@dataclass(frozen=True, slots=True)
class FoundEvent:
    """One event; `document` is it as it is shown."""

    order: int
    at_ms: int
    document: dict[str, Any]


@dataclass(frozen=True, slots=True)
class EventPage:
    """One page; `following` is the cursor of the next, None on the last."""

    events: tuple[FoundEvent, ...]
    following: str | None


@dataclass(frozen=True, slots=True)
class EventRows:
    """A page by number of rows: `offset` of them are skipped."""

    offset: int
    limit: int
    descending: bool

    @property
    def direction(self) -> str:
        """`asc` or `desc`, as in a request."""
        return "desc" if self.descending else "asc"


def cursor_of(order: int) -> str:
    """Return where a page begins, as text that means nothing to others."""
    return f"{order:016x}"


def parse_cursor(text: str) -> int:
    """Read what `cursor_of` wrote.

    Raises:
        UserError: It is something else.
    """
    try:
        if len(text) == len(cursor_of(0)):
            return int(text, 16)
    except ValueError:
        pass
    raise UserError(
        f"start is {text[:64]!r}; send `_page.next` of an answer as it is",
        code="invalid-parameter",
    )


def select_events(view: ProfileView, query: EventQuery, cursor: int | None) -> EventPage:
    """Return one page, beginning with the event of the cursor or what has taken its place."""
    orders = _in_range(view.orders, query, cursor)
    if query.descending:
        orders.reverse()
    wanted = query.limit + 1  # one more tells where the next page begins
    if query.filters:
        found = _matching(view, orders, query.filters, wanted)
    else:
        found = _read(view, orders[:wanted])
    following = cursor_of(found[query.limit].order) if len(found) == wanted else None
    return EventPage(tuple(found[: query.limit]), following)


def select_rows(view: ProfileView, rows: EventRows) -> list[FoundEvent]:
    """Return one page of all kept events."""
    orders = view.orders[:]
    if rows.descending:
        orders.reverse()
    return _read(view, orders[rows.offset : rows.offset + rows.limit])


def _in_range(orders: array[int], query: EventQuery, cursor: int | None) -> array[int]:
    first = bisect_left(orders, first_order(query.start_ms))
    end = bisect_left(orders, first_order(query.end_ms))
    if cursor is not None and query.descending:
        end = min(end, bisect_right(orders, cursor))
    elif cursor is not None:
        first = max(first, bisect_left(orders, cursor))
    return orders[first:end]


def _matching(
    view: ProfileView, orders: Sequence[int], filters: Sequence[PropertyFilter], wanted: int
) -> list[FoundEvent]:
    found = [
        one
        for one in _read(view, orders)
        if all(condition.matches(one.document) for condition in filters)
    ]
    return found[:wanted]


def _read(view: ProfileView, orders: Sequence[int]) -> list[FoundEvent]:
    by_order = {event.order: event for event in view.events(orders)}
    return [_shown(by_order[order]) for order in orders if order in by_order]


def _shown(event: KeptEvent) -> FoundEvent:
    return FoundEvent(event.order, event.at_ms, event_document(event))
