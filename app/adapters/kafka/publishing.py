"""What runs beside the cycle: publishing outboxes, and telling the group the last offsets."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from app.adapters.kafka.metrics import WorkerMetrics
from app.adapters.kafka.owner import Owner
from app.adapters.kafka.publisher import Offsets, Publisher
from app.adapters.kafka.records import Outbox
from app.domain.errors import Fenced, SegmentationError, Unavailable

logger = logging.getLogger(__name__)

FLUSH_AFTER_S = 0.8
UNSURE_AFTER_S = 5.0
"""A Kafka that takes so long was probably away; one that was killed may tear transactions."""

Lose = Callable[[Owner, SegmentationError], None]


class Publishing:
    """Starts one publication of an owner at a time; whoever starts the next awaits the last.

    Args:
        lose: Told of an owner whose publication failed: whether it arrived is unknown.
        ended: Told that a publication has ended, well or not.
    """

    def __init__(self, metrics: WorkerMetrics, lose: Lose, ended: Callable[[], None]) -> None:
        self._metrics = metrics
        self._lose = lose
        self._ended = ended

    def publish(self, owner: Owner, outbox: Outbox) -> None:
        """Publish an outbox and the owner's offset, in a task kept in `owner.publishing`."""
        if owner.publisher is None:
            return
        owner.unflushed_since = None
        publishing = self._run(owner, owner.publisher, outbox, owner.group_offsets())
        owner.publishing = asyncio.create_task(publishing, name=f"publish-{owner.partition}")
        owner.publishing.add_done_callback(lambda _: self._ended())

    def flush(self, owner: Owner, *, at_once: bool = False) -> None:
        """Tell the group the offset of batches without output, a second later at the latest."""
        if not owner.has_started or owner.recovery is not None:
            return
        if owner.sequence == owner.published_sequence:
            owner.unflushed_since = None
            return
        if owner.is_publishing:
            return
        now = time.monotonic()
        if owner.unflushed_since is None:
            owner.unflushed_since = now
        if at_once or now - owner.unflushed_since >= FLUSH_AFTER_S:
            self.publish(owner, Outbox(owner.epoch, owner.sequence, []))

    async def _run(
        self, owner: Owner, publisher: Publisher, outbox: Outbox, offsets: Offsets
    ) -> None:
        started = time.monotonic()
        try:
            ends = await publisher.publish(outbox.records, offsets)
        except Fenced as error:
            self._metrics.fenced.labels("kafka").inc()
            self._lose(owner, error)
        except Unavailable as error:
            self._lose(owner, error)
        except Exception:
            logger.exception("partition %d: publishing failed", owner.partition)
            self._lose(owner, Unavailable("publishing failed"))
        else:
            owner.ends.update(ends)
            owner.published_sequence = outbox.sequence
            owner.progress_at = time.monotonic()
            self._metrics.transactions.inc()
            took_s = time.monotonic() - started
            self._metrics.publish_seconds.observe(took_s)
            if took_s > UNSURE_AFTER_S:
                text = f"a publication took {took_s:.0f} s: what Kafka kept of it is looked at"
                self._lose(owner, Unavailable(text))


async def all_published(owners: Sequence[Owner]) -> None:
    """Wait until what the owners publish has ended, well or not."""
    tasks = [owner.publishing for owner in owners if owner.publishing is not None]
    if tasks:
        await asyncio.wait(tasks)


def no_loss(owner: Owner, error: SegmentationError) -> None:
    """Stand in until somebody takes care of lost partitions: raise the error."""
    raise error
