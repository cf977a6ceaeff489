"""The Faust app of a worker: it keeps the group, and hands batches to the stream."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable
from typing import Any, cast

import faust
from faust.app.base import BootStrategy
from yarl import URL

from app.adapters.kafka.consumer_thread import ConsumerOptions
from app.adapters.kafka.transport import BatchTransport, PollGate, RecordBatch
from app.adapters.kafka.worker_options import WorkerOptions


class _Boot(BootStrategy):
    """Faust starts no producer of its own: each partition has one."""

    enable_kafka_producer = False
    enable_web = False


class _PassThrough(faust.Schema[Any, Any]):
    """Hands the batch on as it is: there is nothing to decode."""

    def loads_key(self, app: Any, message: Any, **options: Any) -> Any:
        return None

    def loads_value(self, app: Any, message: Any, **options: Any) -> Any:
        return message.value


class FaustApp(faust.App):
    """An app without tables, producer and web server."""

    BootStrategy = _Boot

    def _create_directories(self) -> None:
        """Make no folders: they are for tables, and would outlive a worker that is killed."""


def make_app(
    options: WorkerOptions, gate: PollGate, offer: Callable[[RecordBatch], None]
) -> faust.App:
    """Return an app that polls when `gate` says so, and hands every batch to `offer`."""
    servers: list[str] | str = options.client["bootstrap_servers"]
    if isinstance(servers, str):
        servers = servers.split(",")
    urls = [URL(f"kafka://{server}") for server in servers]
    app = FaustApp(
        options.application_id,
        broker=urls,
        store="memory://",
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        stream_wait_empty=False,
        # Of batches, not records: what one poll brings.
        stream_buffer_maxsize=4_096,
    )
    transport = BatchTransport(urls, app)
    transport.gate = gate
    transport.options = ConsumerOptions(
        options.client,
        options.application_id,
        options.topics.updates,
        session_timeout_ms=options.session_timeout_ms,
        max_poll_records=options.stream.max_records,
    )
    app.transport = transport
    topic = app.topic(options.topics.updates, schema=_PassThrough(), acks=False)

    async def take(batches: Any) -> None:
        async for polled in cast(AsyncIterable[list[RecordBatch]], batches.noack()):
            for batch in polled:
                offer(batch)

    app.agent(topic, name="profile-updates")(take)
    return app
