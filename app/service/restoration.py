"""Use case: what was lost with Redis is put back from what was published.

The published memberships of a profile become a state without attributes and events, whose tag no
catalogue has: the next update or timer of the profile evaluates every definition, and differences
go on above the published sequences (docs/decisions/0301).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from app.domain.definitions import (
    PUBLISHED,
    CatalogueHead,
    DefinitionStore,
    DefinitionWrite,
    EvaluationMethods,
    SentExpression,
    StoredDefinition,
)
from app.domain.errors import Conflict
from app.domain.model import JsonObject, Membership, Tenant
from app.engine.profile import ProfileState
from app.engine.state_codec import encode
from app.engine.tables import Detail, DetailTable
from app.pql.memberships import possible_segments
from app.service.expression_forms import TEXT_FORMAT, read_expression
from app.service.external_document import external_from

RESTORED_TAG = "restored"
"""Catalogue tag of a restored state; a real one has a hyphen."""


def restored_state(memberships: Mapping[int, Membership]) -> bytes:
    """Return the packed state of a profile of which only memberships are known.

    Args:
        memberships: By segment ordinal.
    """
    members = sum(1 << one for one, found in memberships.items() if found.status == "realized")
    details = {one: Detail(found.at_ms, found.sequence) for one, found in memberships.items()}
    external = {one: found.until_ms for one, found in memberships.items() if found.until_ms}
    return encode(
        ProfileState(
            tag=RESTORED_TAG,
            members=members.to_bytes((members.bit_length() + 7) // 8, "little"),
            details=DetailTable(details),
            external=external,
            created=True,
        )
    )


async def restore_definitions(
    store: DefinitionStore, tenant: Tenant, documents: Sequence[JsonObject]
) -> int:
    """Put published definitions back, with their ids and versions, where a tenant has none.

    Args:
        store: Where they were lost.
        tenant: Whose definitions they are.
        documents: Values of the definitions topic.

    Returns:
        How many were put back: none where the tenant has definitions.

    Raises:
        Conflict: Somebody else wrote definitions of the tenant meanwhile.
    """
    total, _ = await store.page(tenant, 0, 1, newest_first=False)
    if total or await store.external(tenant):
        return 0
    for document in _in_order(documents):
        head = await store.head(tenant)
        definition = _definition(document, head)
        if not await store.put(tenant, head, DefinitionWrite(definition, document)):
            raise Conflict(
                f"definitions of {tenant.org_id}/{tenant.sandbox_name} were written while they"
                " were being put back: stop the API, empty Redis, and begin again",
                code="catalogue-busy",
            )
    return len(documents)


def _in_order(documents: Iterable[JsonObject]) -> list[JsonObject]:
    return sorted(documents, key=lambda document: (document["creationTime"], document["id"]))


def _definition(document: JsonObject, head: CatalogueHead) -> StoredDefinition:
    external = external_from(document)
    sent = None if external else SentExpression(**_without_type(document["expression"]))
    found = None if sent is None else read_expression(sent.value, sent.format)
    text = "" if found is None else found.text
    methods = {name: item["enabled"] for name, item in document["evaluationInfo"].items()}
    return StoredDefinition(
        segment_id=document["id"],
        ordinal=head.next_ordinal,
        version=document["version"],
        name=document["name"],
        description=document["description"],
        expression=text,
        schema_name=document["schema"]["name"],
        methods=EvaluationMethods(**methods),
        merge_policy_id=document["mergePolicyId"],
        profile_instance_id=document["profileInstanceId"],
        uses=() if found is None else tuple(sorted(possible_segments(found.tree))),
        created_ms=document["creationTime"],
        updated_ms=document["updateTime"],
        version_ms=document["updateTime"],
        lifecycle=document.get("lifecycleState", PUBLISHED),
        labels=tuple(document.get("labels", ())),
        override_performance_warnings=document.get("overridePerformanceWarnings", False),
        exclude_opt_out=document["dataGovernancePolicy"]["excludeOptOut"],
        created_by=document.get("createdBy", ""),
        modified_by=document.get("lastModifiedBy", ""),
        external=external,
        sent=None if sent == SentExpression(TEXT_FORMAT, text) else sent,
    )


def _without_type(expression: JsonObject) -> JsonObject:
    return {name: expression[name] for name in ("format", "value")}
