"""Quartz cron expressions, in UTC: when one fires next.

Fields: seconds, minutes, hours, day of month, month, day of week, and perhaps a year. Written here
because no library at hand keeps to Quartz: `?`, weekdays from 1 for Sunday, `L`, `W` and `#`
(docs/decisions/0305). Source: API reference, section on the cron format, and the Quartz tutorial.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Literal, TypeAlias

from app.domain.quartz_days import DayRule, days_of

FIRST_YEAR = 1970
LAST_YEAR = 2099
_DAY_SECONDS = 86_400
_EPOCH_ORDINAL = date(FIRST_YEAR, 1, 1).toordinal()

Frequency: TypeAlias = Literal["daily", "weekly", "monthly", "yearly"]


@dataclass(frozen=True, slots=True)
class QuartzCron:
    """A parsed expression; see `app.domain.quartz_parser.parse_cron`.

    Attributes:
        seconds, minutes, hours, months, years: What fires, in order.
        days: Rule of the one day field that is not `?`.
        frequency: After how long the pattern of days repeats.
    """

    text: str
    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: DayRule
    months: tuple[int, ...]
    years: tuple[int, ...]
    frequency: Frequency

    @property
    def runs_per_day(self) -> int:
        """How often it fires on a day on which it fires."""
        return len(self.seconds) * len(self.minutes) * len(self.hours)

    def next_after(self, at_ms: int) -> int | None:
        """Return the first instant strictly after another at which it fires.

        Args:
            at_ms: Epoch milliseconds.

        Returns:
            Epoch milliseconds, a whole second; None when it never fires again. At most 1,560
            months are looked at.
        """
        after = max(at_ms // 1000 + 1, 0)
        day_number, second_of_day = divmod(after, _DAY_SECONDS)
        if day_number > date(LAST_YEAR, 12, 31).toordinal() - _EPOCH_ORDINAL:
            return None
        begin = datetime.fromtimestamp(after, UTC).date()
        time = self._time_from(second_of_day)
        if time is None:
            begin, time = date.fromordinal(begin.toordinal() + 1), self._time_from(0)
        assert time is not None  # no field is empty
        day = self._day_from(begin)
        if day is None:
            return None
        if day != begin:
            time = self._time_from(0)
            assert time is not None
        return ((day.toordinal() - _EPOCH_ORDINAL) * _DAY_SECONDS + time) * 1000

    def _day_from(self, begin: date) -> date | None:
        """Return the first day on which it fires, from one on."""
        for year in self.years[bisect_left(self.years, begin.year) :]:
            for month in self.months:
                if (year, month) < (begin.year, begin.month):
                    continue
                for day in days_of(self.days, year, month):
                    found = date(year, month, day)
                    if found >= begin:
                        return found
        return None

    def _time_from(self, second_of_day: int) -> int | None:
        """Return the first second of a day at which it fires, from one on."""
        hour, rest = divmod(second_of_day, 3600)
        minute, second = divmod(rest, 60)
        seconds, minutes, hours = self.seconds, self.minutes, self.hours
        at = bisect_left(seconds, second) if minute in minutes and hour in hours else len(seconds)
        if at < len(seconds):
            return hour * 3600 + minute * 60 + seconds[at]
        at = bisect_left(minutes, minute + 1) if hour in hours else len(minutes)
        if at < len(minutes):
            return hour * 3600 + minutes[at] * 60 + seconds[0]
        at = bisect_left(hours, hour + 1)
        return hours[at] * 3600 + minutes[0] * 60 + seconds[0] if at < len(hours) else None
