"""Which audiences a schedule names, and which of them a run evaluates."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from app.domain.definitions import FAILED, DefinitionStore
from app.domain.errors import UserError
from app.domain.model import Tenant
from app.domain.schedules import ALL_SEGMENTS, Schedule

REFUSED = "schedule-invalid"
"""Code of everything about a schedule that is refused although its shape is right."""


@dataclass(frozen=True, slots=True)
class SegmentsChanged:
    """What adding or removing audiences did; `existing` and `invalid` are of those asked for.

    Attributes:
        changed: Added, or removed.
        existing: As asked before: in the schedule, or known and not in it.
        invalid: What is no published audience, and for a removal not in the schedule either.
        after: What the schedule names now.
    """

    changed: tuple[str, ...]
    existing: tuple[str, ...]
    invalid: tuple[str, ...]
    before: tuple[str, ...]
    after: tuple[str, ...]


def changed_segments(
    schedule: Schedule, ids: Sequence[str], known: Collection[str], *, adding: bool
) -> SegmentsChanged:
    """Add audiences to those that a schedule names, or remove them.

    Args:
        known: Those of `ids` that are published audiences.

    Raises:
        UserError: `schedule-invalid`: it is for all audiences, or of exports.
    """
    if schedule.export is not None:
        raise UserError(
            f"schedule {schedule.schedule_id!r} is of exports, whose segments do not change; delete"
            " it and create another",
            code=REFUSED,
        )
    if schedule.takes_all:
        raise UserError(
            f"schedule {schedule.schedule_id!r} is for all audiences; only one that names its"
            " audiences can have some added or removed",
            code=REFUSED,
        )
    before, asked = schedule.segments, tuple(dict.fromkeys(ids))
    inside = tuple(one for one in asked if one in before)
    outside = tuple(one for one in asked if one not in before and one in known)
    invalid = tuple(one for one in asked if one not in before and one not in known)
    if adding:
        return SegmentsChanged(outside, inside, invalid, before, before + outside)
    kept = tuple(one for one in before if one not in inside)
    return SegmentsChanged(inside, outside, invalid, before, kept)


async def published_of(
    definitions: DefinitionStore, tenant: Tenant, ids: Sequence[str]
) -> frozenset[str]:
    """Return those of `ids` that are published audiences."""
    found = await definitions.get(tenant, list(dict.fromkeys(ids)))
    return frozenset(one for one, definition in found.items() if definition.is_evaluated)


async def check_segments(
    definitions: DefinitionStore, tenant: Tenant, segments: Sequence[str]
) -> None:
    """Refuse a list of audiences that a schedule cannot have.

    Raises:
        UserError: `schedule-invalid`, naming them.
    """
    if tuple(segments) == (ALL_SEGMENTS,):
        return
    if ALL_SEGMENTS in segments:
        text = f"properties.segments has {ALL_SEGMENTS!r} beside ids; send the one or the other"
        raise UserError(text, code=REFUSED)
    known = await published_of(definitions, tenant, segments)
    unknown = [one for one in segments if one not in known]
    if unknown:
        raise UserError(
            f"properties.segments names what is no published audience: {', '.join(unknown)};"
            f" leave these out, or send {ALL_SEGMENTS!r} alone for all",
            code=REFUSED,
        )


async def segments_to_run(
    definitions: DefinitionStore, tenant: Tenant, segments: Sequence[str]
) -> list[str] | None:
    """Return what a run evaluates now, None for all.

    What cannot be evaluated any more is left out, as a job for all leaves it out.

    Raises:
        UserError: `schedule-invalid`: nothing is left of what the schedule names.
    """
    if tuple(segments) == (ALL_SEGMENTS,):
        return None
    found = await definitions.get(tenant, list(segments))
    left = [
        one
        for one in segments
        if one in found and found[one].is_evaluated and found[one].state != FAILED
    ]
    if not left:
        text = "none of the audiences of the schedule can be evaluated; add a published one"
        raise UserError(text, code=REFUSED)
    return left
