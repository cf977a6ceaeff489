from __future__ import annotations

from app.domain.text import printable


def test_text_of_others_keeps_its_length_and_loses_its_powers() -> None:
    given = "a\x1b[31m\tb\u202ec\u00a0d\r\n☃é"
    shown = printable(given)
    assert shown == "a·[31m b·c d··☃é"
    assert len(shown) == len(given)
