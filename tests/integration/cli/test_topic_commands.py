"""generate, produce and tail as processes, on a real Kafka."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from app.adapters.cli.clients import KafkaAccess, start_reader
from app.adapters.kafka.topics import TopicPlan, ensure_topics
from app.domain.errors import ConfigurationError, Unavailable
from app.domain.partitioning import partition_of
from tests.services import LocalKafka, Names

pytestmark = pytest.mark.kafka

PARTITIONS = 4


@pytest.fixture
async def access(kafka: LocalKafka, names: Names) -> KafkaAccess:
    options = {"bootstrap_servers": kafka.bootstrap}
    await ensure_topics(options, TopicPlan(names.topic_prefix, PARTITIONS))
    return KafkaAccess(options, names.topic_prefix)


def environment(access: KafkaAccess) -> dict[str, str]:
    return {
        **os.environ,
        "SEG_KAFKA_BOOTSTRAP_SERVERS": access.servers,
        "SEG_TOPIC_PREFIX": access.topic_prefix,
        "SEG_DEFAULT_ORG_ID": "o@AdobeOrg",
        "SEG_LOG_LEVEL": "warning",
    }


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "app", *arguments]


async def run(access: KafkaAccess, *arguments: str, given: str = "") -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *command(*arguments),
        env=environment(access),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(process.communicate(given.encode()), 30)
    assert process.returncode is not None
    return process.returncode, output.decode(), errors.decode()


async def updates(access: KafkaAccess, count: int) -> list[Any]:
    reader = await start_reader(access, access.topic("profile-updates"), from_beginning=True)
    found: list[Any] = []
    try:
        async with asyncio.timeout(20):
            while len(found) < count:
                for batch in (await reader.getmany(timeout_ms=200)).values():
                    found += batch
    finally:
        await reader.stop()
    return found


async def test_generated_updates_are_where_their_profile_lives(access: KafkaAccess) -> None:
    status, output, errors = await run(
        access, "generate", "--count", "500", "--rate", "5000", "--profiles", "50"
    )

    assert (status, errors) == (0, "")
    assert "500 updates sent" in output
    found = await updates(access, 500)
    assert len(found) == 500
    for record in found:
        profile_id = json.loads(record.value)["profileId"]
        assert record.key.decode() == profile_id
        assert record.partition == partition_of(profile_id, PARTITIONS)
    assert len({record.partition for record in found}) == PARTITIONS


async def test_a_generator_stops_on_a_signal(access: KafkaAccess) -> None:
    process = await asyncio.create_subprocess_exec(
        *command("generate", "--rate", "500"),
        env=environment(access),
        stdout=subprocess.PIPE,
    )
    await updates(access, 20)
    process.send_signal(signal.SIGINT)
    output, _ = await asyncio.wait_for(process.communicate(), 20)

    assert process.returncode == 0
    sent = int(output.split()[0].replace(b",", b""))
    assert len(await updates(access, sent)) == sent


async def test_good_lines_are_produced_and_bad_ones_told(
    access: KafkaAccess, tmp_path: Path
) -> None:
    path = tmp_path / "updates.jsonl"
    good = '{"profileId": "p-1", "attributes": {"n": 1}}'
    path.write_text(f"{good}\n\n{{\n{good}\n{{}}\n")

    status, output, errors = await run(access, "produce", str(path))

    assert status == 1
    assert "2 updates sent" in output
    assert "line 3: not JSON" in errors
    assert "line 5: no profileId" in errors
    found = await updates(access, 2)
    assert [record.value.decode() for record in found] == [good, good]
    assert {record.partition for record in found} == {partition_of("p-1", PARTITIONS)}


async def test_standard_input_is_produced(access: KafkaAccess) -> None:
    lines = "".join(f'{{"profileId": "p-{n}", "event": {{}}}}\n' for n in range(3_000))

    status, output, errors = await run(access, "produce", given=lines)

    assert (status, errors) == (0, "")
    assert "3,000 updates sent" in output
    assert len(await updates(access, 3_000)) == 3_000


async def produce_changes(access: KafkaAccess, *, commit: bool, profile_id: str) -> None:
    producer = AIOKafkaProducer(
        **access.options, transactional_id=f"{access.topic_prefix}{profile_id}"
    )
    await producer.start()
    try:
        await producer.begin_transaction()
        value = {"profileId": profile_id, "segmentId": "s", "status": "realized", "sequence": 1}
        await producer.send_and_wait(
            access.topic("membership-changes"),
            json.dumps(value).encode(),
            key=profile_id.encode(),
            headers=[("batch", b"0/1/2/3")],
        )
        await (producer.commit_transaction() if commit else producer.abort_transaction())
    finally:
        await producer.stop()


async def test_tail_shows_what_was_committed_of_one_profile(access: KafkaAccess) -> None:
    await produce_changes(access, commit=False, profile_id="p-1")
    await produce_changes(access, commit=True, profile_id="p-2")
    await produce_changes(access, commit=True, profile_id="p-3")

    status, output, _ = await run(
        access, "tail", "changes", "--from-beginning", "--json", "--count", "2"
    )
    assert status == 0
    shown = [json.loads(line) for line in output.splitlines()]
    assert sorted(record["key"] for record in shown) == ["p-2", "p-3"]
    assert shown[0]["headers"] == {"batch": "0/1/2/3"}

    _, output, _ = await run(
        access, "tail", "changes", "--from-beginning", "--count", "1", "--profile", "p-3"
    )
    assert "+ p-3  s  realized" in output


async def test_tail_begins_at_the_end_unless_told_otherwise(access: KafkaAccess) -> None:
    await produce_changes(access, commit=True, profile_id="p-old")
    reader = await start_reader(access, access.topic("membership-changes"), from_beginning=False)
    try:
        await produce_changes(access, commit=True, profile_id="p-new")
        record = await asyncio.wait_for(reader.getone(), 20)
    finally:
        await reader.stop()
    assert record.key == b"p-new"


async def test_a_missing_topic_is_named_with_the_remedy(kafka: LocalKafka, names: Names) -> None:
    access = KafkaAccess({"bootstrap_servers": kafka.bootstrap}, names.topic_prefix)
    with pytest.raises(ConfigurationError, match=r"membership-changes.*segmentation topics"):
        await start_reader(access, access.topic("membership-changes"), from_beginning=True)


async def test_an_unreachable_kafka_is_named(unused_port: int) -> None:
    access = KafkaAccess({"bootstrap_servers": f"127.0.0.1:{unused_port}"})
    with pytest.raises(Unavailable, match=f"127.0.0.1:{unused_port}"):
        await start_reader(access, access.topic("membership-changes"), from_beginning=True)


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
    return port
