"""Quartz expressions: what fires when, and what a refusal says."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from app.domain.quartz_parser import MAX_CRON_CHARACTERS, InvalidCron, parse_cron


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def firings(expression: str, after: str, count: int) -> list[str]:
    cron, at = parse_cron(expression), ms(after)
    found = []
    for _ in range(count):
        following = cron.next_after(at)
        if following is None:
            break
        at = following
        found.append(datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S"))
    return found


def days(expression: str, after: str, count: int) -> list[str]:
    return [text[:10] for text in firings(expression, after, count)]


def test_next_is_strictly_after() -> None:
    cron = parse_cron("0 30 13 * * ?")
    at = ms("2026-11-26T13:30:00")
    assert cron.next_after(at - 1) == at
    assert cron.next_after(at) == ms("2026-11-27T13:30:00")
    assert cron.next_after(at + 1) == ms("2026-11-27T13:30:00")


def test_seconds_minutes_and_hours_take_lists_ranges_and_steps() -> None:
    assert firings("5,50 0/30 8-10/2 ? * *", "2026-01-01T08:00:05", 4) == [
        "2026-01-01T08:00:50",
        "2026-01-01T08:30:05",
        "2026-01-01T08:30:50",
        "2026-01-01T10:00:05",
    ]
    assert firings("0 */20 0 1 1 ?", "2026-01-01T00:00:00", 3) == [
        "2026-01-01T00:20:00",
        "2026-01-01T00:40:00",
        "2027-01-01T00:00:00",
    ]


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        # 2026-11-01 is a Sunday; so is 2026-02-01.
        ("0 0 0 ? * 1", "2026-11-01", ["2026-11-08", "2026-11-15"]),
        ("0 0 0 ? * sun", "2026-11-01", ["2026-11-08", "2026-11-15"]),
        ("0 0 0 ? * FRI-MON", "2026-11-01", ["2026-11-02", "2026-11-06", "2026-11-07"]),
        ("0 0 0 ? * 2-6", "2026-11-06", ["2026-11-09", "2026-11-10"]),
        ("0 0 0 ? * L", "2026-11-01", ["2026-11-07", "2026-11-14"]),
        ("0 0 0 ? * 6L", "2026-11-01", ["2026-11-27", "2026-12-25"]),
        ("0 0 0 ? * FRIL", "2026-11-01", ["2026-11-27", "2026-12-25"]),
        ("0 0 0 ? * 4#3", "2026-11-01", ["2026-11-18", "2026-12-16"]),
        ("0 0 0 ? * WED#1", "2026-11-01", ["2026-11-04", "2026-12-02"]),
        # Five Sundays: November 2026 and January, February not; then May 2027.
        ("0 0 0 ? * 1#5", "2026-11-01", ["2026-11-29", "2027-01-31", "2027-05-30"]),
        ("0 0 0 L * ?", "2027-01-01", ["2027-01-31", "2027-02-28", "2027-03-31"]),
        ("0 0 0 L-3 * ?", "2027-01-01", ["2027-01-28", "2027-02-25"]),
        ("0 0 0 L-30 * ?", "2027-01-01", ["2027-03-01", "2027-05-01"]),
        # 2027-01-31 and 2027-02-28 are Sundays.
        ("0 0 0 LW * ?", "2027-01-01", ["2027-01-29", "2027-02-26", "2027-03-31"]),
        # The 15th of November 2026 is a Sunday, of August a Saturday.
        ("0 0 0 15W * ?", "2026-11-01", ["2026-11-16", "2026-12-15", "2027-01-15"]),
        ("0 0 0 15W 8 ?", "2026-08-01", ["2026-08-14"]),
        # Never across the month: 2026-08-01 is a Saturday, 2026-11-01 a Sunday.
        ("0 0 0 1W 8 ?", "2026-07-31", ["2026-08-03"]),
        ("0 0 0 1W 11 ?", "2026-10-31", ["2026-11-02"]),
        ("0 0 0 31W * ?", "2026-10-31T01:00", ["2026-12-31", "2027-01-29", "2027-03-31"]),
        ("0 0 0 31 * ?", "2026-11-01", ["2026-12-31", "2027-01-31", "2027-03-31"]),
        ("0 0 0 29 2 ?", "2097-01-01", []),
        ("0 0 0 29 FEB ?", "2026-01-01", ["2028-02-29", "2032-02-29"]),
        ("0 0 0 28-2 * ?", "2027-02-01", ["2027-02-02", "2027-02-28", "2027-03-01"]),
        ("0 0 0 1 NOV-feb ?", "2026-01-01", ["2026-02-01", "2026-11-01", "2026-12-01"]),
        ("0 0 0 1 2/5 ?", "2026-01-01", ["2026-02-01", "2026-07-01", "2026-12-01"]),
        ("0 0 0 1 1 ? 2027,2030-2031", "2026-01-01", ["2027-01-01", "2030-01-01", "2031-01-01"]),
        ("0 0 0 1 1 ? 2099", "2098-01-01", ["2099-01-01"]),
    ],
)
def test_a_day_field_fires_on(expression: str, after: str, expected: list[str]) -> None:
    assert days(expression, after, max(len(expected), 1)) == expected


@pytest.mark.parametrize(
    ("expression", "after"),
    [
        ("0 0 0 30 2 ?", "1970-01-01"),
        ("0 0 0 1 1 ? 2020", "2020-01-01"),
        ("* * * * * ?", "2099-12-31T23:59:59"),
        ("* * * * * ?", "9999-01-01"),
    ],
)
def test_never_again_is_none(expression: str, after: str) -> None:
    assert parse_cron(expression).next_after(ms(after)) is None


def test_before_1970_is_1970() -> None:
    assert parse_cron("* * * * * ?").next_after(-5_000) == 0


@pytest.mark.parametrize(
    ("expression", "field", "said"),
    [
        ("60 0 0 * * ?", "seconds", "write 0 to 59"),
        ("0 60 0 * * ?", "minutes", "write 0 to 59"),
        ("0 0 24 * * ?", "hours", "write 0 to 23"),
        ("0 0 0 0 * ?", "day of month", "write 1 to 31"),
        ("0 0 0 1 13 ?", "month", "write 1 to 12 or JAN to DEC"),
        ("0 0 0 ? * 0", "day of week", "Sunday is 1"),
        ("0 0 0 ? * 8", "day of week", "write 1 to 7 or SUN to SAT"),
        ("0 0 0 ? * JAN", "day of week", "SUN to SAT"),
        ("0 0 0 1 1 ? 1969", "year", "write 1970 to 2099"),
        ("0 0 0 1 1 ? 2030-2028", "year", "write 2028-2030"),
        ("? 0 0 * * ?", "seconds", "write *"),
        ("0 0 0 * ? ?", "month", "write *"),
        ("0/0 0 0 * * ?", "seconds", "1 to 60"),
        ("0/61 0 0 * * ?", "seconds", "1 to 60"),
        ("0/x 0 0 * * ?", "seconds", "after the /"),
        ("0, 0 0 * * ?", "seconds", "a value is missing"),
        ("1- 0 0 * * ?", "seconds", "a value is missing"),
        ("1-2-3 0 0 * * ?", "seconds", "no value"),
        ("٣ 0 0 * * ?", "seconds", "no value"),
        ("0 0 0 ? * ?", "day of month", "both"),
        ("0 0 0 * * *", "day of week", "write ? for the day of week"),
        ("0 0 0 1 * MON", "day of week", "write ? for the day of month"),
        ("0 0 0 L,5 * ?", "day of month", "stand alone"),
        ("0 0 0 1-5W * ?", "day of month", "stand alone"),
        ("0 0 0 L-31 * ?", "day of month", "L-0 to L-30"),
        ("0 0 0 32W * ?", "day of month", "1 to 31"),
        ("0 0 0 ? * 6L,2", "day of week", "write"),
        ("0 0 0 ? * 2,6L", "day of week", "stand alone"),
        ("0 0 0 ? * 2#1,3#1", "day of week", "stand alone"),
        ("0 0 0 ? * 2#6", "day of week", "1 to 5"),
        ("0 0 0 ? * 9#1", "day of week", "1 to 7"),
        ("0 0 * * ?", "expression", "put the seconds in front"),
        ("", "expression", "seconds minutes hours"),
        ("0 0 0 * * ? 2026 1", "expression", "6 or 7"),
        ("0 " * MAX_CRON_CHARACTERS, "expression", "at most"),
    ],
)
def test_a_refusal_names_field_and_remedy(expression: str, field: str, said: str) -> None:
    with pytest.raises(InvalidCron) as raised:
        parse_cron(expression)
    [problem] = raised.value.problems
    assert problem.field == field
    assert said in f"{problem.message}; {problem.hint}"


def test_all_problems_come_at_once() -> None:
    with pytest.raises(InvalidCron, match="3 problems") as raised:
        parse_cron("61 0 0 L,1 * ? 1")
    assert [one.field for one in raised.value.problems] == ["seconds", "year", "day of month"]


@pytest.mark.parametrize(
    ("expression", "frequency", "runs"),
    [
        ("0 15 2 * * ?", "daily", 1),
        ("0 15 2 ? * *", "daily", 1),
        ("0 15 2 ? * MON-FRI", "weekly", 1),
        ("0 0 2,14 L * ?", "monthly", 2),
        ("0 0/15 2 ? * 2#1", "monthly", 4),
        ("0 0 2 1 1,7 ?", "yearly", 1),
    ],
)
def test_how_often_it_runs(expression: str, frequency: str, runs: int) -> None:
    cron = parse_cron(expression)
    assert (cron.frequency, cron.runs_per_day) == (frequency, runs)
