"""What we change in aiokafka and expect of it, in one place.

`tests/unit/stream/test_library.py` notices when the library no longer is what this assumes.
"""

# ruff: noqa: SLF001 - what is patched is not public
from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from functools import wraps
from typing import Any

import aiokafka
from aiokafka import AIOKafkaProducer
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.consumer import group_coordinator
from aiokafka.consumer.fetcher import Fetcher, FetchResult
from aiokafka.errors import KafkaConnectionError, KafkaError, ProducerClosed
from aiokafka.producer import sender
from aiokafka.structs import TopicPartition

AIOKAFKA_VERSION = "0.14.0"
TRANSACTION_BACKOFF_S = 0.002


def shorten_transaction_backoff() -> None:
    """Let a transaction that follows another one begin after 2 ms, not 20 ms.

    The broker answers CONCURRENT_TRANSACTIONS until the markers of the last transaction are
    written, most often for less than 2 ms. Measured: 5 ms a transaction, not 25 ms.
    """
    if aiokafka.__version__ == AIOKAFKA_VERSION:
        sender.BACKOFF_OVERRIDE = TRANSACTION_BACKOFF_S


class _RawResults(OrderedDict[TopicPartition, Any]):
    """What a fetcher holds by partition; results in it hand out records as they were parsed."""

    def __setitem__(self, at: TopicPartition, result: Any) -> None:
        if type(result) is FetchResult:
            result._partition_records._consumer_record = _as_it_is
        super().__setitem__(at, result)


def _as_it_is(at: TopicPartition, record: Any) -> Any:
    return record


def hand_out_raw_records(fetcher: Fetcher) -> None:
    """Let one fetcher return the records that aiokafka's C code parsed, not copies of them.

    Both have offset, timestamp, key, value and headers; a raw one lacks topic and partition.
    Copying each into a frozen dataclass took half of the time of the thread that reads. Other
    consumers in the process are not touched, and with another version nothing is.
    """
    if aiokafka.__version__ == AIOKAFKA_VERSION and type(fetcher._records) is not _RawResults:
        raw = _RawResults()
        for at, result in fetcher._records.items():
            raw[at] = result
        fetcher._records = raw


def tell_broken_connections() -> None:
    """Let a request on a connection that is just being closed fail as one that broke.

    uvloop says so with a `RuntimeError`, where aiokafka expects an `OSError`: the routine that
    keeps the group ended with it, and with that the worker, when Kafka was killed at that moment.
    """
    if aiokafka.__version__ == AIOKAFKA_VERSION:
        for name in ("send", "_send_sasl_token"):
            given = getattr(AIOKafkaConnection, name)
            if not hasattr(given, "__wrapped__"):
                setattr(AIOKafkaConnection, name, _telling(given))


def _telling(send: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(send)
    def sent(connection: AIOKafkaConnection, *arguments: Any, **options: Any) -> Any:
        try:
            return send(connection, *arguments, **options)
        except RuntimeError as error:
            if not _is_of_kafka(error):
                raise
            connection.close(reason=CloseReason.CONNECTION_BROKEN)
            raise KafkaConnectionError(f"connection broken: {error}") from error

    return sent


def _is_of_kafka(error: BaseException | None) -> bool:
    """Tell whether an error says that Kafka was away; uvloop has one of its own for that."""
    if isinstance(error, KafkaError):
        return True
    return isinstance(error, RuntimeError) and "the handler is closed" in str(error)


class _UnderWay(set[Any]):
    """Batches under way; taking out one that is not among them is no error."""

    def remove(self, batch: Any) -> None:
        self.discard(batch)


class Producer(AIOKafkaProducer):  # type: ignore[misc] # has no types
    """A producer whose batches may fail while they wait to be sent again.

    aiokafka takes such a one out of the batches under way when it waits, and once more when it
    fails: asyncio then logs a stack trace for each. With another version nothing is changed.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if aiokafka.__version__ == AIOKAFKA_VERSION:
            self._message_accumulator._pending_batches = _UnderWay()


class _ErrorsOfKafkaInOneLine(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if _is_of_kafka(error):
            record.msg, record.args = f"{record.getMessage()}: {error!r}", ()
            record.exc_info = None
        return True


_ERRORS_IN_ONE_LINE = _ErrorsOfKafkaInOneLine()


def shorten_errors() -> None:
    """Let the producer's sender and the consumer's coordinator say in one line that Kafka failed.

    A connection that breaks while they look for a coordinator, or send a heartbeat, ends their
    routine with a stack trace in the log. The call that waits raises the same, and the partition
    is then taken over anew: for whoever runs the worker that Kafka was away is no defect of it.
    """
    sender.log.addFilter(_ERRORS_IN_ONE_LINE)
    group_coordinator.log.addFilter(_ERRORS_IN_ONE_LINE)


def ignore_unread_errors(loop: asyncio.AbstractEventLoop) -> None:
    """Keep the loop from complaining of Kafka's errors in futures that nobody reads.

    A failed transaction fails several futures inside aiokafka that it awaits on other paths only
    (of the transaction, and of each batch that waits to be sent). The call that was awaited has
    raised the same error, so nothing is hidden; and a worker that was fenced logged dozens of
    stack traces.
    """
    previous = loop.get_exception_handler()

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        # Not of tasks: those are ours too.
        is_unread = context.get("message") == "Future exception was never retrieved"
        if is_unread and isinstance(context.get("exception"), KafkaError):
            return
        if previous is None:
            loop.default_exception_handler(context)
        else:
            previous(loop, context)

    loop.set_exception_handler(handle)


async def abandon(producer: AIOKafkaProducer) -> None:
    """Stop a producer for good without sending what still waits.

    An idempotent producer never gives a record up, and `stop` waits for all of them: a record
    whose sender was told long ago that it failed would be sent when Kafka is back. What is under
    way is waited for, at most the request timeout; then whoever waits gets `ProducerClosed`.
    """
    task = producer._sender.sender_task
    if task is not None:
        task.cancel()
        await asyncio.wait([task])
    waiting = producer._message_accumulator
    waiting.fail_all(ProducerClosed())
    for batches in waiting._batches.values():
        for batch in batches:
            batch._drain_waiter.exception()  # read: most often nobody waits for it
    await producer.stop()
