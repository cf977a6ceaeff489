"""What we rely on inside aiokafka and Faust: a failure here means to look again, not to adapt."""

from __future__ import annotations

import asyncio
import inspect
from types import SimpleNamespace
from typing import Any

import aiokafka
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.conn import AIOKafkaConnection
from aiokafka.consumer import fetcher, group_coordinator, subscription_state
from aiokafka.consumer.fetcher import FetchError, FetchResult, PartitionRecords
from aiokafka.errors import KafkaConnectionError
from aiokafka.producer import sender
from aiokafka.protocol.group import HeartbeatRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import ConsumerRecord, TopicPartition
from faust.transport import consumer
from faust.transport.drivers import aiokafka as driver
from mode import Service
from mode.threads import ServiceThread

from app.adapters.kafka import library
from app.adapters.kafka.consumer_thread import BatchConsumerThread
from app.adapters.kafka.transport import BatchConsumer


def test_the_back_off_between_transactions_is_still_there(monkeypatch):
    assert aiokafka.__version__ == library.AIOKAFKA_VERSION
    monkeypatch.setattr(sender, "BACKOFF_OVERRIDE", 0.02)
    handler = inspect.getsource(sender.AddPartitionsToTxnHandler.handle_response)
    assert "return BACKOFF_OVERRIDE" in handler
    library.shorten_transaction_backoff()
    assert sender.BACKOFF_OVERRIDE == library.TRANSACTION_BACKOFF_S


def test_another_version_is_left_alone(monkeypatch):
    monkeypatch.setattr(sender, "BACKOFF_OVERRIDE", 0.02)
    monkeypatch.setattr(aiokafka, "__version__", "0.15.0")
    library.shorten_transaction_backoff()
    assert sender.BACKOFF_OVERRIDE == 0.02


AT = TopicPartition("t", 3)


def fetched(count: int = 2) -> FetchResult:
    """Return what a fetcher makes of an answer of the broker."""
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1_000)
    for offset in range(count):
        builder.append(offset, 1_000 + offset, b"k", b"v", [("h", b"x")])
    found = PartitionRecords(AT, MemoryRecords(bytes(builder.build())), [], 0, None, None, True, 1)
    state = SimpleNamespace(paused=False, position=0, consumed_to=lambda offset: None)
    assignment = SimpleNamespace(active=True, state_value=lambda at: state)
    return FetchResult(AT, assignment=assignment, partition_records=found, backoff=0)


def a_fetcher(**results: Any) -> Any:
    return SimpleNamespace(_records=dict(results))


def test_raw_records_have_what_is_read_of_them():
    ours = a_fetcher()
    library.hand_out_raw_records(ours)
    ours._records[AT] = fetched()
    raw, copies = ours._records[AT].getall(), fetched().getall()
    assert [type(record) for record in copies] == [ConsumerRecord] * 2
    assert ConsumerRecord not in {type(record) for record in raw}
    names = ("offset", "timestamp", "timestamp_type", "key", "value")
    for one, other in zip(raw, copies, strict=True):
        assert [getattr(one, name) for name in names] == [getattr(other, name) for name in names]
        assert tuple(one.headers) == other.headers == (("h", b"x"),)


def test_what_was_fetched_before_is_handed_out_raw_as_well():
    ours = a_fetcher(before=fetched(), error=FetchError(error=ValueError(), backoff=0))
    library.hand_out_raw_records(ours)
    assert not isinstance(ours._records["before"].getall()[0], ConsumerRecord)
    held = ours._records
    library.hand_out_raw_records(ours)
    assert ours._records is held
    assert list(held) == ["before", "error"]


def test_with_another_version_records_are_copies(monkeypatch):
    monkeypatch.setattr(aiokafka, "__version__", "0.15.0")
    ours = a_fetcher(before=fetched())
    library.hand_out_raw_records(ours)
    assert isinstance(ours._records["before"].getall()[0], ConsumerRecord)


@pytest.mark.parametrize(
    ("where", "text"),
    [
        (PartitionRecords._unpack_records, "self._consumer_record(tp, record)"),
        (fetcher.Fetcher.__init__, "self._records = collections.OrderedDict()"),
        (fetcher.Fetcher._proc_fetch_request, "self._records[tp] = FetchResult("),
        (fetcher.Fetcher.fetched_records, "self._records[tp]"),
    ],
)
def test_where_a_fetcher_holds_its_results(where, text):
    assert text in inspect.getsource(where)


@pytest.mark.parametrize(
    ("error", "has_trace", "told"),
    [
        (KafkaConnectionError("closed"), False, "broke: KafkaConnectionError('closed')"),
        (RuntimeError("<x>; the handler is closed"), False, "broke: RuntimeError('<x>; the"),
        (ValueError("ours"), True, "broke"),
    ],
)
def test_the_sender_tells_in_one_line_that_kafka_failed(
    caplog, monkeypatch, error, has_trace, told
):
    monkeypatch.setattr(sender.log, "filters", [])
    monkeypatch.setattr(group_coordinator.log, "filters", [])
    assert "log.exception(" in inspect.getsource(sender.Sender._sender_routine)
    library.shorten_errors()
    library.shorten_errors()
    try:
        raise error
    except type(error):
        sender.log.exception("%s", "broke")
    (record,) = caplog.records
    assert record.getMessage().startswith(told)
    assert bool(record.exc_info) == has_trace
    assert group_coordinator.log.filters == sender.log.filters != []


async def fail_while_waiting_to_be_sent_again(kind: type[AIOKafkaProducer]) -> list[str]:
    """Fail a batch that was sent and is to be sent again; return what asyncio complains of.

    Not of futures that nobody reads: it does so when they are collected, whenever that is.
    """
    complaints: list[str] = []

    def complain(_: object, context: dict[str, Any]) -> None:
        if "never retrieved" not in context["message"]:
            complaints.append(context["message"])

    asyncio.get_running_loop().set_exception_handler(complain)
    producer = kind()
    producer._closed = True  # It was never started.
    waiting = producer._message_accumulator
    waiting._cluster = SimpleNamespace(leader_for_partition=lambda at: 1)
    sent = await waiting.add_message(AT, b"k", b"v", 1)
    nodes, _ = waiting.drain_by_nodes(set())
    waiting.reenqueue(nodes[1][AT])
    waiting.fail_all(KafkaConnectionError("closed"))
    with pytest.raises(KafkaConnectionError):
        await sent
    await asyncio.sleep(0)
    return complaints


async def test_a_batch_that_waits_to_be_sent_again_fails_without_a_stack_trace():
    (complaint,) = await fail_while_waiting_to_be_sent_again(AIOKafkaProducer)
    assert "_pop_batch" in complaint
    assert await fail_while_waiting_to_be_sent_again(library.Producer) == []


class ClosedWriter:
    """A stream of uvloop's whose transport has just been closed."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def write(self, data: bytes) -> None:
        raise self.error

    def close(self) -> None:
        """Do nothing."""


def connection_writing(error: Exception) -> AIOKafkaConnection:
    connection = AIOKafkaConnection("127.0.0.1", 1, request_timeout_ms=1_000)
    connection._reader = asyncio.StreamReader()
    connection._read_task = asyncio.get_running_loop().create_future()
    connection._writer = ClosedWriter(error)
    connection._versions = {HeartbeatRequest.API_KEY: (0, 4)}
    return connection


HEARTBEAT = HeartbeatRequest("group", 1, "member")
CLOSED = RuntimeError(
    "unable to perform operation on <TCPTransport closed=True>; the handler is closed"
)


async def test_a_connection_that_is_being_closed_tells_that_it_broke(monkeypatch):
    for name in ("send", "_send_sasl_token"):
        monkeypatch.setattr(AIOKafkaConnection, name, getattr(AIOKafkaConnection, name))
    connection = connection_writing(CLOSED)
    with pytest.raises(RuntimeError):
        connection.send(HEARTBEAT)
    library.tell_broken_connections()
    library.tell_broken_connections()
    with pytest.raises(KafkaConnectionError, match="the handler is closed"):
        connection.send(HEARTBEAT)
    assert not connection.connected()
    with pytest.raises(KafkaConnectionError):
        connection_writing(CLOSED)._send_sasl_token(b"x")
    connection = connection_writing(RuntimeError("ours"))
    with pytest.raises(RuntimeError, match="ours"):
        connection.send(HEARTBEAT)
    connection.close()


def test_the_positions_that_are_not_public():
    state = inspect.getsource(subscription_state.TopicPartitionState)
    for name in ("self.lso", "self.timestamp", "def position", "def has_valid_position"):
        assert name in state
    assert "last_stable_offset" in dir(aiokafka.AIOKafkaConsumer)
    parameters = inspect.signature(fetcher.Fetcher.fetched_records).parameters
    assert {"partitions", "timeout", "max_records"} <= parameters.keys()


def test_what_the_reading_thread_does_otherwise_is_still_asked_of_it():
    assert "self._thread.close()" in inspect.getsource(consumer.ThreadDelegateConsumer.close)
    assert BatchConsumerThread.close is not driver.AIOKafkaConsumerThread.close
    for name in ("_stopped_set", "_gather_remaining_tasks", "_wakeup_timer_in_thread"):
        assert getattr(BatchConsumerThread, name) is not getattr(ServiceThread, name)
        assert f"self.{name}()" in inspect.getsource(ServiceThread) + inspect.getsource(Service)


def test_fausts_gaps_and_commits_are_off():
    assert inspect.iscoroutinefunction(consumer.Consumer._add_gap)
    assert BatchConsumer._add_gap is not consumer.Consumer._add_gap
    assert BatchConsumer._commit is not consumer.ThreadDelegateConsumer._commit
    assert BatchConsumer.perform_seek is not consumer.Consumer.perform_seek
