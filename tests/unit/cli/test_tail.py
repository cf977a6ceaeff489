from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from app.adapters.cli.tail import Source, as_json, as_text, is_of_profile

CHANGE = {
    "profileId": "p-1",
    "segmentId": "s-1",
    "status": "realized",
    "sequence": 3,
    "cause": {"kind": "event", "eventId": "e-9"},
}


@dataclass
class Made:
    value: bytes | None = None
    key: bytes | None = b"p-1"
    headers: tuple[tuple[str, bytes], ...] = ()
    topic: str = "t"
    partition: int = 2
    offset: int = 41
    timestamp: int = 1_767_607_200_007


def record(value: Any = None, **changes: Any) -> Made:
    encoded = value if isinstance(value, bytes | None) else orjson.dumps(value)
    return Made(value=encoded, **changes)


@pytest.mark.parametrize(
    ("source", "key", "mine"),
    [
        (Source.CHANGES, b"p-1", True),
        (Source.CHANGES, b"p-10", False),
        (Source.CHANGES, None, False),
        (Source.MEMBERSHIPS, b"o/prod/p-1", True),
        (Source.MEMBERSHIPS, b"o/prod/x/p-1", False),
        (Source.DEAD_LETTERS, b"p-1", True),
    ],
)
def test_a_record_belongs_to_the_profile_of_its_key(
    source: Source, key: bytes | None, mine: bool
) -> None:
    assert is_of_profile(source, record(key=key), "p-1") is mine


def test_a_change_reads_well() -> None:
    text = as_text(Source.CHANGES, record(CHANGE))
    assert text == "10:00:00.007  2:41        + p-1  s-1  realized  #3  by event e-9"


def test_memberships_name_the_segments_the_profile_is_in() -> None:
    held = {"a": {"status": "realized"}, "b": {"status": "exited"}}
    value = {"segmentMembership": {"ups": held}}
    assert as_text(Source.MEMBERSHIPS, record(value, key=b"o/prod/p-1")).endswith(
        "o/prod/p-1  in 1 of 2: a"
    )


def test_a_tombstone_is_a_deletion() -> None:
    assert as_text(Source.MEMBERSHIPS, record(key=b"o/prod/p-1")).endswith("o/prod/p-1  (deleted)")


def test_a_dead_letter_says_why_and_from_where() -> None:
    headers = (
        ("error-code", b"invalid-json"),
        ("message", b"line 1"),
        ("topic", b"in"),
        ("partition", b"4"),
        ("offset", b"17"),
    )
    text = as_text(Source.DEAD_LETTERS, record(b"{\x1b[2J\xff", headers=headers))
    assert "invalid-json  in/4@17  line 1" in text
    assert "\x1b" not in text


def test_a_long_dead_letter_is_cut() -> None:
    assert len(as_text(Source.DEAD_LETTERS, record(b"x" * 10_000))) < 500


@pytest.mark.parametrize("source", list(Source))
@pytest.mark.parametrize("value", [None, b"", b"\xff", b"[]", b"7", b"{}"])
def test_any_value_can_be_shown(source: Source, value: bytes | None) -> None:
    assert as_text(source, record(value))
    assert orjson.loads(as_json(record(value)))["offset"] == 41


def test_json_keeps_key_headers_and_value() -> None:
    shown = orjson.loads(as_json(record(CHANGE, headers=(("batch", b"2/1/9/0"),))))
    assert shown["key"] == "p-1"
    assert shown["headers"] == {"batch": "2/1/9/0"}
    assert shown["value"] == CHANGE
