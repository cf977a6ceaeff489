"""How problems are found, told and shown."""

from __future__ import annotations

import pytest

from app.pql.diagnosis import diagnose
from app.pql.errors import PqlError, render
from app.pql.limits import MAX_CHARACTERS
from app.pql.parser import parse
from app.pql.render import place_of


@pytest.mark.parametrize(
    ("source", "start", "end", "shown"),
    [
        ("age == 3", 5, 6, "age == 3\n     ^"),
        ("a\n\tbb\nc", 3, 5, " bb\n ^^"),
        # Only what is on the first line of it.
        ("a and\nb", 2, 7, "a and\n  ^^^"),
        ("a", 1, 1, "a\n ^"),
        ("", 0, 0, "\n^"),
        ("a\n", 2, 2, "\n^"),
        # What takes two cells is underlined with two.
        ("漢字 = x", 1, 2, "漢字 = x\n  ^^"),
        ("a\x1b[2J", 0, 1, "a·[2J\n^"),
    ],
)
def test_a_place_is_underlined(source: str, start: int, end: int, shown: str) -> None:
    assert place_of(source, start, end).excerpt == shown


@pytest.mark.parametrize("start", [0, 39, 40, 149, 298, 299])
def test_a_long_line_is_cut_around_the_place(start: int) -> None:
    source = "".join(chr(ord("a") + number % 26) for number in range(300))
    text, caret = place_of(source, start, start + 1).excerpt.split("\n")
    assert len(text) <= 74
    assert text[len(caret) - 1] == source[start]
    assert text.startswith("…") == (start > 40)
    assert text.strip("…") in source


def problems(text: str) -> list[tuple[str, str, str]]:
    """Return what is underlined of each problem, its message and its hint."""
    with pytest.raises(PqlError) as caught:
        parse(text)
    found = diagnose(text, caught.value)
    return [(text[one.span.start : one.span.end], one.message, one.hint) for one in found]


def test_the_problems_of_all_parts_are_told_at_once() -> None:
    found = problems("a == 1 and\nb.contians(1) or (c = 3")

    assert [where for where, _, _ in found] == ["=", "b.contians(1)", ""]
    assert found[1][2] == "did you mean contains?"
    assert found[2][2] == "`(` of line 2, column 18 is not closed"


@pytest.mark.parametrize(
    ("text", "count"),
    [
        # The first problem is the end of what can be known.
        ("a occurs between today and and b & c", 2),
        ("(a == 1 and b == 2)", 1),
        ("a == 1) and b == 2", 1),
        # What one part binds is not unknown in another.
        ("exists var1 from xEvent where a == 1 and var1.b > 1", 1),
        ('a = "x and b == 2', 1),
        ("x and and y", 1),
        ("a == 1" * MAX_CHARACTERS, 1),
    ],
)
def test_nothing_is_told_that_another_part_may_explain(text: str, count: int) -> None:
    assert len(problems(text)) == count


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("a ocurs today", "did you mean occurs?"),
        ("a AMD b", "did you mean and?"),
        ("a occurs <= 3 dayz before now", "did you mean day?"),
        ("a occurs <= 3 days befor now", "did you mean before?"),
        ("chain(xEvent, timestamp, [A: WHT(a)])", "did you mean what?"),
        ("xEvent[a = 1", "`[` of line 1, column 7 is not closed"),
        ("(a]", "`(` of line 1, column 1 is not closed"),
        ("a)", "remove it, or open it before"),
    ],
)
def test_the_remedy_names_what_was_meant(text: str, hint: str) -> None:
    assert [found for _, _, found in problems(text)] == [hint]


def test_a_bracket_after_a_character_that_starts_nothing_is_seen() -> None:
    found = problems("a &(b = 1 and c = 2) and d +")

    assert [where for where, _, _ in found] == ["&", ""]


def test_a_problem_is_shown_in_its_line() -> None:
    text = "a = 1\nand b ocurs today"
    with pytest.raises(PqlError) as caught:
        parse(text)

    assert render(caught.value.problems[0], text).split("\n") == [
        "line 2, column 7: expected an operator or the end, found `ocurs`",
        "  and b ocurs today",
        "        ^^^^^",
        "  hint: did you mean occurs?",
    ]
