"""Pages of the kept events of a profile."""

from __future__ import annotations

from array import array
from typing import Any

import orjson
import pytest

from app.domain.errors import UserError
from app.engine.history import frame
from app.engine.profile import ProfileState, order_of
from app.engine.recent_ids import RecentIds
from app.engine.state_codec import encode
from app.engine.tables import Detail, DetailTable
from app.service.event_query import (
    EventQuery,
    EventRows,
    cursor_of,
    parse_cursor,
    select_events,
    select_rows,
)
from app.service.profile_view import ProfileView, StoredProfile
from app.service.property_filter import parse_filter

BASE_MS = 1_767_607_200_000
RETENTION_MS = 1_000


def view_of(*times: int, clock: int = 100, **state: Any) -> ProfileView:
    """Return a profile with an event at each time, in ms after the base, numbered."""
    orders = sorted(order_of(BASE_MS + at, number) for number, at in enumerate(times))
    frames = [
        frame(
            order_of(BASE_MS + at, number), orjson.dumps({"eventType": f"e{number}", "n": number})
        )
        for number, at in enumerate(times)
    ]
    packed = encode(ProfileState(orders=array("q", orders), created=True, **state))
    stored = StoredProfile(packed, b"".join(frames), BASE_MS + clock)
    return ProfileView("p", stored, {}, RETENTION_MS)


def read(view: ProfileView, **query: Any) -> list[list[int]]:
    """Return the numbers of the events of every page."""
    pages: list[list[int]] = []
    cursor: int | None = None
    while True:
        page = select_events(view, EventQuery(**query), cursor)
        pages.append([event.document["n"] for event in page.events])
        if page.following is None:
            return pages
        cursor = parse_cursor(page.following)


@pytest.mark.parametrize(
    ("query", "pages"),
    [
        ({}, [[2, 0, 1, 3]]),
        ({"descending": True}, [[3, 1, 0, 2]]),
        ({"limit": 2}, [[2, 0], [1, 3]]),
        ({"limit": 3, "descending": True}, [[3, 1, 0], [2]]),
        ({"start_ms": BASE_MS + 10}, [[0, 1, 3]]),
        ({"end_ms": BASE_MS + 20}, [[2, 0, 1]]),
        ({"start_ms": BASE_MS + 11, "end_ms": BASE_MS + 20}, [[]]),
        ({"filters": (parse_filter("n>=1"),), "limit": 2}, [[2, 1], [3]]),
        ({"filters": (parse_filter("n>=1"), parse_filter("n<3"))}, [[2, 1]]),
        ({"filters": (parse_filter("n>9"),)}, [[]]),
    ],
)
def test_pages_have_what_is_asked_for_in_order(query: dict[str, Any], pages: list[Any]) -> None:
    # The second and the third of one instant: in the order in which they arrived.
    assert read(view_of(10, 10, 5, 20), **query) == pages


@pytest.mark.parametrize(("descending", "following"), [(False, [3]), (True, [0, 2])])
def test_a_page_begins_where_the_last_one_ended_whatever_came_and_went(
    descending: bool, following: list[int]
) -> None:
    query = EventQuery(limit=2, descending=descending)
    first = select_events(view_of(10, 11, 5, 20), query, None)
    assert first.following is not None

    later = view_of(10, 990, 5, 20, clock=1_005) if not descending else view_of(10, 11, 5, 20, 30)
    # Ascending: 5 and 11 have gone. Descending: 30 has come.
    page = select_events(later, query, parse_cursor(first.following))

    assert [event.document["n"] for event in page.events][: len(following)] == following


@pytest.mark.parametrize(
    ("rows", "shown"),
    [
        (EventRows(0, 10, descending=True), [3, 1, 0, 2]),
        (EventRows(1, 2, descending=True), [1, 0]),
        (EventRows(1, 2, descending=False), [0, 1]),
        (EventRows(4, 2, descending=False), []),
    ],
)
def test_rows_are_skipped_in_the_order_asked_for(rows: EventRows, shown: list[int]) -> None:
    found = select_rows(view_of(10, 10, 5, 20), rows)

    assert [event.document["n"] for event in found] == shown


def test_an_event_past_the_retention_time_is_not_shown() -> None:
    view = view_of(0, 1, 1_000, clock=1_000)

    assert read(view) == [[1, 2]]


def test_an_event_has_the_time_that_it_counts_as() -> None:
    (event,) = select_events(view_of(7), EventQuery(), None).events

    assert (event.at_ms, event.document["timestamp"]) == (
        BASE_MS + 7,
        "2026-01-05T10:00:00.007Z",
    )


@pytest.mark.parametrize(
    ("state", "times", "changed"),
    [
        ({}, (), None),
        ({}, (5,), 5),
        ({}, (500,), 100),  # from the future: no later than the clock
        ({"recent_ids": RecentIds(array("Q", [1]), array("q", [BASE_MS + 9]))}, (5,), 9),
        ({"details": DetailTable({0: Detail(BASE_MS + 12, 1), 1: Detail(3, 1)})}, (5,), 12),
    ],
)
def test_the_last_change_is_the_last_that_left_a_trace(
    state: dict[str, Any], times: tuple[int, ...], changed: int | None
) -> None:
    found = view_of(*times, **state).last_modified_ms

    assert found == (None if changed is None else BASE_MS + changed)


@pytest.mark.parametrize("text", ["", "1", "x" * 16, "0" * 17, "-" + "0" * 15 + "1"])
def test_a_cursor_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"_page\.next"):
        parse_cursor(text)


def test_a_cursor_reads_back() -> None:
    order = order_of(BASE_MS, 3)

    assert parse_cursor(cursor_of(order)) == order
