"""Transactions that Kafka did not end as it said: found, ended and completed by the next owner.

A transaction is published whole or not at all; a single Kafka node that is killed while it ends
some does not always keep that promise (docs/decisions/0303).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Protocol

from app.adapters.kafka.metrics import WorkerMetrics
from app.adapters.kafka.owner import Owner
from app.adapters.kafka.positions import KafkaPositions
from app.adapters.kafka.publisher import TransactionalPublisher
from app.adapters.kafka.records import BATCH_HEADER, Outbox, OutputRecord, TopicNames, batch_of

logger = logging.getLogger(__name__)


class HasHeaders(Protocol):
    """A record, published or to be."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]:
        """Name and value of each."""
        ...


class TornTransactions:
    """Puts the topics right where Kafka kept a part of a transaction only.

    All methods raise `Unavailable` when Kafka does not answer, and `Fenced` for a later owner.
    """

    def __init__(
        self, positions: KafkaPositions, topics: TopicNames, metrics: WorkerMetrics
    ) -> None:
        self._positions = positions
        self._topics = topics
        self._metrics = metrics

    async def end_open(self, owner: Owner, outbox: Outbox | None) -> None:
        """End the transactions that are open in the partition's own outputs.

        The publisher has started, so none should be. Where one is, Kafka lost its marker: readers
        of committed records wait there, and the next marker decides over its records.

        Args:
            owner: With a publisher that was started. One without transactions can end none.
            outbox: What Redis has: says whether those records are to stay.
        """
        publisher = owner.publisher
        if not isinstance(publisher, TransactionalPublisher):
            return
        left = await self._positions.left_open(self._own_outputs(owner.partition))
        if not left:
            return
        batches: list[bytes] = []
        await self._positions.read_back(
            left, lambda record: batches.append(_batch_text(record)), is_committed=False
        )
        is_commit = all(_is_known(text, outbox) for text in batches)
        self._metrics.recoveries.labels("open").inc()
        logger.error(
            "partition %d: Kafka left a transaction open in %s: %d records of it are %s",
            owner.partition,
            ", ".join(topic for topic, _ in left),
            len(batches),
            "committed" if is_commit else "aborted",
        )
        await publisher.end_open(list(left), is_commit=is_commit)

    async def missing(
        self, partition: int, meta: Mapping[str, str], outbox: Outbox, *, is_published: bool
    ) -> list[OutputRecord]:
        """Return the records of an outbox that a reader of committed records does not find.

        Where a topic was never written to before it is not known from where on to look: there the
        sequences count. The topics of the partition's own are looked through in that case.

        Args:
            partition: Whose outbox it is.
            meta: The partition's hash in Redis.
            outbox: What should be on the topics.
            is_published: What the sequences say.
        """
        own = self._own_outputs(partition)
        starts: dict[tuple[str, int], int] = {}
        for record in outbox.records:
            at = meta.get(f"output:{record.topic}:{record.partition}")
            if at is not None or (record.topic, record.partition) in own:
                starts[record.topic, record.partition] = int(at or 0)
        seen: set[bytes] = set()
        if starts:
            await self._positions.read_back(starts, lambda record: seen.add(_batch_text(record)))
        return [
            record
            for record in outbox.records
            if _batch_text(record) not in seen
            and ((record.topic, record.partition) in starts or not is_published)
        ]

    def _own_outputs(self, partition: int) -> list[tuple[str, int]]:
        return [(name, partition) for name in self._topics.outputs]


def _is_known(text: bytes, outbox: Outbox | None) -> bool:
    """Tell whether Redis has a batch that was found on a topic, or had it before its last one.

    What it does not know was evaluated and lost with its last writes: that is evaluated anew.
    """
    if outbox is None:
        return False
    if any(_batch_text(record) == text for record in outbox.records):
        return True
    batch = batch_of({BATCH_HEADER: text}) if text else None
    return batch is not None and batch[1] <= outbox.epoch and batch[2] < outbox.sequence


def _batch_text(record: HasHeaders) -> bytes:
    return dict(record.headers).get(BATCH_HEADER, b"")
