"""An audience as JSON: a segment definition seen through the newer endpoint."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from app.domain.definitions import StoredDefinition
from app.domain.errors import UserError
from app.domain.model import JsonObject, Tenant
from app.domain.search import SEGMENT_NAMESPACE
from app.service.definition_document import (
    definition_document,
    evaluation_fields,
    published_document,
)
from app.service.external_document import EXTERNAL_TYPE, external_document
from app.service.lifecycle import REFUSED

TYPE = "SegmentDefinition"
ORIGIN = "REAL_TIME_CUSTOMER_PROFILE"

EDITABLE = (
    "name",
    "description",
    "expression",
    "schema",
    "evaluationInfo",
    "mergePolicyId",
    "profileInstanceId",
    "labels",
    "lifecycleState",
    "overridePerformanceWarnings",
)
"""Fields that a client may choose."""

AUDIENCE_FIELDS = frozenset(
    (
        *EDITABLE,
        *("id", "audienceId", "imsOrgId", "sandbox", "dataGovernancePolicy", "isSystem"),
        *("creationTime", "createEpoch", "updateTime", "updateEpoch", "_etag"),
        *("dependents", "dependencies", "definedOn", "type", "originName", "namespace"),
        *("createdBy", "lastModifiedBy", "ttlInDays", "linkedAudienceRef", "audienceMeta"),
        *("version", "evaluationState", "evaluationStateReason", "evaluationProgress"),
    )
)
"""Every field that an audience can have. Source: API reference, audience object; those of the last
line are extensions."""

EXTERNAL_EDITABLE = (
    "name",
    "description",
    "labels",
    "lifecycleState",
    "ttlInDays",
    "linkedAudienceRef",
    "audienceMeta",
)
"""Fields of an external audience that a client may choose."""

_NOT_OF_EXTERNAL = (
    "schema",
    "profileInstanceId",
    "mergePolicyId",
    "evaluationInfo",
    "dataGovernancePolicy",
)
_OF_EXTERNAL_SHOWN = (
    "type",
    "audienceId",
    "namespace",
    "originName",
    "ttlInDays",
    "linkedAudienceRef",
    "audienceMeta",
)
_DEFINED_ON = {
    "meta:resourceType": "unions",
    "meta:containerId": "tenant",
    "$ref": "https://ns.adobe.com/xdm/context/profile__union",
}
_OF_EXTERNAL = ("datasetId", "linkedAudienceRef", "audienceMeta")
_ETAGS = uuid.UUID("0b8d7c5e-6a41-5f0c-8f3e-2d1c9b7a4e60")


def audience_document(
    tenant: Tenant, definition: StoredDefinition, dependents: Sequence[str]
) -> JsonObject:
    """Return an audience with all its fields.

    Args:
        dependents: Ids of the audiences that ask this one, sorted.
    """
    document = definition_document(tenant, definition)
    version = document.pop("version")
    if definition.external is not None:
        for name in _NOT_OF_EXTERNAL:
            del document[name]
    document |= {
        "audienceId": definition.segment_id,
        "isSystem": False,
        "createEpoch": definition.created_ms // 1000,
        "_etag": _etag(tenant, definition),
        "dependents": list(dependents),
        "dependencies": list(definition.uses),
        **_origin_fields(definition),
        "lifecycleState": definition.lifecycle,
        "labels": list(definition.labels),
    }
    # Unknown of what was written before they were kept.
    if definition.created_by:
        document["createdBy"] = definition.created_by
    if definition.modified_by:
        document["lastModifiedBy"] = definition.modified_by
    return document | {"version": version} | evaluation_fields(definition)


def public_name(definition: StoredDefinition) -> tuple[str, str]:
    """Return `audienceId` and `namespace` as an audience shows them."""
    external = definition.external
    if external is None:
        return definition.segment_id, SEGMENT_NAMESPACE
    return external.audience_id or definition.segment_id, external.namespace


def _origin_fields(definition: StoredDefinition) -> JsonObject:
    """Return what tells an audience made here from an external one."""
    external = definition.external
    if external is None:
        return {
            "definedOn": [dict(_DEFINED_ON)],
            "type": TYPE,
            "originName": ORIGIN,
            "overridePerformanceWarnings": definition.override_performance_warnings,
            "namespace": SEGMENT_NAMESPACE,
        }
    fields = external_document(external)
    return {name: fields[name] for name in _OF_EXTERNAL_SHOWN if name in fields}


def editable_document(tenant: Tenant, definition: StoredDefinition) -> JsonObject:
    """Return the fields of `EDITABLE`, all of them, free to be changed.

    Of an external audience those of `EXTERNAL_EDITABLE` that it has.
    """
    document = audience_document(tenant, definition, ())
    names = EDITABLE if definition.external is None else EXTERNAL_EDITABLE
    return {name: document[name] for name in names if name in document}


def check_made_here(given: Mapping[str, Any]) -> None:
    """Refuse the body of an audience that is made elsewhere.

    Raises:
        UserError: `audience-invalid`, saying what is supported.
    """
    for name, only in (("type", TYPE), ("namespace", SEGMENT_NAMESPACE), ("originName", ORIGIN)):
        if given.get(name) not in (None, only):
            raise UserError(
                f"{name} {given[name]!r} is not that of an audience made here from an expression, "
                f"which is {only} and never changes; for an external audience send type "
                f"{EXTERNAL_TYPE}",
                code=REFUSED,
            )
    for name in _OF_EXTERNAL:
        if given.get(name) is not None:
            raise UserError(
                f"{name} belongs to external audiences; leave it out, or send type {EXTERNAL_TYPE}",
                code=REFUSED,
            )


def _etag(tenant: Tenant, definition: StoredDefinition) -> str:
    """Return a text, with its own quotes, that changes with every write."""
    written = json.dumps(published_document(tenant, definition), sort_keys=True)
    return f'"{uuid.uuid5(_ETAGS, written)}"'
