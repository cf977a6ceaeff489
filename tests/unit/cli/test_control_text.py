from __future__ import annotations

import pytest

from app.adapters.cli.control.text import pointed, printable


def test_text_of_others_keeps_its_length_and_loses_its_powers() -> None:
    given = "a\x1b[31m\tb\u202ec\u00a0d\r\n☃é"
    shown = printable(given)
    assert shown == "a·[31m b·c d··☃é"
    assert len(shown) == len(given)


@pytest.mark.parametrize(
    ("source", "line", "column", "shown"),
    [
        ("age == 3", 1, 6, ["age == 3", "     ^"]),
        ("a\n\tb\nc", 2, 2, [" b", " ^"]),
        ("a", 1, 2, ["a", " ^"]),
        ("", 1, 1, ["", "^"]),
        ("a\n", 2, 1, ["", "^"]),
        # What takes two cells moves the caret by two.
        ("漢字 = 1", 1, 4, ["漢字 = 1", "     ^"]),
        ("a", 1, 3, []),
        ("a", 2, 1, []),
        ("a", 0, 1, []),
        ("a", 1, 0, []),
        ("", 1, 5, []),
    ],
)
def test_a_caret_stands_below_the_place(
    source: str, line: int, column: int, shown: list[str]
) -> None:
    assert pointed(source, line, column) == shown


@pytest.mark.parametrize("column", [1, 40, 41, 150, 299, 300, 301])
def test_a_long_line_is_cut_around_the_place(column: int) -> None:
    source = "".join(chr(ord("a") + number % 26) for number in range(300))
    text, caret = pointed(source, 1, column)
    assert len(text) <= 74
    assert caret.endswith("^")
    at = len(caret) - 1
    wanted = source[column - 1 : column]
    assert text[at : at + 1] == wanted
    assert text.startswith("…") == (column > 41)
    assert text.strip("…") in source
