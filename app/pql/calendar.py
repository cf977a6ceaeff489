"""UTC calendar arithmetic on integer epoch milliseconds; no clock, no time zone.

Instants outside the years 1 to 9999 are clamped to that range, so nothing here raises.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from app.domain.limits import DAY_MS
from app.pql.ast import Unit

FIRST_MS: Final = -62_135_596_800_000
"""0001-01-01T00:00:00Z."""
LAST_MS: Final = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z."""

FIXED_UNITS_MS: Final[dict[str, int]] = {
    "millisecond": 1,
    "second": 1_000,
    "minute": 60_000,
    "hour": 3_600_000,
    "day": DAY_MS,
    "week": 7 * DAY_MS,
}
"""Length of the units that are always equally long."""


class Day(int):
    """Start of a UTC day in epoch ms, which as a time means the whole day: no number."""


_MONTHS: Final[dict[str, int]] = {
    "month": 1,
    "year": 12,
    "decade": 120,
    "century": 1_200,
    "millennium": 12_000,
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_MONDAY_OFFSET_DAYS = 3  # 1970-01-01 was a Thursday
_LARGEST_SHIFT = 10_000 * 12


def clamp(ms: int) -> int:
    """Return the instant, or the nearest one within the years 1 to 9999."""
    return FIRST_MS if ms < FIRST_MS else LAST_MS if ms > LAST_MS else ms


def shift(ms: int, amount: int, unit: Unit) -> int:
    """Move an instant by a number of units.

    Calendar units keep the day of the month, clamped to the end of a shorter month; the others
    are exact.
    """
    length = FIXED_UNITS_MS.get(unit)
    if length is not None:
        return clamp(ms + amount * length)
    months = amount * _MONTHS[unit]
    if abs(months) > _LARGEST_SHIFT:
        return FIRST_MS if months < 0 else LAST_MS
    year, month, day = _date(clamp(ms))
    total = year * 12 + month - 1 + months
    year, month = total // 12, total % 12 + 1
    if not 1 <= year <= 9999:
        return FIRST_MS if year < 1 else LAST_MS
    day = min(day, _days_in_month(year, month))
    return _midnight(year, month, day) + clamp(ms) % DAY_MS


def truncate(ms: int, unit: Unit) -> int:
    """Return the start of the calendar unit that holds the instant.

    Weeks begin on Monday; decades, centuries and millennia at years divisible by 10, 100, 1000.
    """
    ms = clamp(ms)
    if unit == "week":
        day = ms // DAY_MS
        return clamp((day - (day + _MONDAY_OFFSET_DAYS) % 7) * DAY_MS)
    length = FIXED_UNITS_MS.get(unit)
    if length is not None:
        return ms - ms % length
    year, month, _ = _date(ms)
    if unit == "month":
        return _midnight(year, month, 1)
    years = _MONTHS[unit] // 12
    return _midnight(max(year - year % years, 1), 1, 1)


def unit_start_after(ms: int, unit: Unit) -> int:
    """Return the first start of a calendar unit that is later than the instant."""
    if unit in FIXED_UNITS_MS:
        return shift(truncate(ms, unit), 1, unit)
    year, month, _ = _date(clamp(ms))
    if unit == "month":
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    else:
        years = _MONTHS[unit] // 12
        year, month = year - year % years + years, 1
    return _midnight(year, month, 1) if year <= 9999 else LAST_MS


def day_interval(year: int, month: int, day: int) -> tuple[int, int] | None:
    """Return start and end, half-open, of a day; None when there is no such day."""
    if not (1 <= year <= 9999 and 1 <= month <= 12 and 1 <= day <= _days_in_month(year, month)):
        return None
    start = _midnight(year, month, day)
    return start, start + DAY_MS


def year_of(ms: int) -> int:
    """Return the year, 1 to 9999."""
    return _date(clamp(ms))[0]


def month_of(ms: int) -> int:
    """Return the month, 1 to 12."""
    return _date(clamp(ms))[1]


def day_of_month(ms: int) -> int:
    """Return the day of the month, 1 to 31."""
    return _date(clamp(ms))[2]


def parse_timestamp(value: Any) -> int | None:
    """Read a timestamp as data holds it.

    Epoch milliseconds, an ISO 8601 string with `Z` or an offset, or a date, which means its
    UTC midnight (PQL reference, types). Anything else is None; no value raises.
    """
    kind = type(value)
    if kind is int or kind is Day:
        return clamp(int(value))
    if kind is str:
        return _parse_text(value)
    if kind is float and value == value:  # NaN is not equal to itself
        return clamp(int(max(min(value, float(LAST_MS)), float(FIRST_MS))))
    return None


def _parse_text(text: str) -> int | None:
    length = len(text)
    if length < 10 or length > 40 or text[4] != "-" or text[7] != "-":
        return None
    if length > 10 and text[10] not in "Tt ":
        return None
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError:
        return None
    if moment.tzinfo is None:
        if length > 10:
            return None
        moment = moment.replace(tzinfo=UTC)
    since: timedelta = moment - _EPOCH
    return clamp(since.days * DAY_MS + since.seconds * 1_000 + since.microseconds // 1_000)


def _date(ms: int) -> tuple[int, int, int]:
    day = _EPOCH + timedelta(days=ms // DAY_MS)
    return day.year, day.month, day.day


def _midnight(year: int, month: int, day: int) -> int:
    return (datetime(year, month, day, tzinfo=UTC) - _EPOCH).days * DAY_MS


def _days_in_month(year: int, month: int) -> int:
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return 29 if month == 2 and is_leap else _MONTH_DAYS[month - 1]
