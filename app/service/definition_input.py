"""What a client chooses of a definition, and the definition that comes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from app.domain.definitions import (
    BACKFILLING,
    OFF,
    PUBLISHED,
    REMOVING,
    EvaluationMethods,
    LifecycleState,
    SentExpression,
    StoredDefinition,
)
from app.domain.model import Tenant
from app.service.definition_document import default_merge_policy_id
from app.service.expression_forms import TEXT_FORMAT
from app.service.expressions import AcceptedExpression, same_meaning

ON_BATCH = EvaluationMethods()
"""What a definition without `evaluationInfo` gets."""


@dataclass(frozen=True, slots=True)
class DefinitionInput:
    """What a client may choose of a definition.

    Attributes:
        expression: As it was sent: PQL text, or pql/json.
        expression_format: What it was said to be; what it is, is seen by itself.
        merge_policy_id: None for the default one.
        lifecycle: None for published where it is new, else for what it is.
        labels, override_performance_warnings: None for none where it is new, else for what it has.
        exclude_opt_out: None for true where it is new, else for what it has.
        author: Name of the caller.
    """

    name: str
    expression: str
    schema_name: str
    description: str = ""
    expression_format: str = TEXT_FORMAT
    methods: EvaluationMethods = ON_BATCH
    merge_policy_id: str | None = None
    profile_instance_id: str = "ups"
    lifecycle: LifecycleState | None = None
    labels: tuple[str, ...] | None = None
    override_performance_warnings: bool | None = None
    exclude_opt_out: bool | None = None
    author: str = ""


Edit = Callable[[StoredDefinition], DefinitionInput]
"""What a definition is to become, by what it is; called again when another writer came between."""


def new_definition(
    tenant: Tenant,
    segment_id: str,
    given: DefinitionInput,
    accepted: AcceptedExpression,
    now_ms: int,
    previous: StoredDefinition | None = None,
) -> StoredDefinition:
    """Return what is given as a definition of version 1; `ordinal` is for the caller to set.

    Args:
        previous: What it replaces: where something is not given, that stays.
    """
    lifecycle = given.lifecycle or (previous.lifecycle if previous else PUBLISHED)
    labels, override = given.labels, given.override_performance_warnings
    if labels is None:
        labels = previous.labels if previous else ()
    if override is None:
        override = previous is not None and previous.override_performance_warnings
    exclude_opt_out = given.exclude_opt_out
    if exclude_opt_out is None:
        exclude_opt_out = previous is None or previous.exclude_opt_out
    return StoredDefinition(
        segment_id=segment_id,
        ordinal=0,
        version=1,
        name=given.name,
        description=given.description,
        expression=accepted.text,
        schema_name=given.schema_name,
        methods=given.methods,
        merge_policy_id=given.merge_policy_id or default_merge_policy_id(tenant),
        profile_instance_id=given.profile_instance_id,
        uses=accepted.segment_ids,
        created_ms=now_ms,
        updated_ms=now_ms,
        version_ms=now_ms,
        lifecycle=lifecycle,
        labels=labels,
        override_performance_warnings=override,
        exclude_opt_out=exclude_opt_out,
        created_by=previous.created_by if previous else given.author,
        modified_by=given.author,
        state=BACKFILLING if lifecycle == PUBLISHED else OFF,
        sent=_sent(given, accepted),
    )


def _sent(given: DefinitionInput, accepted: AcceptedExpression) -> SentExpression | None:
    if given.expression_format == TEXT_FORMAT and given.expression == accepted.text:
        return None
    return SentExpression(given.expression_format, given.expression)


def carried_on(
    new: StoredDefinition, previous: StoredDefinition, accepted: AcceptedExpression
) -> StoredDefinition:
    """Return an edited definition with its ordinal, version, state and progress."""
    changed = not same_meaning(previous.expression, accepted.tree)
    changed |= new.exclude_opt_out != previous.exclude_opt_out
    carried = replace(
        new,
        ordinal=previous.ordinal,
        created_ms=previous.created_ms,
        version=previous.version + changed,
        version_ms=new.version_ms if changed else previous.version_ms,
    )
    if new.is_evaluated != previous.is_evaluated:
        return carried if new.is_evaluated else replace(carried, state=REMOVING)
    if new.is_evaluated and changed:
        return carried
    return replace(
        carried,
        state=previous.state,
        state_reason=previous.state_reason,
        progress=previous.progress,
    )
