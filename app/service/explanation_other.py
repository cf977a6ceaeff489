"""What an explanation says beside the expression: other segments, imports, what is not known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote

from app.domain.definitions import StoredDefinition
from app.domain.external import Run
from app.domain.model import JsonObject
from app.domain.timestamps import iso_text
from app.service.explained_profile import ExplainedProfile


def segments_asked(
    profile_id: str,
    profile: ExplainedProfile,
    ids: Sequence[str],
    known: Mapping[str, StoredDefinition],
) -> list[JsonObject]:
    """Return the memberships that `inSegment` asked for; each can be explained by itself."""
    found = []
    for segment_id in ids:
        other = known.get(segment_id)
        membership = None if other is None else profile.membership(other.ordinal)
        found.append(
            {
                "segmentId": segment_id,
                "segmentName": None if other is None else other.name,
                "isMember": segment_id in profile.members(),
                "membership": membership,
                "href": explain_path(profile_id, segment_id),
            }
        )
    return found


def explain_path(profile_id: str, segment_id: str) -> str:
    """Return where the explanation of a membership is."""
    return f"/profiles/{quote(profile_id)}/segments/{quote(segment_id, safe='')}/explain"


def external_fields(
    definition: StoredDefinition, profile: ExplainedProfile, runs: Sequence[Run]
) -> JsonObject:
    """Return the answer for an external audience, which has no expression."""
    until_ms = profile.state.external.get(definition.ordinal, 0)
    is_in = definition.is_evaluated and until_ms > profile.now_ms
    run = next((one for one in runs if until_ms and one.until_ms == until_ms), None)
    told = "an update told that the profile is in it" if run is None else "a run imported it"
    change: JsonObject = {"at": None, "note": "it does not change by itself"}
    if is_in:
        change = {"at": iso_text(until_ms), "qualifies": False}
    return {
        "qualifies": is_in,
        "external": {
            "namespace": definition.membership_namespace,
            "validUntil": iso_text(until_ms) if until_ms else None,
            "run": None if run is None else _run(run),
            "words": f"{told}, until {iso_text(until_ms)}" if until_ms else "it is not told of",
        },
        "nextChange": change,
        "toFlip": {
            "qualifies": not is_in,
            "alternatives": [],
            "note": "an import, or an update with externalMembership, has to tell that the profile"
            f" is {'no longer ' if is_in else ''}in it",
        },
        "notes": [],
    }


def _run(run: Run) -> JsonObject:
    return {
        "runId": run.run_id,
        "status": run.status,
        "createdAt": iso_text(run.created_ms),
        "createdBy": run.author,
    }


def notes_of(profile: ExplainedProfile, *, asks_segments: bool) -> list[str]:
    """Return what has to be known to read an explanation right."""
    notes = []
    if asks_segments:
        notes.append(
            "memberships that inSegment asks for are taken as they are stored; when one changes,"
            " this may change too, at another time than nextChange says"
        )
    if profile.now_ms != profile.stored.clock_ms:
        notes.append(
            "attributes and memberships are as they are stored now, whatever they were at the"
            " instant asked for; only events and windows are of that instant"
        )
    if profile.now_ms < profile.stored.clock_ms:
        notes.append(
            "events that were kept at that instant and are past the retention now are not seen"
        )
    return notes
