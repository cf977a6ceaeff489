"""What a client chooses of an external audience, and the audience that comes of it."""

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
    StoredDefinition,
)
from app.domain.external import ExternalAudience
from app.domain.model import Tenant
from app.service.definition_document import default_merge_policy_id

PROFILE_SCHEMA = "_xdm.context.profile"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalInput:
    """What a client may choose of an external audience.

    Attributes:
        external: Its `audience_id` may be empty.
        lifecycle: None for published where it is new, else for what it is.
        author: Name of the caller.
    """

    name: str
    external: ExternalAudience
    description: str = ""
    labels: tuple[str, ...] = ()
    lifecycle: LifecycleState | None = None
    author: str = ""


ExternalEdit = Callable[[StoredDefinition], ExternalInput]
"""What an audience is to become, by what it is; called again when another writer came between."""


def new_audience(
    tenant: Tenant, segment_id: str, given: ExternalInput, now_ms: int
) -> StoredDefinition:
    """Return a new audience; `ordinal` is for the store to give."""
    lifecycle = given.lifecycle or PUBLISHED
    external = given.external
    return StoredDefinition(
        segment_id=segment_id,
        ordinal=0,
        version=1,
        name=given.name,
        description=given.description,
        expression="",
        schema_name=PROFILE_SCHEMA,
        methods=EvaluationMethods(),
        merge_policy_id=default_merge_policy_id(tenant),
        profile_instance_id="ups",
        uses=(),
        created_ms=now_ms,
        updated_ms=now_ms,
        version_ms=now_ms,
        lifecycle=lifecycle,
        labels=given.labels,
        created_by=given.author,
        modified_by=given.author,
        state=BACKFILLING if lifecycle == PUBLISHED else OFF,
        external=replace(external, audience_id=external.audience_id or segment_id),
    )


def changed_audience(
    previous: StoredDefinition, given: ExternalInput, now_ms: int
) -> StoredDefinition:
    """Return an audience as it becomes; its version stays, as no rule changes."""
    changed = replace(
        previous,
        name=given.name,
        description=given.description,
        labels=given.labels,
        lifecycle=given.lifecycle or previous.lifecycle,
        external=given.external,
        updated_ms=now_ms,
        modified_by=given.author,
    )
    if changed.is_evaluated == previous.is_evaluated:
        return changed
    state = BACKFILLING if changed.is_evaluated else REMOVING
    return replace(changed, state=state, state_reason="", progress=None)
