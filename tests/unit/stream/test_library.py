"""What we rely on inside aiokafka and Faust: a failure here means to look again, not to adapt."""

from __future__ import annotations

import inspect

import aiokafka
from aiokafka.consumer import fetcher, subscription_state
from aiokafka.producer import sender
from faust.transport import consumer

from app.adapters.kafka import library
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


def test_the_positions_that_are_not_public():
    state = inspect.getsource(subscription_state.TopicPartitionState)
    for name in ("self.lso", "self.timestamp", "def position", "def has_valid_position"):
        assert name in state
    assert "last_stable_offset" in dir(aiokafka.AIOKafkaConsumer)
    parameters = inspect.signature(fetcher.Fetcher.fetched_records).parameters
    assert {"partitions", "timeout", "max_records"} <= parameters.keys()


def test_fausts_gaps_and_commits_are_off():
    assert inspect.iscoroutinefunction(consumer.Consumer._add_gap)
    assert BatchConsumer._add_gap is not consumer.Consumer._add_gap
    assert BatchConsumer._commit is not consumer.ThreadDelegateConsumer._commit
    assert BatchConsumer.perform_seek is not consumer.Consumer.perform_seek
