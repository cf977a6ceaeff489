"""How a worker takes changed definitions in."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from app.adapters.kafka.catalogues import CatalogueKeeper
from app.adapters.kafka.metrics import WorkerMetrics
from app.domain.errors import Unavailable
from app.domain.limits import EngineLimits
from app.domain.model import DefinitionSet, SegmentDefinition, Tenant
from app.engine.catalogue import Catalogue, compile_catalogue

TENANT = Tenant("org", "prod")
BROKEN = SegmentDefinition("s", 0, 1, "age >")


class Source:
    """A definition source of one tenant."""

    def __init__(self) -> None:
        self.set = DefinitionSet(TENANT, "1-a", (BROKEN,))
        self.is_away = False
        self.failed: list[str] = []

    async def tags(self) -> dict[Tenant, str]:
        return {TENANT: self.set.tag}

    async def load(self, tenant: Tenant) -> DefinitionSet:
        return self.set

    async def report_failures(self, tenant: Tenant, tag: str, failures: dict[str, str]) -> None:
        if self.is_away:
            raise Unavailable("away")
        self.failed += failures


def keeper_of(source: Any, compile_set: Any = compile_catalogue) -> CatalogueKeeper:
    return CatalogueKeeper(source, EngineLimits(), WorkerMetrics(), compile_set)


async def test_a_failure_is_told_before_the_catalogue_is_used():
    """Else its partitions could complete a tag, and make live what failed."""
    source = Source()
    source.is_away = True
    keeper = keeper_of(source)
    with pytest.raises(Unavailable):
        await keeper.refresh()
    assert keeper.current == {}
    source.is_away = False
    await keeper.refresh()
    assert source.failed == ["s"]
    assert keeper.current[TENANT].tag == "1-a"


async def test_a_slow_compilation_does_not_replace_a_newer_catalogue():
    source = Source()
    source.set = DefinitionSet(TENANT, "1-a")
    may_end = threading.Event()

    def compile_set(wanted: DefinitionSet, limits: EngineLimits, known: Catalogue | None) -> Any:
        if wanted.tag == "1-a":
            may_end.wait(10)
        return compile_catalogue(wanted, limits, known)

    keeper = keeper_of(source, compile_set)
    slow = asyncio.create_task(keeper.refresh())
    await asyncio.sleep(0.01)
    source.set = DefinitionSet(TENANT, "2-b")
    quick = asyncio.create_task(keeper.refresh())
    await asyncio.sleep(0.01)
    may_end.set()
    await asyncio.gather(slow, quick)
    assert keeper.current[TENANT].tag == "2-b"
