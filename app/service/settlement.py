"""Making a profile agree with what was published of it before Redis lost its last writes.

Part of the commit protocol's recovery: after a silent replay the stored memberships may differ
from the published ones in number or in status (docs/decisions/0301).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.domain.model import SEGMENT_NAMESPACE, Membership, MembershipChange, ProfileKey, Status
from app.engine.catalogue import Catalogue
from app.engine.evaluation import Transition
from app.engine.tables import Detail
from app.engine.working import Profile

Known = Mapping[ProfileKey, Mapping[str, Membership | None]]


def with_unpublished(published: Known, changes: Sequence[MembershipChange]) -> Known:
    """Add what changes that are not going to be published start from.

    They were numbered by what was stored; published is what comes out of the settlement.
    """
    known = {key: dict(segments) for key, segments in published.items()}
    for change in changes:
        before = change.previous_status
        was = None if before is None else Membership(before, change.at_ms, change.sequence - 1)
        known.setdefault(change.key, {}).setdefault(change.segment_id, was)
    return known


def settle_profile(
    profile: Profile,
    catalogue: Catalogue,
    published: Mapping[str, Membership | None],
    clock_ms: int,
) -> list[Transition]:
    """Take over the published sequences, and return a further change where the status differs.

    Args:
        profile: Changed in place; brought up to `catalogue` before.
        catalogue: The current one of the profile's tenant.
        published: What the changes topic says last, by segment id; None for nothing.
        clock_ms: The instant of the changes.
    """
    ordinals = {segment_id: ordinal for ordinal, segment_id in catalogue.segment_ids.items()}
    found = []
    for segment_id, was in published.items():
        ordinal = ordinals.get(segment_id)
        # A segment that the catalogue never heard of is evaluated by nothing.
        if ordinal is not None:
            change = _settle_segment(profile, catalogue, ordinal, was, clock_ms)
            if change is not None:
                found.append(change)
    state = profile.state
    if not state.created and state.details and not state.deleted_ms:
        # A stub keeps the sequences of a profile that is not there (any more).
        state.deleted_ms = clock_ms
    profile.is_dirty = True
    return found


def _settle_segment(
    profile: Profile, catalogue: Catalogue, ordinal: int, was: Membership | None, clock_ms: int
) -> Transition | None:
    details = profile.state.details
    status: Status = "realized" if profile.members >> ordinal & 1 else "exited"
    if status == ("exited" if was is None else was.status):
        if was is None:
            details.pop(ordinal)
        else:
            details[ordinal] = Detail(was.at_ms, was.sequence)
        return None
    sequence = 1 if was is None else was.sequence + 1
    details[ordinal] = Detail(clock_ms, sequence)
    return Transition(
        segment_id=catalogue.segment_ids[ordinal],
        definition_version=_version(catalogue, ordinal),
        status=status,
        previous_status=None if was is None else was.status,
        at_ms=clock_ms,
        sequence=sequence,
        kind="time",
        namespace=catalogue.namespaces.get(ordinal, SEGMENT_NAMESPACE),
    )


def _version(catalogue: Catalogue, ordinal: int) -> int:
    rank = catalogue.ranks.get(ordinal)
    if rank is not None:
        return catalogue.definitions[rank].version
    return catalogue.removed.get(ordinal, 1)
