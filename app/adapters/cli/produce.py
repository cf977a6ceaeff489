"""`segmentation produce`: JSON lines to the profile update topic."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from app.adapters.cli.clients import KafkaAccess, start_producer, stop_on_signal
from app.adapters.cli.lines import opened, read_lines
from app.domain.errors import InvalidUpdate, Unavailable
from app.domain.model import JsonObject

_IN_FLIGHT = 2_000
_REPORTED = 20

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Line:
    """One line that can be sent.

    Attributes:
        key: Record key: the profile id.
        value: The line as it was given; the service reads it, not what we made of it.
    """

    key: bytes
    value: bytes


@dataclass(slots=True)
class Tally:
    """What became of the lines.

    Attributes:
        bad: Lines that were refused, or that Kafka did not take.
    """

    sent: int = 0
    bad: int = 0


def read_line(text: bytes, max_bytes: int) -> Line | None:
    """Check one line as far as a producer can; the rest is the service's business.

    Args:
        text: One line, with or without its line end.
        max_bytes: Largest record the service accepts.

    Returns:
        None for an empty line.

    Raises:
        InvalidUpdate: Saying what is wrong and how to mend it.
    """
    text = text.strip()
    if not text:
        return None
    if len(text) > max_bytes:
        raise InvalidUpdate(
            f"{len(text):,} bytes are more than the {max_bytes:,} that the service accepts"
            " (SEG_MAX_RECORD_BYTES): split the update"
        )
    try:
        update = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidUpdate(f"not JSON: {error}") from error
    if not isinstance(update, dict):
        raise InvalidUpdate('not a JSON object: an update looks like {"profileId": …, "event": …}')
    return Line(_profile_id(update).encode(), text)


def _profile_id(update: JsonObject) -> str:
    if "header" in update or "body" in update:
        return _identity_of_envelope(update)
    profile_id = update.get("profileId")
    if not isinstance(profile_id, str) or not profile_id:
        raise InvalidUpdate(
            "no profileId, which becomes the record key: add a text that is not empty"
        )
    if update.get("attributes") is None and update.get("event") is None:
        raise InvalidUpdate("neither attributes nor event: one of them must be an object")
    return profile_id


def _identity_of_envelope(update: JsonObject) -> str:
    """Return the primary identity of a streaming-ingestion envelope."""
    body = update.get("body")
    entity = body.get("xdmEntity") if isinstance(body, dict) else None
    identities = entity.get("identityMap") if isinstance(entity, dict) else None
    namespaces = identities.values() if isinstance(identities, dict) else ()
    for namespace in namespaces:
        for identity in namespace if isinstance(namespace, list) else ():
            if isinstance(identity, dict) and identity.get("primary") is True:
                found = identity.get("id")
                if isinstance(found, str) and found:
                    return found
    raise InvalidUpdate(
        "an envelope without a primary identity, which becomes the record key: set"
        " body.xdmEntity.identityMap.<namespace>[].primary to true"
    )


def run(access: KafkaAccess, source: Path | None = None) -> int:
    """Send every line of a file, or of standard input, to the profile update topic.

    Bad lines are told with their number and left out; the others are sent.

    Args:
        access: Where Kafka is.
        source: None or `-` for standard input.

    Returns:
        Exit status: 1 if any line was bad or not delivered, else 0.

    Raises:
        ConfigurationError: If the file cannot be read.
        Unavailable: If Kafka does not answer.
    """

    def report(text: str) -> None:
        sys.stderr.write(text + "\n")

    tally = asyncio.run(_run(access, source, report))
    topic = access.topic("profile-updates")
    bad = f", {tally.bad:,} refused" if tally.bad else ""
    sys.stdout.write(f"{tally.sent:,} updates sent to {topic} on {access.servers}{bad}\n")
    return 1 if tally.bad else 0


async def _run(access: KafkaAccess, source: Path | None, report: Report) -> Tally:
    with opened(source) as descriptor:
        producer = await start_producer(access)
        try:
            with stop_on_signal() as stop:
                return await _produce(producer, access, read_lines(descriptor, stop), report)
        except KafkaError as error:
            raise Unavailable(
                f"Kafka at {access.servers} stopped taking records: {error}"
            ) from error
        finally:
            await producer.stop()


async def _produce(
    producer: AIOKafkaProducer, access: KafkaAccess, lines: AsyncIterator[bytes], report: Report
) -> Tally:
    topic, tally = access.topic("profile-updates"), Tally()
    under_way: dict[asyncio.Future[object], int] = {}
    number = 0
    async for text in lines:
        number += 1
        try:
            line = read_line(text, access.max_record_bytes)
        except InvalidUpdate as error:
            _refuse(tally, report, f"line {number}: {error.message}")
            continue
        if line is None:
            continue
        delivery = await producer.send(topic, key=line.key, value=line.value)
        under_way[delivery] = number
        if len(under_way) >= _IN_FLIGHT:
            await _settle(under_way, tally, report, asyncio.FIRST_COMPLETED)
    await _settle(under_way, tally, report, asyncio.ALL_COMPLETED)
    if tally.bad > _REPORTED:
        report(f"… and {tally.bad - _REPORTED:,} more")
    return tally


async def _settle(
    under_way: dict[asyncio.Future[object], int], tally: Tally, report: Report, return_when: str
) -> None:
    if not under_way:
        return
    done, _ = await asyncio.wait(under_way, return_when=return_when)
    for delivery in done:
        number = under_way.pop(delivery)
        error = delivery.exception()
        if error is None:
            tally.sent += 1
        else:
            _refuse(tally, report, f"line {number}: Kafka did not take it: {error}")


def _refuse(tally: Tally, report: Report, text: str) -> None:
    tally.bad += 1
    if tally.bad <= _REPORTED:
        report(text)
