"""Whether the stored membership is what the oracle says, and if not, why it may not be."""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.definitions import BACKFILLING, DRAFT, FAILED, LIVE, StoredDefinition
from app.domain.model import JsonObject
from app.service.explained_profile import ExplainedProfile

_BEHIND_MS = 5_000


@dataclass(frozen=True, slots=True)
class Doubt:
    """What is known of one answer and one stored membership.

    Attributes:
        tag: Of the catalogue that is in force.
        wall_ms: The wall clock.
        qualifies: The oracle's answer.
        at_ms: The instant that was asked for; None for the clock of the partition.
    """

    definition: StoredDefinition
    profile: ExplainedProfile
    tag: str
    wall_ms: int
    qualifies: bool
    at_ms: int | None


def agreement_document(doubt: Doubt) -> JsonObject:
    """Return `agreement`, and the version of the definition that the membership was made with.

    `agrees` is null where the two are not comparable.
    """
    definition = doubt.definition
    is_member = doubt.profile.is_member(definition.ordinal)
    agrees: bool | None = doubt.qualifies is is_member
    reasons: list[str] = []
    if doubt.at_ms is not None:
        agrees = None
        reasons.append("another instant than the clock of the partition was asked for")
    elif not definition.is_evaluated:
        # What is not published has no members.
        agrees = not is_member or None
        reasons.append(_unpublished(doubt, is_member=is_member))
    elif not agrees:
        reasons = _reasons(doubt) or ["no reason is known; if it stays so, it is a defect"]
    return {
        "agreement": {"agrees": agrees, "reasons": reasons},
        "evaluatedVersion": definition.version if _is_current(doubt) else None,
    }


def _unpublished(doubt: Doubt, *, is_member: bool) -> str:
    if is_member:
        return "the definition is not evaluated any more, and the profile has not left it yet"
    what = "a draft" if doubt.definition.lifecycle == DRAFT else "inactive"
    return f"the definition is {what}: it is not evaluated, and nobody is a member"


def _is_current(doubt: Doubt) -> bool:
    """Tell whether the profile was evaluated with the version that is in force."""
    definition = doubt.definition
    if not definition.is_evaluated or definition.state == FAILED:
        return False
    return definition.state == LIVE or doubt.profile.state.tag == doubt.tag


def _reasons(doubt: Doubt) -> list[str]:
    definition, profile = doubt.definition, doubt.profile
    reasons = []
    if definition.state == FAILED:
        reasons.append(f"workers cannot evaluate the definition: {definition.state_reason}")
    if not _is_current(doubt) and definition.state != FAILED:
        text = f"the profile has not been brought to version {definition.version} yet"
        if definition.state == BACKFILLING:
            text += ": the definition is BACKFILLING"
        reasons.append(text)
    if definition.uses:
        reasons.append("a membership that inSegment asks for may have changed after the last batch")
    behind_ms = doubt.wall_ms - profile.stored.clock_ms
    if behind_ms > _BEHIND_MS:
        reasons.append(
            f"the clock of the partition is {behind_ms // 1_000} s behind the wall clock: it is"
            " idle, or its worker has records waiting"
        )
    return reasons
