"""Quartz expressions against a search that walks days, hours, minutes and seconds."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import product

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from app.domain.quartz_parser import CronProblem, InvalidCron, parse_cron

MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
WEEKDAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
WALKED_DAYS = 430


def value_of(text: str, names: list[str]) -> int:
    return names.index(text.upper()) + 1 if text.upper() in names else int(text)


def numbers_meet(text: str, value: int, low: int, high: int, names: list[str]) -> bool:
    """Tell whether a value is met, by walking each part from its first value to its last."""
    for part in text.split(","):
        base, _, step = part.partition("/")
        if base == "*":
            first, last = low, high
        elif "-" in base:
            first, last = (value_of(one, names) for one in base.split("-"))
        else:
            first = value_of(base, names)
            last = high if step else first
        position, walked = first, 0
        while True:
            if walked % int(step or 1) == 0 and position == value:
                return True
            if position == last:
                break
            position = low if position == high else position + 1
            walked += 1
    return False


def quartz_weekday(day: date) -> int:
    return day.isoweekday() % 7 + 1


def same_month(day: date) -> list[date]:
    first = day.replace(day=1)
    around = [first + timedelta(days=n) for n in range(31)]
    return [one for one in around if one.month == day.month]


def nearest(target: date) -> date:
    """Return the weekday of the month that is nearest; a Saturday's is before, a Sunday's after."""
    workdays = [one for one in same_month(target) if one.isoweekday() <= 5]
    return min(workdays, key=lambda one: abs((one - target).days))


def month_day_meets(text: str, day: date) -> bool:
    month = same_month(day)
    text = text.upper()
    if text.startswith("L"):
        before = int(text.removesuffix("W")[2:] or 0)
        if before >= len(month):
            return False
        target = month[-1 - before]
        return day == (nearest(target) if text.endswith("W") else target)
    if text.endswith("W"):
        number = int(text[:-1])
        return number <= len(month) and day == nearest(month[number - 1])
    return numbers_meet(text, day.day, 1, 31, [])


def weekday_meets(text: str, day: date) -> bool:
    text = text.upper()
    if text == "L":
        return day.isoweekday() == 6
    same = [one for one in same_month(day) if one.isoweekday() == day.isoweekday()]
    if "#" in text:
        name, _, nth = text.partition("#")
        is_it = quartz_weekday(day) == value_of(name, WEEKDAYS)
        return is_it and same.index(day) + 1 == int(nth)
    if text.endswith("L"):
        return quartz_weekday(day) == value_of(text[:-1], WEEKDAYS) and day == same[-1]
    return numbers_meet(text, quartz_weekday(day), 1, 7, WEEKDAYS)


def day_meets(fields: list[str], day: date) -> bool:
    month_days, month, weekdays, year = fields
    if not numbers_meet(year, day.year, 1970, 2099, []):
        return False
    if not numbers_meet(month, day.month, 1, 12, MONTHS):
        return False
    return weekday_meets(weekdays, day) if month_days == "?" else month_day_meets(month_days, day)


def met(text: str, low: int, high: int) -> list[int]:
    return [n for n in range(low, high + 1) if numbers_meet(text, n, low, high, [])]


def walked(expression: str, after: datetime) -> datetime | None:
    """Return the first whole second after an instant, None if the days walked have none."""
    seconds, minutes, hours, *rest = expression.split()
    fields = rest if len(rest) == 4 else [*rest, "*"]
    times = [met(hours, 0, 23), met(minutes, 0, 59), met(seconds, 0, 59)]
    for number in range(WALKED_DAYS):
        day = after.date() + timedelta(days=number)
        if not day_meets(fields, day):
            continue
        least = after.hour if number == 0 else 0
        for hour, minute in product([n for n in times[0] if n >= least], times[1]):
            for second in times[2]:
                at = datetime(day.year, day.month, day.day, hour, minute, second, tzinfo=UTC)
                if at > after:
                    return at
    return None


def values(low: int, high: int, names: list[str]) -> st.SearchStrategy[str]:
    number = st.integers(low, high).map(str)
    return st.one_of(number, st.sampled_from([*names, *map(str.lower, names)])) if names else number


def plain_fields(
    low: int, high: int, names: list[str] | None = None, *, wraps: bool = True
) -> st.SearchStrategy[str]:
    one = values(low, high, names or [])
    ranges = st.builds("{}-{}".format, one, one)
    if not wraps:
        pairs = st.tuples(st.integers(low, high), st.integers(low, high))
        ranges = pairs.map(lambda pair: f"{min(pair)}-{max(pair)}")
    steps = st.builds("{}/{}".format, st.one_of(one, ranges, st.just("*")), st.integers(1, 7))
    part = st.one_of(one, ranges, steps, st.just("*"))
    return st.one_of(st.just("*"), one, st.lists(part, min_size=1, max_size=3).map(",".join))


month_day_fields = st.one_of(
    plain_fields(1, 31),
    st.sampled_from(["L", "LW", "l", "lw"]),
    st.builds("L-{}{}".format, st.integers(0, 30), st.sampled_from(["", "W"])),
    st.builds("{}W".format, st.integers(1, 31)),
)
weekday_fields = st.one_of(
    plain_fields(1, 7, WEEKDAYS),
    st.just("L"),
    st.builds("{}L".format, values(1, 7, WEEKDAYS)),
    st.builds("{}#{}".format, values(1, 7, WEEKDAYS), st.integers(1, 5)),
)
day_fields = st.one_of(
    st.tuples(month_day_fields, st.just("?")), st.tuples(st.just("?"), weekday_fields)
)


@st.composite
def expressions(draw: st.DrawFn) -> str:
    month_days, weekdays = draw(day_fields)
    fields = [
        draw(plain_fields(0, 59)),
        draw(plain_fields(0, 59)),
        draw(plain_fields(0, 23)),
        month_days,
        draw(st.one_of(st.just("*"), plain_fields(1, 12, MONTHS))),
        weekdays,
    ]
    if draw(st.booleans()):
        fields.append(draw(st.one_of(st.just("*"), plain_fields(2024, 2031, wraps=False))))
    return " ".join(fields)


instants = st.integers(0, 5 * 366 * 86_400 * 10).map(
    lambda tenths: datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=tenths / 10)
)


@settings(max_examples=settings().max_examples // 2)
@given(expressions(), instants)
@example("0 0 0 31W * ?", datetime(2026, 4, 29, tzinfo=UTC))
@example("59 59 23 L * ?", datetime(2026, 4, 30, 23, 59, 59, tzinfo=UTC))
@example("5 5 5 ? * *", datetime(2026, 12, 31, 5, 5, 5, 1, tzinfo=UTC))
def test_the_next_firing_is_the_one_that_a_walk_finds(expression: str, after: datetime) -> None:
    cron = parse_cron(expression)
    expected = walked(expression, after)
    after_ms = int(after.timestamp() * 1000)
    found = cron.next_after(after_ms)
    if expected is None:
        assert found is None or found > after_ms + (WALKED_DAYS - 1) * 86_400_000
    else:
        assert found == int(expected.timestamp() * 1000)


@settings(max_examples=settings().max_examples // 2)
@given(expressions(), instants)
def test_firings_follow_each_other_without_end_or_repetition(
    expression: str, after: datetime
) -> None:
    cron = parse_cron(expression)
    at = first = cron.next_after(int(after.timestamp() * 1000))
    assume(first is not None)
    for _ in range(5):
        assert at is not None
        assert cron.next_after(at - 1) == at  # nothing in between
        following = cron.next_after(at)
        if following is None:
            return
        assert following > at
        at = following


@given(st.text(alphabet="0123456789*?/-,LW#SUNMOJA \t", max_size=40))
def test_any_text_is_read_or_refused_with_a_remedy(text: str) -> None:
    problems: tuple[CronProblem, ...] = ()
    try:
        parse_cron(text).next_after(0)
    except InvalidCron as refused:
        problems = refused.problems
    assert all(one.hint and one.message for one in problems)
