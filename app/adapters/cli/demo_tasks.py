"""What runs beside the demo's view: definitions, traffic, changes, lag, a watch on the stack."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import httpx
import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from app.adapters.cli.clients import (
    KafkaAccess,
    admin_client,
    now_ms,
    start_producer,
    topic_partitions,
)
from app.adapters.cli.demo_model import DemoModel, SeenChange
from app.adapters.cli.generate import KafkaSink, Traffic, pour
from app.adapters.cli.local_stack import DemoFailed, LocalStack, Ready
from app.adapters.cli.samples import SAMPLES
from app.adapters.cli.shop import Shop, ShopUpdate
from app.domain.model import JsonObject

_DEFINITIONS = "/data/core/ups/segment/definitions"
_HTTP_TIMEOUT_S = 20.0
_POLL_MS = 50
_LAG_EVERY_S = 0.5
_WATCH_EVERY_S = 0.5
_NAME_TAKEN = 422

OnChange = Callable[[SeenChange], None]


async def create_samples(
    ready: Ready, model: DemoModel, transport: httpx.AsyncBaseTransport | None = None
) -> None:
    """Create the sample definitions through the REST API and show them.

    Args:
        ready: Where the API is, and the credential.
        model: Gets a row for each.
        transport: In place of the network.

    Raises:
        DemoFailed: If the API refuses one or does not answer.
    """
    ids: dict[str, str] = {}
    async with httpx.AsyncClient(
        base_url=ready.api,
        headers=ready.headers(),
        timeout=_HTTP_TIMEOUT_S,
        transport=transport,
        trust_env=False,  # a proxy has no business between this and its own child
    ) as client:
        for sample in SAMPLES:
            created = await _create(client, sample.body(ids))
            ids[sample.key] = created["id"]
            model.add_segment(created["id"], sample.name, sample.shows)


async def _create(client: httpx.AsyncClient, body: JsonObject) -> JsonObject:
    try:
        response = await client.post(_DEFINITIONS, json=body)
        if response.status_code == _NAME_TAKEN:
            # A Kafka and Redis of somebody's own may hold the samples of an earlier demo.
            name = f"{body['name']} ({now_ms():x})"
            response = await client.post(_DEFINITIONS, json={**body, "name": name})
    except httpx.HTTPError as error:
        raise DemoFailed(f"the API at {client.base_url} does not answer: {error!r}") from error
    if response.status_code != httpx.codes.OK:
        raise DemoFailed(
            f"the API refused the definition {body['name']!r} with status"
            f" {response.status_code}: {response.text}"
        )
    created: JsonObject = response.json()
    return created


async def send_traffic(
    access: KafkaAccess, traffic: Traffic, model: DemoModel, stop: asyncio.Event
) -> None:
    """Generate until the traffic is over or `stop` is set."""

    def note(update: ShopUpdate, at_ms: int) -> None:
        model.sent(update.body["eventId"], at_ms)

    shop = Shop(
        seed=traffic.seed,
        profiles=traffic.profiles,
        start_ms=now_ms(),
        org_id=access.org_id,
        sandbox_name=access.sandbox_name,
    )
    producer = await start_producer(access)
    try:
        sink = KafkaSink(producer, access.topic("profile-updates"))
        await pour(shop, sink, traffic, stop, note)
    finally:
        await producer.stop()


async def read_changes(consumer: AIOKafkaConsumer, model: DemoModel, on_change: OnChange) -> None:
    """Count the membership changes of the demo's segments; runs until it is cancelled."""
    while True:
        batches = await consumer.getmany(timeout_ms=_POLL_MS)
        at_ms = now_ms()
        for record in (record for batch in batches.values() for record in batch):
            change = orjson.loads(record.value)
            if change["segmentId"] not in model.segments:
                continue
            due_ms = epoch_ms(change["lastQualificationTime"])
            seen = model.changed(change, at_ms, due_ms)
            if seen is not None:
                on_change(seen)


def epoch_ms(text: str) -> int:
    """Return an ISO 8601 timestamp as epoch ms."""
    return round(datetime.fromisoformat(text).timestamp() * 1_000)


async def watch_lag(access: KafkaAccess, model: DemoModel) -> None:
    """Keep the model's lag up to date; runs until it is cancelled."""
    partitions = await topic_partitions(access, access.topic("profile-updates"))
    reader = AIOKafkaConsumer(**access.options, enable_auto_commit=False)
    await reader.start()
    try:
        async with admin_client(access) as admin:
            while True:
                model.lag = await _lag(admin, reader, access.application_id, partitions)
                await asyncio.sleep(_LAG_EVERY_S)
    finally:
        await reader.stop()


async def _lag(
    admin: AIOKafkaAdminClient,
    reader: AIOKafkaConsumer,
    group: str,
    partitions: list[TopicPartition],
) -> int:
    # First the committed ones: what is produced between the two looks must not make it negative.
    committed = await admin.list_consumer_group_offsets(group, partitions=partitions)
    ends: dict[TopicPartition, int] = await reader.end_offsets(partitions)
    return sum(
        max(0, end - max(0, committed[partition].offset if partition in committed else 0))
        for partition, end in ends.items()
    )


async def watch_stack(stack: LocalStack, model: DemoModel) -> None:
    """Note in the model when a process died; runs until it is cancelled.

    Raises:
        DemoFailed: If the whole stack is gone.
    """
    while True:
        trouble = stack.trouble()
        if trouble and not stack.is_running:
            raise DemoFailed(trouble)
        model.trouble = model.trouble or trouble
        await asyncio.sleep(_WATCH_EVERY_S)


async def run_beside(main: Awaitable[Any], *others: Awaitable[Any]) -> None:
    """Wait for `main`; the others end with it, and an error of any of them ends all.

    Raises:
        Exception: The first that any of them raised.
    """
    tasks = [asyncio.ensure_future(one) for one in (main, *others)]
    pending: set[asyncio.Future[Any]] = set(tasks)
    try:
        while not tasks[0].done():
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
