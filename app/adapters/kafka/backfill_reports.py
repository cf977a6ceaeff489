"""Tells the control plane how far the scans are; the last partition makes definitions live.

Beside the stream, not in it: a control plane that does not answer holds up no update. Only what is
stored in the partition is told, and whoever takes a partition over tells it again, so a worker may
die in between.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from app.adapters.kafka.owner import Owner
from app.domain.errors import Unavailable
from app.domain.ports import DefinitionSource

logger = logging.getLogger(__name__)

INTERVAL_S = 0.25


class BackfillReporter:
    """Reports for the owners of a worker.

    Args:
        owners: By partition; read each time.
        partitions: How many there are in all.
    """

    def __init__(
        self, source: DefinitionSource, owners: Mapping[int, Owner], partitions: int
    ) -> None:
        self._source = source
        self._owners = owners
        self._partitions = partitions

    async def run(self) -> None:
        """Report until cancelled."""
        is_away = False
        while True:
            try:
                await self.report()
                is_away = False
            except Unavailable as error:
                if not is_away:
                    logger.warning("progress of definitions is not reported: %s", error)
                is_away = True
            await asyncio.sleep(INTERVAL_S)

    async def report(self) -> None:
        """Report what is new.

        Raises:
            Unavailable: The control plane does not answer; what was not told is told next time.
        """
        for owner in list(self._owners.values()):
            if owner.is_ready:
                await self._report(owner)

    async def _report(self, owner: Owner) -> None:
        unreported = owner.backfill.unreported
        for tenant, scan in list(unreported.items()):
            became = await self._source.report_backfill(
                tenant, scan.tag, owner.partition, self._partitions, scan.share
            )
            if unreported.get(tenant) is scan:
                del unreported[tenant]
            if became:
                logger.info("definitions of %s/%s: %d became live", *tenant, became)
