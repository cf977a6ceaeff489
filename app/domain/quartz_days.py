"""Which days of a month a Quartz expression means: the rules of its two day fields.

Weekdays are numbered as Quartz does: 1 is Sunday, 7 is Saturday.
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from typing import TypeAlias

SATURDAY = 7
SUNDAY = 1


@dataclass(frozen=True, slots=True)
class MonthDays:
    """`1`, `5-9`, `*`, …: these days, in the months that have them."""

    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class NearWeekday:
    """`15W`: the day, or the weekday nearest to it in the same month.

    A month without that day is left out.
    """

    number: int


@dataclass(frozen=True, slots=True)
class LastDay:
    """`L`, `L-3`, `LW`, `L-3W`: some days before the end, or the weekday nearest to that day."""

    before: int = 0
    near_weekday: bool = False


@dataclass(frozen=True, slots=True)
class Weekdays:
    """`MON-FRI`, `1,7`, …: every such day."""

    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LastWeekday:
    """`6L`: the last Friday of a month."""

    number: int


@dataclass(frozen=True, slots=True)
class NthWeekday:
    """`4#3`: the third Wednesday; a month that has no fifth one is left out."""

    number: int
    nth: int


DayRule: TypeAlias = MonthDays | NearWeekday | LastDay | Weekdays | LastWeekday | NthWeekday


def days_of(rule: DayRule, year: int, month: int) -> list[int]:
    """Return the days of a month that a rule means, in order."""
    first, last = _shape(year, month)
    match rule:
        case MonthDays(numbers):
            return [day for day in numbers if day <= last]
        case NearWeekday(number):
            return [_near_weekday(number, first, last)] if number <= last else []
        case LastDay(before, near_weekday):
            day = last - before
            if day < 1:
                return []
            return [_near_weekday(day, first, last) if near_weekday else day]
        case Weekdays(numbers):
            return [day for day in range(1, last + 1) if _weekday(day, first) in numbers]
        case LastWeekday(number):
            return [day for day in range(last - 6, last + 1) if _weekday(day, first) == number]
        case NthWeekday(number, nth):
            day = 1 + (number - first) % 7 + 7 * (nth - 1)
            return [day] if day <= last else []


def _shape(year: int, month: int) -> tuple[int, int]:
    """Return the weekday of the first day of a month, and its last day."""
    monday_is_0, last = monthrange(year, month)
    return (monday_is_0 + 1) % 7 + 1, last


def _weekday(day: int, first: int) -> int:
    return (first + day - 2) % 7 + 1


def _near_weekday(day: int, first: int, last: int) -> int:
    weekday = _weekday(day, first)
    if weekday == SATURDAY:
        return day - 1 if day > 1 else day + 2
    if weekday == SUNDAY:
        return day + 1 if day < last else day - 2
    return day
