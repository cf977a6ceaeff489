"""The schemas of all tenants, read at the start and again while the process runs.

What cannot be used is said in the log and, by `problem`, to whoever creates a definition; until it
is mended the last schemas that could be used stay in force.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import orjson
import structlog

from app.adapters.schemas.sources import Source, Unreadable
from app.domain.model import Tenant
from app.pql.schema import SchemaError, Shape, read_schema
from app.pql.schema_checks import NO_SCHEMAS, Schemas
from app.service.expressions import KnownSchemas

_log = structlog.get_logger(__name__)

_FORM = (
    'it is not {"schemas": [...]} of objects with orgId, sandboxes (a list of names), and profile'
    " or event or both (a JSON Schema, or where one is)"
)


class SchemaRegistry:
    """Keeps the schemas of all tenants.

    Args:
        source: Of the registry document and what it refers to.
        refresh_s: Seconds between two readings.
    """

    def __init__(self, source: Source, refresh_s: float) -> None:
        self._source = source
        self._refresh_s = refresh_s
        self._known: dict[Tenant, KnownSchemas] = {}
        self._problem = "the schemas were not read yet"

    def of(self, tenant: Tenant) -> KnownSchemas:
        """Return the schemas of a tenant and what is wrong with them."""
        found = self._known.get(tenant, KnownSchemas(NO_SCHEMAS))
        return replace(found, problem=self._problem) if self._problem else found

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Read once, then again every `refresh_s` while the context is open."""
        await self.refresh()
        task = asyncio.create_task(self._follow())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._refresh_s)
            await self.refresh()

    async def refresh(self) -> None:
        """Read everything again; what cannot be used leaves what there was."""
        try:
            entries = _entries(await self._source.read())
        except Unreadable as error:
            self._tell(error.message)
            return
        self._tell("")
        read: dict[Tenant, KnownSchemas] = {}
        for tenant, entry in entries:
            found = await self._schemas(tenant, entry)
            if tenant in read:
                found = replace(found, problem="the registry has them twice")
            self._tell_of(tenant, found)
            read[tenant] = found
        self._known = read

    async def _schemas(self, tenant: Tenant, entry: Mapping[str, Any]) -> KnownSchemas:
        before = self._known.get(tenant, KnownSchemas(NO_SCHEMAS)).schemas
        try:
            return KnownSchemas(
                Schemas(
                    await self._shape(entry.get("profile")), await self._shape(entry.get("event"))
                )
            )
        except Unreadable as error:
            return KnownSchemas(before, error.message)

    async def _shape(self, given: Any) -> Shape | None:
        if given is None:
            return None
        where = "the registry"
        if isinstance(given, str):
            where, content = given, await self._source.read(given)
            given = _json(content, given)
        try:
            return await asyncio.to_thread(read_schema, given)
        except (SchemaError, RecursionError) as error:
            raise Unreadable(f"the schema in {where} cannot be used: {error}") from None

    def _tell(self, problem: str) -> None:
        if problem and problem != self._problem:
            _log.error("schemas-unusable", reason=problem)
        elif self._problem and not problem:
            _log.info("schemas-read")
        self._problem = problem

    def _tell_of(self, tenant: Tenant, found: KnownSchemas) -> None:
        before = self._known.get(tenant)
        if found.problem and (before is None or before.problem != found.problem):
            _log.error(
                "schema-unusable",
                org_id=tenant.org_id,
                sandbox=tenant.sandbox_name,
                reason=found.problem,
            )


def _json(content: bytes, name: str) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise Unreadable(f"{name} is no JSON: {error}") from None


def _entries(content: bytes) -> list[tuple[Tenant, Mapping[str, Any]]]:
    document = _json(content, "the registry of schemas")
    try:
        return [found for entry in document["schemas"] for found in _tenants(entry)]
    except (KeyError, TypeError, ValueError):
        raise Unreadable(f"the registry of schemas cannot be used: {_FORM}") from None


def _tenants(entry: Mapping[str, Any]) -> Iterable[tuple[Tenant, Mapping[str, Any]]]:
    org_id, sandboxes = entry["orgId"], entry["sandboxes"]
    unknown = entry.keys() - {"orgId", "sandboxes", "profile", "event"}
    if unknown or not isinstance(sandboxes, list) or not sandboxes:
        raise ValueError("not an entry")
    if not all(isinstance(name, str) and name for name in (org_id, *sandboxes)):
        raise ValueError("not texts")
    return [(Tenant(org_id, name), entry) for name in sandboxes]
