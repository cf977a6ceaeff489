"""Every form of `occurs` at its boundaries (PQL reference, semantics of occurs)."""

from __future__ import annotations

import pytest

from app.engine.oracle import Subject, matches
from app.pql.checker import check
from app.pql.parser import parse

NOW = "2026-03-31T10:30:00Z"  # a Tuesday
NOW_MS = 1_774_953_000_000

CASES = [
    # on
    (
        "occurs today",
        ["2026-03-31T00:00:00Z", "2026-03-31T23:59:59.999Z"],
        ["2026-04-01T00:00:00Z"],
    ),
    ("occurs yesterday", ["2026-03-30T00:00:00Z", "2026-03-30"], ["2026-03-31T00:00:00Z"]),
    ("occurs tomorrow", ["2026-04-01"], ["2026-03-31", "2026-04-02"]),
    ("occurs on now", [NOW], ["2026-03-31T10:30:00.001Z"]),
    ("occurs this month", ["2026-03-01", "2026-03-31T23:59:59Z"], ["2026-02-28", "2026-04-01"]),
    ("occurs last month", ["2026-02-01", "2026-02-28T23:59:59Z"], ["2026-01-31", "2026-03-01"]),
    ("occurs next month", ["2026-04-01", "2026-04-30"], ["2026-05-01", "2026-03-31"]),
    ("occurs this week", ["2026-03-30", "2026-04-05"], ["2026-03-29", "2026-04-06"]),
    ("occurs last year", ["2025-01-01", "2025-12-31"], ["2024-12-31", "2026-01-01"]),
    ("occurs this decade", ["2020-01-01", "2029-12-31"], ["2019-12-31", "2030-01-01"]),
    ("occurs on date(2026, 2, 28)", ["2026-02-28"], ["2026-02-27", "2026-03-01"]),
    ("occurs on other", ["2026-03-01T00:00:00Z"], ["2026-03-01T00:00:00.001Z"]),
    # between
    (
        "occurs between date(2026, 1, 1) and date(2026, 1, 31)",
        ["2026-01-01", "2026-01-31T23:59:59.999Z"],
        ["2025-12-31T23:59:59.999Z", "2026-02-01"],
    ),
    ("occurs between yesterday and now", ["2026-03-30", NOW], ["2026-03-31T10:30:00.001Z"]),
    ("occurs between other and today", ["2026-03-01", "2026-03-31T23:59:59Z"], ["2026-02-28"]),
    # before, after, from
    ("occurs before today", ["2026-03-30T23:59:59.999Z"], ["2026-03-31T00:00:00Z"]),
    ("occurs before now", ["2026-03-31T10:29:59.999Z"], [NOW]),
    ("occurs after today", ["2026-04-01T00:00:00Z"], ["2026-03-31T23:59:59.999Z"]),
    ("occurs after now", ["2026-03-31T10:30:00.001Z"], [NOW]),
    ("occurs after other", ["2026-03-01T00:00:00.001Z"], ["2026-03-01T00:00:00Z"]),
    ("occurs from today", ["2026-03-30T23:59:59Z", "2026-04-01"], ["2026-03-31"]),
    # distance before
    (
        "occurs < 24 hours before now",
        ["2026-03-30T10:30:00.001Z", NOW],
        ["2026-03-30T10:30:00Z", "2026-03-31T10:30:00.001Z"],
    ),
    (
        "occurs <= 24 hours before now",
        ["2026-03-30T10:30:00Z", NOW],
        ["2026-03-30T10:29:59.999Z", "2026-03-31T10:30:00.001Z"],
    ),
    ("occurs > 24 hours before now", ["2026-03-30T10:29:59.999Z"], ["2026-03-30T10:30:00Z"]),
    ("occurs >= 24 hours before now", ["2026-03-30T10:30:00Z"], ["2026-03-30T10:30:00.001Z"]),
    (
        "occurs <= 1 month before today",
        ["2026-02-28", "2026-03-30T23:59:59.999Z"],
        ["2026-02-27T23:59:59.999Z", "2026-03-31"],
    ),
    ("occurs < 1 month before today", ["2026-02-28T00:00:00.001Z"], ["2026-02-28"]),
    ("occurs = 3 days before today", ["2026-03-28", "2026-03-28T23:59:59Z"], ["2026-03-29"]),
    (
        "occurs = 3 hours before now",
        ["2026-03-31T07:00:00Z", "2026-03-31T07:59:59.999Z"],
        ["2026-03-31T06:59:59.999Z", "2026-03-31T08:00:00Z"],
    ),
    ("occurs != 3 days before today", ["2026-03-29", "2026-03-27"], ["2026-03-28"]),
    ("occurs = 1 year before today", ["2025-03-31"], ["2025-03-30", "2025-04-01"]),
    ("occurs <= 0 days before now", [NOW], ["2026-03-31T10:29:59.999Z"]),
    # distance after
    (
        "occurs <= 2 weeks after other",
        ["2026-03-01T00:00:00.001Z", "2026-03-15T00:00:00Z"],
        ["2026-03-01T00:00:00Z", "2026-03-15T00:00:00.001Z"],
    ),
    ("occurs < 2 weeks after other", ["2026-03-14T23:59:59.999Z"], ["2026-03-15T00:00:00Z"]),
    ("occurs > 2 weeks after other", ["2026-03-15T00:00:00.001Z"], ["2026-03-15T00:00:00Z"]),
    ("occurs >= 2 weeks after other", ["2026-03-15T00:00:00Z"], ["2026-03-14T23:59:59.999Z"]),
    ("occurs = 1 month after now", ["2026-04-01", "2026-04-30"], ["2026-03-31", "2026-05-01"]),
    # distance from
    (
        "occurs <= 3 days from date(2026, 3, 10)",
        ["2026-03-07", "2026-03-13"],
        ["2026-03-06T23:59:59.999Z", "2026-03-13T00:00:00.001Z"],
    ),
    ("occurs < 3 days from date(2026, 3, 10)", ["2026-03-10"], ["2026-03-07", "2026-03-13"]),
    ("occurs > 3 days from date(2026, 3, 10)", ["2026-03-06", "2026-03-14"], ["2026-03-13"]),
    ("occurs >= 3 days from date(2026, 3, 10)", ["2026-03-07", "2026-03-13"], ["2026-03-12"]),
    ("occurs = 3 days from date(2026, 3, 10)", ["2026-03-07", "2026-03-13"], ["2026-03-10"]),
    ("occurs != 3 days from date(2026, 3, 10)", ["2026-03-10"], ["2026-03-07", "2026-03-13"]),
]


def _holds(tail: str, at: object) -> bool:
    expr = check(parse(f"t {tail}")).expr
    assert expr is not None, tail
    record = {"t": at, "other": "2026-03-01T00:00:00Z"}
    return matches(expr, Subject(record, [], (), NOW_MS))


@pytest.mark.parametrize(("tail", "inside", "outside"), CASES, ids=[case[0] for case in CASES])
def test_boundaries(tail: str, inside: list[str], outside: list[str]) -> None:
    assert [at for at in inside if not _holds(tail, at)] == []
    assert [at for at in outside if _holds(tail, at)] == []


@pytest.mark.parametrize("tail", [case[0] for case in CASES])
@pytest.mark.parametrize("at", [None, "soon", True, [], {}])
def test_no_timestamp_is_never_anywhere(tail: str, at: object) -> None:
    assert _holds(tail, at) is False


@pytest.mark.parametrize("tail", ["occurs after gone", "occurs != 3 days before gone"])
def test_a_missing_time_is_never_met(tail: str) -> None:
    assert _holds(tail, "2026-03-01") is False


def test_any_of_several_timestamps_is_enough() -> None:
    assert _holds("occurs today", ["2020-01-01", "2026-03-31"])
    assert not _holds("occurs today", ["2020-01-01", "2020-03-31"])
