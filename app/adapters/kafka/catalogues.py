"""The compiled definitions of all tenants, kept current beside the stream.

A change is learnt from a notification and, should that be lost, from the tags each second; it is
compiled in a thread and swapped in between two batches.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from app.adapters.kafka.metrics import WorkerMetrics
from app.adapters.waits import set_within
from app.domain.errors import Unavailable
from app.domain.limits import EngineLimits
from app.domain.model import DefinitionSet, Tenant
from app.domain.ports import DefinitionSource
from app.engine.catalogue import Catalogue, compile_catalogue

logger = logging.getLogger(__name__)

CHECK_INTERVAL_S = 1.0

Compile = Callable[[DefinitionSet, EngineLimits, Catalogue | None], Catalogue]


class CatalogueKeeper:
    """Follows the definitions.

    Attributes:
        current: Catalogue by tenant; replaced as a whole, never changed.
        is_loaded: Whether everything was read once; no batch is evaluated before.
    """

    def __init__(
        self,
        source: DefinitionSource,
        limits: EngineLimits,
        metrics: WorkerMetrics,
        compile_set: Compile = compile_catalogue,
    ) -> None:
        self._source = source
        self._limits = limits
        self._metrics = metrics
        self._compile = compile_set
        self._refreshing = asyncio.Lock()
        self._asked = asyncio.Event()
        self._loaded = asyncio.Event()
        self.current: dict[Tenant, Catalogue] = {}

    @property
    def is_loaded(self) -> bool:
        """Whether everything was read once."""
        return self._loaded.is_set()

    async def wait_loaded(self) -> None:
        """Wait until everything was read once."""
        await self._loaded.wait()

    async def run(self) -> None:
        """Follow until cancelled."""
        listener = asyncio.create_task(self._listen())
        try:
            while True:
                try:
                    await self.refresh()
                except Unavailable as error:
                    logger.warning("definitions: %s", error)
                await set_within(self._asked, CHECK_INTERVAL_S)
                self._asked.clear()
        finally:
            listener.cancel()

    async def refresh(self) -> None:
        """Load and compile what changed.

        Afterwards no catalogue is older than the definitions were when this was called.

        Raises:
            Unavailable: The source does not answer.
        """
        # One at a time: a slower compilation would put an older catalogue in.
        async with self._refreshing:
            for tenant, tag in (await self._source.tags()).items():
                known = self.current.get(tenant)
                if known is None or known.tag != tag:
                    await self._swap(tenant, known)
            self._loaded.set()

    async def _swap(self, tenant: Tenant, known: Catalogue | None) -> None:
        definitions = await self._source.load(tenant)
        catalogue = await asyncio.to_thread(self._compile, definitions, self._limits, known)
        if catalogue.failures:
            # First of all: once every profile is at this catalogue, what is not failed is live.
            await self._source.report_failures(tenant, catalogue.tag, catalogue.failures)
            for segment_id, reason in catalogue.failures.items():
                logger.warning(
                    "definition %s of %s/%s cannot be evaluated: %s", segment_id, *tenant, reason
                )
        self.current = {**self.current, tenant: catalogue}
        failures = [len(item.failures) for item in self.current.values()]
        self._metrics.definitions_failed.set(sum(failures))
        logger.info(
            "definitions of %s/%s: %s, %d of them failed",
            *tenant,
            catalogue.tag,
            len(catalogue.failures),
        )

    async def _listen(self) -> None:
        while True:
            try:
                async for _ in self._source.changed():
                    self._asked.set()
            except Unavailable as error:
                logger.warning("definitions: notifications stopped: %s", error)
            await asyncio.sleep(CHECK_INTERVAL_S)
