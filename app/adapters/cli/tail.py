"""`segmentation tail`: follow an output topic as a consumer of it would (`read_committed`)."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Protocol

import orjson
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from app.adapters.cli.clients import KafkaAccess, start_reader, stop_on_signal
from app.adapters.cli.output import quiet_on_closed_pipe
from app.domain.errors import Unavailable
from app.domain.model import JsonObject

_POLL_MS = 200
_MAX_TEXT = 300


class Source(StrEnum):
    """What can be followed."""

    CHANGES = "changes"
    MEMBERSHIPS = "memberships"
    DEAD_LETTERS = "dead-letters"


_TOPICS = {
    Source.CHANGES: "membership-changes",
    Source.MEMBERSHIPS: "memberships",
    Source.DEAD_LETTERS: "dead-letters",
}


class Record(Protocol):
    """The part of a consumed record that is shown; `timestamp` in epoch ms."""

    @property
    def topic(self) -> str: ...  # noqa: D102
    @property
    def partition(self) -> int: ...  # noqa: D102
    @property
    def offset(self) -> int: ...  # noqa: D102
    @property
    def timestamp(self) -> int: ...  # noqa: D102
    @property
    def key(self) -> bytes | None: ...  # noqa: D102
    @property
    def value(self) -> bytes | None: ...  # noqa: D102
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Selection:
    """Which records are shown, and how.

    Attributes:
        count: Stop after so many; None goes on until a signal.
        profile: Only records of this profile id.
        json: One JSON object per line instead of readable text.
    """

    source: Source = Source.CHANGES
    from_beginning: bool = False
    count: int | None = None
    profile: str | None = None
    json: bool = False


def is_of_profile(source: Source, record: Record, profile_id: str) -> bool:
    """Whether a record belongs to a profile; told by its key (docs/topics.md)."""
    if record.key is None:
        return False
    key = record.key.decode(errors="replace")
    if source is Source.MEMBERSHIPS:
        return key.split("/", 2)[2:] == [profile_id]
    return key == profile_id


def as_json(record: Record) -> str:
    """Return a record as one line of JSON: position, key, headers and value."""
    shown: JsonObject = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "key": None if record.key is None else record.key.decode(errors="replace"),
        "headers": {name: value.decode(errors="replace") for name, value in record.headers},
        "value": _parsed(record.value),
    }
    return orjson.dumps(shown).decode()


def _parsed(value: bytes | None) -> Any:
    """Return JSON as what it says, and anything else (a dead letter may hold it) as text."""
    if value is None:
        return None
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return value.decode(errors="replace")


def as_text(source: Source, record: Record) -> str:
    """Return a record as one line for people."""
    head = f"{_time(record.timestamp)}  {record.partition}:{record.offset:<8}"
    return f"{head}  {_DESCRIBE[source](record)}"


def _time(at_ms: int) -> str:
    at = datetime.fromtimestamp(at_ms // 1000, UTC)
    return f"{at:%H:%M:%S}.{at_ms % 1000:03d}"


def _change(record: Record) -> str:
    value = _parsed(record.value)
    if not isinstance(value, dict):
        return _shortened(str(value))
    sign = {"realized": "+", "exited": "-"}.get(value.get("status", ""), "?")
    cause = value.get("cause") or {}
    by = " ".join(str(cause[name]) for name in ("kind", "eventId") if cause.get(name))
    return (
        f"{sign} {value.get('profileId')}  {value.get('segmentId')}  {value.get('status')}"
        f"  #{value.get('sequence')}  by {by}"
    )


def _memberships(record: Record) -> str:
    key = (record.key or b"").decode(errors="replace")
    value = _parsed(record.value)
    if not isinstance(value, dict):
        return f"{key}  (deleted)" if value is None else _shortened(str(value))
    segments = value.get("segmentMembership", {}).get("ups", {})
    inside = [name for name, held in segments.items() if held.get("status") != "exited"]
    listed = ", ".join(inside) or "none"
    return f"{key}  in {len(inside)} of {len(segments)}: {listed}"


def _dead_letter(record: Record) -> str:
    headers = {name: value.decode(errors="replace") for name, value in record.headers}
    where = f"{headers.get('topic')}/{headers.get('partition')}@{headers.get('offset')}"
    original = (record.value or b"").decode(errors="replace")
    return (
        f"{headers.get('error-code')}  {where}  {headers.get('message')}\n"
        f"    {_shortened(original)}"
    )


def _shortened(text: str) -> str:
    printable = "".join(letter if letter.isprintable() else "\N{MIDDLE DOT}" for letter in text)
    return printable if len(printable) <= _MAX_TEXT else printable[: _MAX_TEXT - 1] + "…"


_DESCRIBE: dict[Source, Callable[[Record], str]] = {
    Source.CHANGES: _change,
    Source.MEMBERSHIPS: _memberships,
    Source.DEAD_LETTERS: _dead_letter,
}


def run(access: KafkaAccess, selection: Selection) -> int:
    """Show records until the count is reached or a signal comes.

    Returns:
        Exit status 0.

    Raises:
        Unavailable: If Kafka does not answer.
        ConfigurationError: If the topic does not exist.
    """

    def write(text: str) -> None:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    try:
        with quiet_on_closed_pipe():
            asyncio.run(_run(access, selection, write))
    except KafkaError as error:
        raise Unavailable(f"Kafka at {access.servers} stopped answering: {error}") from error
    return 0


async def _run(access: KafkaAccess, selection: Selection, write: Callable[[str], None]) -> None:
    consumer = await start_reader(
        access, access.topic(_TOPICS[selection.source]), from_beginning=selection.from_beginning
    )
    try:
        with stop_on_signal() as stop:
            await _follow(consumer, selection, write, stop)
    finally:
        await consumer.stop()


async def _follow(
    consumer: AIOKafkaConsumer,
    selection: Selection,
    write: Callable[[str], None],
    stop: asyncio.Event,
) -> None:
    shown = 0
    while not stop.is_set():
        batches = await consumer.getmany(timeout_ms=_POLL_MS)
        for record in (record for batch in batches.values() for record in batch):
            if selection.profile and not is_of_profile(selection.source, record, selection.profile):
                continue
            text = as_json(record) if selection.json else as_text(selection.source, record)
            write(text)
            shown += 1
            if shown == selection.count:
                return
