"""Answers of `…/explain` as pydantic models, for OpenAPI."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from app.adapters.http.explanation_example import EXAMPLE
from app.adapters.http.schemas import StrictBody
from app.domain.model import EvaluationState


class Placed(StrictBody):
    """A part of the expression: its text, and where it stands; all zero for what is not written."""

    text: str
    start: int = Field(description="Characters before it.")
    end: int = Field(description="Characters up to its end.")
    line: int = Field(description="From 1.")
    column: int = Field(description="From 1.")


class ExplainedNode(Placed):
    """One node of the expression and its value."""

    kind: str = Field(description="Operator, function, or kind of node.")
    value: Any = Field(
        default=None,
        description="Lists, objects and texts are shortened. Absent where it is asked per item.",
    )
    value_count: int | None = Field(default=None, description="Items of a list, keys of an object.")
    holds: bool | None = Field(default=None, description="Whether it is true as a condition.")
    items: int | None = Field(default=None, description="For how many items it was asked.")
    items_that_hold: int | None = Field(default=None, description="For how many it is true.")
    from_: str | None = Field(
        default=None, alias="from", description="Of `occurs`: the first instant that satisfies it."
    )
    until: str | None = Field(
        default=None, description="Of `occurs`: the first that no longer does."
    )
    deciding: bool = Field(description="It makes the answer what it is.")
    children: list[ExplainedNode]


class NamedEvent(StrictBody):
    """What names a kept event."""

    id: Any = Field(description="Its `_id`; null for none.")
    event_type: Any
    timestamp: str | None


class ConditionEvents(Placed):
    """The kept events that a condition accepted."""

    count: int = Field(description="All of them.")
    events: list[NamedEvent] = Field(description="The newest, at most `limit`.")


class SequenceStep(StrictBody):
    """One step of a sequence."""

    label: str
    text: str
    needed: int = Field(description="Events that finish it.")
    done: bool
    events: list[NamedEvent] = Field(description="Those that fill it, in order.")


class SequenceEvents(Placed):
    """What fills a `chain`."""

    stands_at: str | None = Field(description="The first step that is not done; null for none.")
    steps: list[SequenceStep]
    note: str | None = None


class NextChange(StrictBody):
    """When the answer changes by itself, if nothing else arrives."""

    at: str | None = Field(description="Null where it does not, or that is not known.")
    qualifies: bool | None = Field(default=None, description="The answer from then on.")
    searched_until: str | None = Field(
        default=None, description="It does not change before; later was not looked at."
    )
    note: str | None = None


class FlipNeed(Placed):
    """One thing that would have to be so."""

    kind: Literal[
        "attribute", "events", "fewer-events", "segment", "sequence", "time", "condition"
    ] = Field(description="`condition`: there is no simpler way to say it.")
    words: str
    becomes: bool = Field(description="What the condition has to become.")
    path: str | None = None
    operator: str | None = Field(default=None, description="The relation that is needed.")
    operand: Any = None
    current: Any = Field(default=None, description="What is compared, as it is now.")
    count: int | None = Field(default=None, description="Events more, or fewer.")
    segment_id: str | None = None


class FlipAlternative(StrictBody):
    """Needs that together flip the answer."""

    needs: list[FlipNeed]
    checked: bool | None = Field(
        default=None,
        description="They were applied, and the answer was the other one. Null: they cannot be.",
    )
    updates: list[dict[str, Any]] = Field(
        description="Profile updates that would do it; empty where none can, or too many must."
    )


class ToFlip(StrictBody):
    """What would have to be true for the other answer, the least first."""

    qualifies: bool
    alternatives: list[FlipAlternative]
    note: str | None = None


class Agreement(StrictBody):
    """Whether the stored membership is what the oracle says."""

    agrees: bool | None = Field(description="Null where they cannot be compared.")
    reasons: list[str]


class StoredMembership(StrictBody):
    """What is stored of the membership."""

    status: Literal["realized", "exited"]
    last_qualification_time: str
    sequence: int
    valid_until: str | None = None


class AskedSegment(StrictBody):
    """A membership that `inSegment` asks for."""

    segment_id: str
    segment_name: str | None
    is_member: bool
    membership: StoredMembership | None
    href: str = Field(description="Where it is explained.")


class ExternalMembershipAnswer(StrictBody):
    """What is known of a membership of an external audience."""

    namespace: str
    valid_until: str | None
    run: dict[str, Any] | None = Field(description="The import that told it; null for an update.")
    words: str


class Retention(StrictBody):
    """Which events are seen."""

    days: int
    since: str


class ExplanationAnswer(StrictBody):
    """Why a profile is in a segment, or not."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    profile_id: str
    segment_id: str
    segment_name: str
    version: int
    lifecycle_state: str
    evaluation_state: EvaluationState
    evaluation_state_reason: str | None = None
    evaluation_progress: dict[str, int] | None = None
    evaluated_at: str = Field(description="The instant of the answer.")
    clock: str = Field(description="Of the profile's partition.")
    retention: Retention
    membership: StoredMembership | None = Field(description="Null: it never was in it.")
    expression: str | None = Field(default=None, description="Absent of an external audience.")
    agreement: Agreement
    evaluated_version: int | None = Field(
        description="The version that the stored membership was made with; null for an earlier one."
    )
    qualifies: bool = Field(description="The answer at `evaluatedAt`.")
    event_count: int | None = Field(default=None, description="Events that were seen.")
    tree: ExplainedNode | None = None
    events: list[ConditionEvents] | None = None
    sequences: list[SequenceEvents] | None = None
    next_change: NextChange
    to_flip: ToFlip
    segments: list[AskedSegment] | None = None
    external: ExternalMembershipAnswer | None = None
    notes: list[str]
