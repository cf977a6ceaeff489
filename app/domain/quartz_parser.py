"""Parser of Quartz cron expressions; every problem names its field and the remedy.

Only what Quartz can mean is taken: exactly one of the two day fields is `?`, and `L`, `W` and `#`
stand alone in their field. Names are in any case. Ranges may pass the end (`FRI-MON`, `22-2`), but
those of years.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from app.domain.errors import UserError
from app.domain.quartz import FIRST_YEAR, LAST_YEAR, Frequency, QuartzCron
from app.domain.quartz_days import (
    SATURDAY,
    DayRule,
    LastDay,
    LastWeekday,
    MonthDays,
    NearWeekday,
    NthWeekday,
    Weekdays,
)

MAX_CRON_CHARACTERS = 256

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_ORDER = "seconds minutes hours day-of-month month day-of-week [year], such as 0 30 13 * * ?"
_LAST_DAY = re.compile(r"L(?:-([0-9]{1,2}))?(W?)")
_NEAR_WEEKDAY = re.compile(r"([0-9]{1,2})W")
_WEEKDAY_RULE = re.compile(r"([0-9A-Z]+)(?:(L)|#([0-9]+))")

Rule = TypeVar("Rule")


@dataclass(frozen=True, slots=True)
class CronProblem:
    """One thing wrong with an expression.

    Attributes:
        field: Name of the field; `expression` for what is about the whole of it.
        hint: How to mend it.
    """

    field: str
    message: str
    hint: str


class InvalidCron(UserError):
    """An expression that is refused; `problems` are all that is wrong with it."""

    code = "schedule-invalid"

    def __init__(self, problems: Iterable[CronProblem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        super().__init__(f"the cron expression has {count} problem{'s' if count > 1 else ''}")


class _Refused(Exception):
    def __init__(self, message: str, hint: str) -> None:
        self.message, self.hint = message, hint


@dataclass(frozen=True, slots=True)
class _Field:
    """The values of one field.

    Attributes:
        names: For the numbers from `low` on.
        wraps: Whether a range may pass the end and go on from the beginning.
    """

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()
    wraps: bool = True

    @property
    def everything(self) -> tuple[int, ...]:
        return tuple(range(self.low, self.high + 1))

    @property
    def expected(self) -> str:
        numbers = f"{self.low} to {self.high}"
        return f"{numbers} or {self.names[0]} to {self.names[-1]}" if self.names else numbers

    def value(self, text: str) -> int:
        if text in self.names:
            return self.low + self.names.index(text)
        number = int(text) if text.isascii() and text.isdigit() and len(text) <= 4 else -1
        if not self.low <= number <= self.high:
            hint = f"write {self.expected}"
            if self.names == _WEEKDAYS and text == "0":
                hint += "; Sunday is 1"
            shown = f"{text!r} is no value" if text else "a value is missing"
            raise _Refused(shown, hint)
        return number

    def numbers(self, text: str) -> tuple[int, ...]:
        """Return what a list of values, ranges and steps means, in order."""
        found = {number for part in text.split(",") for number in self._part(part)}
        return tuple(sorted(found))

    def _part(self, part: str) -> range | tuple[int, ...]:
        base, slash, step_text = part.partition("/")
        step = self._step(step_text) if slash else 1
        if base == "*" or (slash and not base):
            return range(self.low, self.high + 1, step)
        begin_text, hyphen, end_text = base.partition("-")
        begin = self.value(begin_text)
        if not hyphen:
            return range(begin, self.high + 1, step) if slash else (begin,)
        end = self.value(end_text)
        if begin <= end:
            return range(begin, end + 1, step)
        if not self.wraps:
            raise _Refused(f"the range {base!r} runs backwards", f"write {end}-{begin}")
        size = self.high - self.low + 1
        numbers = range(begin, end + size + 1, step)
        return tuple((number - self.low) % size + self.low for number in numbers)

    def _step(self, text: str) -> int:
        most = self.high - self.low + 1
        number = int(text) if text.isascii() and text.isdigit() and len(text) <= 4 else 0
        if not 1 <= number <= most:
            raise _Refused(f"{text!r} is no step", f"write a number from 1 to {most} after the /")
        return number


_SECONDS = _Field("seconds", 0, 59)
_MINUTES = _Field("minutes", 0, 59)
_HOURS = _Field("hours", 0, 23)
_MONTH_DAYS = _Field("day of month", 1, 31)
_MONTH = _Field("month", 1, 12, _MONTHS)
_WEEKDAY = _Field("day of week", 1, 7, _WEEKDAYS)
_YEAR = _Field("year", FIRST_YEAR, LAST_YEAR, wraps=False)


def parse_cron(text: str) -> QuartzCron:
    """Parse an expression of six or seven fields.

    Raises:
        InvalidCron: With a problem for each field that cannot be read.
    """
    parts = _split(text)
    problems: list[CronProblem] = []
    fields = (_SECONDS, _MINUTES, _HOURS, _MONTH, _YEAR)
    plain = [
        _tried(problems, field, part, _plain)
        for field, part in zip(fields, (*parts[:3], parts[4], parts[6]), strict=True)
    ]
    days = _day_rule(problems, parts[3], parts[5])
    if problems or days is None:
        raise InvalidCron(problems)
    seconds, minutes, hours, months, years = (numbers or () for numbers in plain)
    return QuartzCron(text, seconds, minutes, hours, days, months, years, _frequency(days, months))


def _split(text: str) -> list[str]:
    """Return the seven fields in capitals."""
    if len(text) > MAX_CRON_CHARACTERS:
        hint = f"write at most {MAX_CRON_CHARACTERS}"
        raise InvalidCron([CronProblem("expression", f"it has {len(text)} characters", hint)])
    parts = text.upper().split()
    if len(parts) not in (6, 7):
        unix = "; this looks like Unix cron: put the seconds in front" if len(parts) == 5 else ""
        message = f"it has {len(parts)} fields where Quartz has 6 or 7"
        raise InvalidCron([CronProblem("expression", message, f"write {_ORDER}{unix}")])
    return parts if len(parts) == 7 else [*parts, "*"]


def _tried(
    problems: list[CronProblem], field: _Field, text: str, parse: Callable[[_Field, str], Rule]
) -> Rule | None:
    try:
        return parse(field, text)
    except _Refused as refused:
        problems.append(CronProblem(field.name, refused.message, refused.hint))
        return None


def _plain(field: _Field, text: str) -> tuple[int, ...]:
    if text == "?":
        raise _Refused("'?' stands only in a day field", "write * for every value")
    return field.numbers(text)


def _day_rule(problems: list[CronProblem], month_days: str, weekdays: str) -> DayRule | None:
    """Return the rule of the one day field that is not `?`."""
    if month_days == weekdays == "?":
        hint = "write * in the one that is to mean every day"
        problems.append(CronProblem(_MONTH_DAYS.name, "both day fields are '?'", hint))
        return None
    if weekdays == "?":
        return _tried(problems, _MONTH_DAYS, month_days, _month_day_rule)
    rule = _tried(problems, _WEEKDAY, weekdays, _weekday_rule)
    if month_days != "?":
        _tried(problems, _MONTH_DAYS, month_days, _month_day_rule)
        message = "Quartz takes a day of month or a day of week, not both"
        hint = f"write ? for the day of {'week' if weekdays == '*' else 'month'}"
        problems.append(CronProblem(_WEEKDAY.name, message, hint))
    return rule


def _month_day_rule(field: _Field, text: str) -> DayRule:
    last = _LAST_DAY.fullmatch(text)
    if last:
        before = int(last[1] or 0)
        if before > field.high - 1:
            raise _Refused(f"no month has a day {text!r}", "write L-0 to L-30")
        return LastDay(before, near_weekday=bool(last[2]))
    near = _NEAR_WEEKDAY.fullmatch(text)
    if near:
        return NearWeekday(field.value(near[1]))
    if "L" in text or "W" in text:
        raise _Refused(
            f"{text!r} cannot be read", "L, L-3, LW, L-3W and 15W stand alone in this field"
        )
    return MonthDays(field.numbers(text))


def _weekday_rule(field: _Field, text: str) -> DayRule:
    if text == "L":
        return Weekdays((SATURDAY,))
    rule = _WEEKDAY_RULE.fullmatch(text)
    if rule is None and ("#" in text or text.endswith("L")):
        raise _Refused(f"{text!r} cannot be read", "L, 6L and 4#3 stand alone in this field")
    if rule is None:
        return Weekdays(field.numbers(text))
    number = field.value(rule[1])
    if rule[2]:
        return LastWeekday(number)
    if rule[3] not in ("1", "2", "3", "4", "5"):
        raise _Refused(f"no month has a day {text!r}", "write 1 to 5 after the #")
    return NthWeekday(number, int(rule[3]))


def _frequency(days: DayRule, months: tuple[int, ...]) -> Frequency:
    """Return after how long the pattern of days repeats: the widest field that is restricted."""
    if months != _MONTH.everything:
        return "yearly"
    match days:
        case MonthDays(numbers):
            return "daily" if numbers == _MONTH_DAYS.everything else "monthly"
        case Weekdays(numbers):
            return "daily" if numbers == _WEEKDAY.everything else "weekly"
        case _:
            return "monthly"
