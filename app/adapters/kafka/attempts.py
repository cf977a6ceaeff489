"""The calls of a cycle that may fail: of Redis, which comes back, and of an engine."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from app.adapters.kafka.batches import Batch
from app.adapters.kafka.owner import Owner
from app.adapters.kafka.publishing import Lose
from app.domain.errors import SegmentationError, Unavailable

logger = logging.getLogger(__name__)
T = TypeVar("T")

_RETRY_S = (0.05, 0.1, 0.2, 0.5, 1.0)


class Attempts:
    """Calls Redis and engines.

    Args:
        is_owned: Tells whether a partition is still this worker's.
        lose: Runs the assignment of a partition again.

    Attributes:
        unavailable: What does not answer at present, "" for nothing.
    """

    def __init__(self, is_owned: Callable[[Owner], bool], lose: Lose) -> None:
        self._is_owned = is_owned
        self._lose = lose
        self.unavailable = ""

    def engine(self, batch: Batch, call: Callable[[], T]) -> T | None:
        """Call the engine; what it fails on is set aside, and the partition goes on.

        A failure is a defect, or stored state that cannot be read. The engine is then worth
        nothing: the assignment runs again, with smaller batches until one record is left.
        """
        if batch.is_failed:
            return None
        started = time.process_time()
        try:
            return call()
        except Exception:
            logger.exception("partition %d: evaluating failed", batch.owner.partition)
            batch.is_failed = True
            batch.owner.suspicion.blame(batch.work)
            self._lose(batch.owner, Unavailable("evaluating a batch failed"))
            return None
        finally:
            batch.busy_s += time.process_time() - started

    async def redis(self, call: Callable[[], Awaitable[T]], batches: Sequence[Batch]) -> T:
        """Repeat a call until Redis answers: nothing is fetched meanwhile, nothing lost."""
        attempt = 0
        while True:
            try:
                result = await call()
            except SegmentationError as error:
                self.unavailable = error.message
                if attempt == 0:
                    logger.warning("waiting for Redis: %s", error)
                if not any(self._is_owned(one.owner) and one.owner.is_ready for one in batches):
                    raise
            else:
                if attempt:
                    logger.info("Redis answers again")
                self.unavailable = ""
                return result
            await asyncio.sleep(_RETRY_S[min(attempt, len(_RETRY_S) - 1)])
            attempt += 1
