import asyncio
import os
from pathlib import Path

import orjson
import pytest

from app.adapters.cli.lines import opened, read_lines
from app.adapters.cli.produce import read_line
from app.domain.errors import ConfigurationError, InvalidUpdate

LIMIT = 1_000


def test_the_key_is_the_profile_id_and_the_value_stays_as_it_is() -> None:
    text = b'  {"profileId": "p-1",  "attributes": {"a": 1.0}}\r\n'
    line = read_line(text, LIMIT)
    assert line is not None
    assert line.key == b"p-1"
    assert line.value == text.strip()


def test_an_envelope_is_keyed_by_its_primary_identity() -> None:
    entity = {
        "identityMap": {
            "Phone": [{"id": "1"}],
            "Email": [{"id": "x@example.com"}, {"id": "ada@example.com", "primary": True}],
        }
    }
    line = read_line(orjson.dumps({"header": {}, "body": {"xdmEntity": entity}}), LIMIT)
    assert line is not None
    assert line.key == b"ada@example.com"


@pytest.mark.parametrize("text", [b"", b"  \n", b"\r\n"])
def test_an_empty_line_is_skipped(text: bytes) -> None:
    assert read_line(text, LIMIT) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"profileId": "p", "attributes": {"a": NaN}}', "not JSON"),
        (b"[1]", "not a JSON object"),
        (b'{"event": {}}', "no profileId"),
        (b'{"profileId": "", "event": {}}', "no profileId"),
        (b'{"profileId": 7, "event": {}}', "no profileId"),
        (b'{"profileId": "p"}', "neither attributes nor event"),
        (b'{"profileId": "p", "event": null}', "neither attributes nor event"),
        (b'{"header": {}, "body": {}}', "primary identity"),
        (b'{"header": {}, "body": {"xdmEntity": {"identityMap": {"E": [7]}}}}', "primary identity"),
        (b'{"profileId": "' + b"p" * LIMIT + b'", "event": {}}', "SEG_MAX_RECORD_BYTES"),
    ],
)
def test_a_bad_line_is_refused_with_the_remedy(text: bytes, said: str) -> None:
    with pytest.raises(InvalidUpdate, match=said):
        read_line(text, LIMIT)


async def lines_of(descriptor: int, stop: asyncio.Event | None = None) -> list[bytes]:
    return [line async for line in read_lines(descriptor, stop or asyncio.Event())]


async def test_lines_of_a_file_survive_chunks_and_a_missing_line_end(tmp_path: Path) -> None:
    wanted = [b"%d" % number * 50 for number in range(5_000)]
    path = tmp_path / "updates.jsonl"
    path.write_bytes(b"\n".join(wanted))
    with opened(path) as descriptor:
        assert await lines_of(descriptor) == wanted


async def test_a_waiting_input_can_be_stopped() -> None:
    reading, writing = os.pipe()
    stop = asyncio.Event()
    try:
        os.write(writing, b"one\n")
        lines = read_lines(reading, stop)
        assert await anext(lines) == b"one"
        stop.set()
        with pytest.raises(StopAsyncIteration):
            await anext(lines)
    finally:
        os.close(writing)
        os.close(reading)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="gone"), opened(tmp_path / "gone"):
        pass
