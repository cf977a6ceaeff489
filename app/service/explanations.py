"""Use case: why a profile is in a segment, or not. Nothing is written.

The oracle evaluates the definition on what is stored (docs/decisions/0103).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from app.domain.definitions import StoredDefinition
from app.domain.errors import InvalidDefinition, UserError
from app.domain.external import Run
from app.domain.limits import DAY_MS
from app.domain.model import JsonObject, ProfileKey, Tenant
from app.domain.timestamps import iso_text
from app.engine.consent import PATH as CONSENT_PATH
from app.engine.consent import with_consent
from app.engine.explain import Explanation, explain
from app.engine.state_codec import decode
from app.pql.ast import Expr
from app.pql.checker import check
from app.pql.parser import parse
from app.service.agreement import Doubt, agreement_document
from app.service.definition_document import evaluation_fields
from app.service.definitions import Definitions
from app.service.explained_profile import ExplainedProfile
from app.service.explanation_document import explanation_document
from app.service.explanation_other import external_fields, notes_of, segments_asked
from app.service.profiles import ProfileStore, SegmentIds, no_profile

Aside: TypeAlias = Callable[..., Awaitable[Any]]
"""Calls a function with arguments so that others are served meanwhile."""


class Runs(Protocol):
    """The imports of external audiences."""

    async def runs(self, tenant: Tenant, segment_id: str) -> list[Run]:
        """Return the runs of an audience, newest first."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplanationParts:
    """What explanations are made from."""

    profiles: ProfileStore
    segment_ids: SegmentIds
    definitions: Definitions
    runs: Runs


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked.

    Attributes:
        at_ms: The instant; None for the clock of the profile's partition.
        most_events: So many events are listed of each condition.
    """

    key: ProfileKey
    segment_id: str
    at_ms: int | None = None
    most_events: int = 20


class Explanations:
    """Explains memberships of stored profiles.

    Args:
        retention_ms: How long workers keep events.
        now_ms: The wall clock in epoch milliseconds.
        aside: Runs what takes long.
    """

    def __init__(
        self,
        parts: ExplanationParts,
        retention_ms: int,
        now_ms: Callable[[], int],
        aside: Aside,
    ) -> None:
        self._parts = parts
        self._retention_ms = retention_ms
        self._now_ms = now_ms
        self._aside = aside

    async def explain(self, asked: Question) -> JsonObject:
        """Return why a profile is in a segment, or not.

        Raises:
            NotFound: There is no such profile, or no such segment, in this tenant.
            UserError: `cannot-explain`: it takes too many evaluations, or this version does not
                know the expression.
        """
        tenant, parts = asked.key.tenant, self._parts
        tag = await parts.segment_ids.tag(tenant)
        stored = (await parts.profiles.profiles([asked.key], with_events=True)).get(asked.key)
        state = None if stored is None else decode(stored.state)
        if stored is None or state is None or not state.created:
            raise no_profile(asked.key)
        definition = await parts.definitions.audience(tenant, asked.segment_id)
        now_ms = stored.clock_ms if asked.at_ms is None else asked.at_ms
        segment_ids = await parts.segment_ids.segment_ids(tenant)
        namespaces = await parts.segment_ids.namespaces(tenant)
        profile = ExplainedProfile(
            state, stored, segment_ids, namespaces, now_ms, self._retention_ms
        )
        if definition.external is not None:
            answer = await self._external(tenant, definition, profile)
        else:
            answer = await self._evaluated(asked, definition, profile)
        doubt = Doubt(
            definition, profile, tag, self._now_ms(), bool(answer["qualifies"]), asked.at_ms
        )
        return self._head(asked, definition, profile) | agreement_document(doubt) | answer

    def _head(
        self, asked: Question, definition: StoredDefinition, profile: ExplainedProfile
    ) -> JsonObject:
        document = {
            "profileId": asked.key.profile_id,
            "segmentId": definition.segment_id,
            "segmentName": definition.name,
            "version": definition.version,
            "lifecycleState": definition.lifecycle,
            **evaluation_fields(definition),
            "evaluatedAt": iso_text(profile.now_ms),
            "clock": iso_text(profile.stored.clock_ms),
            "retention": {
                "days": self._retention_ms // DAY_MS,
                "since": iso_text(max(profile.now_ms - self._retention_ms + 1, 0)),
            },
            "membership": profile.membership(definition.ordinal),
        }
        if definition.external is None:
            document["expression"] = definition.expression
        return document

    async def _external(
        self, tenant: Tenant, definition: StoredDefinition, profile: ExplainedProfile
    ) -> JsonObject:
        runs: Sequence[Run] = await self._parts.runs.runs(tenant, definition.segment_id)
        return external_fields(definition, profile, runs)

    async def _evaluated(
        self,
        asked: Question,
        definition: StoredDefinition,
        profile: ExplainedProfile,
    ) -> JsonObject:
        expr, asked_ids = _resolved(definition)
        said, kept = await self._aside(_explained, expr, definition, profile)
        others = await self._parts.definitions.audiences(asked.key.tenant, asked_ids)
        source, most = definition.expression, asked.most_events
        document = explanation_document(said, source, profile.now_ms, most)
        return {
            "qualifies": said.qualifies,
            "eventCount": kept,
            **document,
            "segments": segments_asked(asked.key.profile_id, profile, asked_ids, others),
            "notes": notes_of(profile, asks_segments=bool(asked_ids)),
        }


def _resolved(definition: StoredDefinition) -> tuple[Expr, tuple[str, ...]]:
    try:
        checked = check(parse(definition.expression))
        problems = [str(problem) for problem in checked.problems]
    except InvalidDefinition as error:
        checked, problems = None, [error.message]
    if checked is None or checked.expr is None or problems:
        raise UserError(
            f"the expression cannot be evaluated by this version: {'; '.join(problems)}",
            code="cannot-explain",
        )
    return checked.expr, checked.segment_ids


def _explained(
    expr: Expr, definition: StoredDefinition, profile: ExplainedProfile
) -> tuple[Explanation, int]:
    subject, members = profile.subject(), profile.members()
    # Where the profile says nothing of opt-outs there is nothing to show.
    if definition.exclude_opt_out and CONSENT_PATH in subject.attributes:
        expr = with_consent(expr)
    said = explain(expr, definition.expression, subject, members, profile.retention_ms)
    return said, len(subject.events)
