"""The indexes follow their sources, each tenant for itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from app.adapters.search import keeper as module
from app.adapters.search.keeper import SearchKeeper
from app.domain.errors import Unavailable
from app.domain.model import Tenant
from app.domain.search import SearchDocument

ONE, TWO = Tenant("one@AdobeOrg", "prod"), Tenant("two@AdobeOrg", "prod")


class Source:
    """Documents in a dictionary; a document `bad` cannot be decoded."""

    def __init__(self, namespace: str = "Things") -> None:
        self.namespace = namespace
        self.stored: dict[Tenant, dict[bytes, bytes]] = {}
        self.is_away = False
        self.decoded: list[bytes] = []
        self.notices: asyncio.Queue[Tenant] = asyncio.Queue()

    async def revisions(self) -> dict[Tenant, str]:
        if self.is_away:
            raise Unavailable("away")
        return {tenant: repr(stored) for tenant, stored in self.stored.items()}

    async def read(self, tenant: Tenant) -> tuple[str, dict[bytes, bytes]]:
        stored = dict(self.stored.get(tenant, {}))
        return repr(stored) if tenant in self.stored else "", stored

    def decode(self, stored: bytes) -> SearchDocument:
        self.decoded.append(stored)
        if stored == b"bad":
            raise ValueError("cannot be decoded")
        text = stored.decode()
        return SearchDocument(namespace=self.namespace, entity_id=text, source_id=text, name=text)

    async def changed(self) -> AsyncGenerator[Tenant, None]:
        while True:
            yield await self.notices.get()


def names(keeper: SearchKeeper, tenant: Tenant) -> set[str]:
    return {document.name for document in keeper.view(tenant).documents}


async def test_before_the_first_look_nothing_is_answered() -> None:
    keeper = SearchKeeper([Source()])
    assert await keeper.problem()
    with pytest.raises(Unavailable):
        keeper.view(ONE)
    await keeper.refresh()
    assert await keeper.problem() is None
    assert names(keeper, ONE) == set()


async def test_tenants_come_change_and_go_apart() -> None:
    source = Source()
    source.stored = {ONE: {b"1": b"a"}, TWO: {b"1": b"b"}}
    keeper = SearchKeeper([source])
    await keeper.refresh()
    assert (names(keeper, ONE), names(keeper, TWO)) == ({"a"}, {"b"})
    source.stored[ONE][b"2"] = b"c"
    await keeper.refresh()
    assert (names(keeper, ONE), names(keeper, TWO)) == ({"a", "c"}, {"b"})
    assert source.decoded == [b"a", b"b", b"c"]  # what did not change is not decoded again
    del source.stored[TWO]
    await keeper.refresh()
    assert names(keeper, TWO) == set()


async def test_several_kinds_of_documents_are_found_together() -> None:
    things, people = Source("Things"), Source("People")
    things.stored = {ONE: {b"1": b"same"}}
    people.stored = {ONE: {b"1": b"same"}, TWO: {b"1": b"other"}}
    keeper = SearchKeeper([things, people])
    await keeper.refresh()
    assert [one.namespace for one in keeper.view(ONE).documents] in (
        ["People", "Things"],
        ["Things", "People"],
    )
    assert names(keeper, TWO) == {"other"}


async def test_a_tenant_that_cannot_be_indexed_harms_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = Source()
    source.stored = {ONE: {b"1": b"a"}, TWO: {b"1": b"b"}}
    keeper = SearchKeeper([source])
    await keeper.refresh()
    source.stored = {ONE: {b"1": b"a", b"2": b"bad"}, TWO: {b"1": b"c"}}
    await keeper.refresh()
    assert (names(keeper, ONE), names(keeper, TWO)) == ({"a"}, {"c"})
    monkeypatch.setattr(module, "STALE_SECONDS", 0.05)
    await asyncio.sleep(0.1)
    await keeper.refresh()
    assert names(keeper, TWO) == {"c"}
    with pytest.raises(Unavailable):
        keeper.view(ONE)
    del source.stored[ONE][b"2"]
    await keeper.refresh()
    assert names(keeper, ONE) == {"a"}


async def test_the_past_is_not_searched_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source()
    source.stored = {ONE: {b"1": b"a"}}
    keeper = SearchKeeper([source])
    await keeper.refresh()
    source.is_away = True
    with pytest.raises(Unavailable):
        await keeper.refresh()
    assert names(keeper, ONE) == {"a"}
    monkeypatch.setattr(module, "STALE_SECONDS", 0.05)
    await asyncio.sleep(0.1)
    assert await keeper.problem()
    with pytest.raises(Unavailable):
        keeper.view(ONE)


@pytest.mark.parametrize("is_told", [True, False])
async def test_changes_are_followed_with_and_without_a_notice(
    monkeypatch: pytest.MonkeyPatch, is_told: bool
) -> None:
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(module, "CHECK_SECONDS", 60.0 if is_told else 0.05)
    source = Source()
    keeper = SearchKeeper([source])
    async with keeper.running(), asyncio.timeout(5):
        while await keeper.problem():
            await asyncio.sleep(0.01)
        source.stored = {ONE: {b"1": b"a"}}
        if is_told:
            source.notices.put_nowait(ONE)
        while names(keeper, ONE) != {"a"}:
            await asyncio.sleep(0.01)


async def test_it_stops_although_a_wait_swallowed_the_cancellation() -> None:
    class Deaf(Source):
        """Its first answer arrives in the moment of the cancellation, as of a client library."""

        def __init__(self) -> None:
            super().__init__()
            self.asked = asyncio.Event()
            self.swallowed = False

        async def revisions(self) -> dict[Tenant, str]:
            self.asked.set()
            if not self.swallowed:
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    self.swallowed = True
            return {}

    source = Deaf()
    async with asyncio.timeout(10):
        async with SearchKeeper([source]).running():
            await source.asked.wait()
    assert source.swallowed
