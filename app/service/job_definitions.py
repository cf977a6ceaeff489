"""The definitions that a job is about, as they are at one instant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.definitions import FAILED, DefinitionStore, StoredDefinition
from app.domain.errors import Conflict, UserError
from app.domain.jobs import JobSegment
from app.domain.model import Tenant
from app.service.definitions import ATTEMPTS


@dataclass(frozen=True, slots=True)
class JobDefinitions:
    """Definitions of one catalogue.

    Attributes:
        number: Of the catalogue.
        segments: What was asked for.
        further: Versions of what those ask with `inSegment`, at any depth, beside themselves.
    """

    number: int
    segments: tuple[JobSegment, ...]
    further: tuple[tuple[str, int], ...]


async def job_definitions(
    store: DefinitionStore, tenant: Tenant, segment_ids: Sequence[str] | None
) -> JobDefinitions:
    """Return these definitions, None for all that are published.

    Raises:
        UserError: `job-invalid`: one does not exist, is not published, or cannot be evaluated.
        Conflict: `catalogue-busy`: they kept changing.
    """
    for _ in range(ATTEMPTS):
        head = await store.head(tenant)
        if segment_ids is None:
            every = await store.all(tenant)
            found = [one for one in every if one.is_evaluated and one.state != FAILED]
        else:
            found = await _asked(store, tenant, segment_ids)
        further = await _further(store, tenant, found)
        if (await store.head(tenant)).revision == head.revision:
            return JobDefinitions(head.number, tuple(_segment(one) for one in found), further)
    text = "the definitions of this sandbox kept changing while the job was started"
    raise Conflict(f"{text}; try again", code="catalogue-busy")


async def _further(
    store: DefinitionStore, tenant: Tenant, found: Sequence[StoredDefinition]
) -> tuple[tuple[str, int], ...]:
    known = {one.segment_id for one in found}
    versions: dict[str, int] = {}
    waiting = list(found)
    while waiting:
        asked = {use for one in waiting for use in one.uses} - known
        known |= asked
        waiting = list((await store.get(tenant, sorted(asked))).values())
        versions |= {one.segment_id: one.version for one in waiting}
    return tuple(versions.items())


async def _asked(
    store: DefinitionStore, tenant: Tenant, ids: Sequence[str]
) -> list[StoredDefinition]:
    found = await store.get(tenant, list(dict.fromkeys(ids)))
    missing = [one for one in ids if one not in found or found[one].external is not None]
    if missing:
        named = ", ".join(dict.fromkeys(missing))
        text = f"there is no segment definition {named} in this sandbox"
        raise UserError(f"{text}; name existing ones", code="job-invalid")
    for one in found.values():
        if not one.is_evaluated:
            text = f"segment definition {one.segment_id!r} is {one.lifecycle}"
            raise UserError(f"{text}; only published ones are evaluated", code="job-invalid")
        if one.state == FAILED:
            text = f"segment definition {one.segment_id!r} cannot be evaluated"
            raise UserError(f"{text}: {one.state_reason}", code="job-invalid")
    return list(found.values())


def _segment(definition: StoredDefinition) -> JobSegment:
    return JobSegment(
        definition.segment_id,
        definition.ordinal,
        definition.version,
        definition.expression,
        definition.merge_policy_id,
    )
