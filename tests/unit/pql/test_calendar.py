"""UTC calendar arithmetic and the reading of timestamps."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from app.pql.ast import Unit
from app.pql.calendar import (
    FIRST_MS,
    LAST_MS,
    day_interval,
    day_of_month,
    month_of,
    parse_timestamp,
    shift,
    truncate,
    unit_start_after,
    year_of,
)


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000


@pytest.mark.parametrize(
    ("start", "amount", "unit", "end"),
    [
        ("2026-01-31T10:00:00", 1, "month", "2026-02-28T10:00:00"),
        ("2024-01-31T00:00:00", 1, "month", "2024-02-29T00:00:00"),
        ("2024-02-29T01:00:00", 1, "year", "2025-02-28T01:00:00"),
        ("2024-02-29T01:00:00", -4, "year", "2020-02-29T01:00:00"),
        ("2026-03-31T00:00:00", -1, "month", "2026-02-28T00:00:00"),
        ("2026-01-15T00:00:00", -13, "month", "2024-12-15T00:00:00"),
        ("2026-01-15T00:00:00", 2, "decade", "2046-01-15T00:00:00"),
        ("2026-01-15T00:00:00", -1, "century", "1926-01-15T00:00:00"),
        ("2026-01-15T00:00:00", 1, "millennium", "3026-01-15T00:00:00"),
        ("2026-01-15T00:00:00", 2, "week", "2026-01-29T00:00:00"),
        ("2026-01-15T00:00:00", -90, "second", "2026-01-14T23:58:30"),
    ],
)
def test_shift(start: str, amount: int, unit: Unit, end: str) -> None:
    assert shift(ms(start), amount, unit) == ms(end)


@pytest.mark.parametrize("unit", ["millisecond", "day", "month", "millennium"])
@pytest.mark.parametrize("amount", [10**18, -(10**18)])
def test_shift_out_of_the_calendar_is_clamped(amount: int, unit: Unit) -> None:
    assert shift(0, amount, unit) == (LAST_MS if amount > 0 else FIRST_MS)


def test_a_shift_just_beyond_the_calendar_is_clamped() -> None:
    assert shift(FIRST_MS + 1, -1, "year") == FIRST_MS
    assert shift(LAST_MS - 1, 1, "month") == LAST_MS


@pytest.mark.parametrize(
    ("unit", "start", "following"),
    [
        ("second", "2026-01-07T10:11:12", "2026-01-07T10:11:13"),
        ("hour", "2026-01-07T10:00:00", "2026-01-07T11:00:00"),
        ("day", "2026-01-07T00:00:00", "2026-01-08T00:00:00"),
        ("week", "2026-01-05T00:00:00", "2026-01-12T00:00:00"),
        ("month", "2026-01-01T00:00:00", "2026-02-01T00:00:00"),
        ("year", "2026-01-01T00:00:00", "2027-01-01T00:00:00"),
        ("decade", "2020-01-01T00:00:00", "2030-01-01T00:00:00"),
        ("century", "2000-01-01T00:00:00", "2100-01-01T00:00:00"),
        ("millennium", "2000-01-01T00:00:00", "3000-01-01T00:00:00"),
    ],
)
def test_units_around_an_instant(unit: Unit, start: str, following: str) -> None:
    instant = ms("2026-01-07T10:11:12") + 345  # a Wednesday

    assert truncate(instant, unit) == ms(start)
    assert unit_start_after(instant, unit) == ms(following)
    assert truncate(ms(start), unit) == ms(start)
    assert unit_start_after(ms(start), unit) == ms(following)


@pytest.mark.parametrize("unit", ["week", "month", "decade", "century", "millennium"])
@pytest.mark.parametrize("instant", [FIRST_MS, LAST_MS, FIRST_MS - 1, LAST_MS + 1])
def test_the_ends_of_the_calendar_do_not_raise(instant: int, unit: Unit) -> None:
    assert FIRST_MS <= truncate(instant, unit) <= LAST_MS
    assert FIRST_MS <= unit_start_after(instant, unit) <= LAST_MS


def test_days() -> None:
    assert day_interval(2024, 2, 29) == (ms("2024-02-29"), ms("2024-03-01"))
    assert day_interval(2023, 2, 29) is None
    assert day_interval(2020, 13, 1) is None
    assert day_interval(0, 1, 1) is None
    assert (year_of(ms("2026-12-31")), month_of(ms("2026-12-31"))) == (2026, 12)
    assert day_of_month(ms("2026-12-31T23:59:59")) == 31


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1_767_607_200_000, 1_767_607_200_000),
        (1_767_607_200_000.9, 1_767_607_200_000),
        ("2026-01-05T10:00:00Z", 1_767_607_200_000),
        ("2026-01-05T10:00:00.123Z", 1_767_607_200_123),
        ("2026-01-05T10:00:00.123456789Z", 1_767_607_200_123),
        ("2026-01-05t10:00:00z", 1_767_607_200_000),
        ("2026-01-05T12:00:00+02:00", 1_767_607_200_000),
        ("2026-01-05", 1_767_571_200_000),
        (-1, -1),
        (10**30, LAST_MS),
        (1e300, LAST_MS),
        (float("-inf"), FIRST_MS),
        ("0001-01-01T00:00:00+10:00", FIRST_MS),
        (float("nan"), None),
        ("2026-01-05T10:00:00", None),
        ("2026-13-05", None),
        ("20260105", None),
        ("2026-W01-1", None),
        ("yesterday", None),
        ("", None),
        (True, None),
        (None, None),
        ([1], None),
        ({"a": 1}, None),
    ],
)
def test_parse_timestamp(value: Any, expected: int | None) -> None:
    assert parse_timestamp(value) == expected
