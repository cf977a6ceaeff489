"""A segment definition as JSON: what the API answers and what the `definitions` topic carries."""

from __future__ import annotations

import uuid

from app.domain.definitions import EvaluationMethods, StoredDefinition
from app.domain.model import JsonObject, Tenant
from app.service.external_document import external_document

_NAMESPACE = uuid.UUID("6f1f9c1e-2d0b-5c52-9a58-7a2f6b0a4c11")
_PRODUCTION = "prod"


def sandbox_object(tenant: Tenant) -> JsonObject:
    """Return the sandbox as API objects carry it; the id is the same at every replica, for ever."""
    production = tenant.sandbox_name == _PRODUCTION
    return {
        "sandboxId": _stable_id("sandbox", tenant),
        "sandboxName": tenant.sandbox_name,
        "type": "production" if production else "development",
        "default": production,
    }


def default_merge_policy_id(tenant: Tenant) -> str:
    """Return the merge policy filled in for definitions that name none."""
    return _stable_id("merge-policy", tenant)


def _stable_id(kind: str, tenant: Tenant) -> str:
    return str(uuid.uuid5(_NAMESPACE, f"{kind}/{tenant.org_id}/{tenant.sandbox_name}"))


def definition_document(tenant: Tenant, definition: StoredDefinition) -> JsonObject:
    """Return the fields of a definition, in the order of the API reference's samples.

    `version` is an extension: the number that membership changes carry as `definitionVersion`.
    """
    document = {
        "id": definition.segment_id,
        "schema": {"name": definition.schema_name},
        "profileInstanceId": definition.profile_instance_id,
        "imsOrgId": tenant.org_id,
        "sandbox": sandbox_object(tenant),
        "name": definition.name,
        "description": definition.description,
        "expression": {"type": "PQL", "format": "pql/text", "value": definition.expression},
        "mergePolicyId": definition.merge_policy_id,
        "evaluationInfo": _evaluation_info(definition.methods),
        "dataGovernancePolicy": {"excludeOptOut": True},
        "creationTime": definition.created_ms,
        "updateEpoch": definition.updated_ms // 1000,
        "updateTime": definition.updated_ms,
        "version": definition.version,
    }
    if definition.external is not None:
        del document["expression"]
    return document


def published_document(tenant: Tenant, definition: StoredDefinition) -> JsonObject:
    """Return what the `definitions` topic carries: all that a lost definition is restored from."""
    external = definition.external
    return definition_document(tenant, definition) | {
        **({} if external is None else external_document(external)),
        "lifecycleState": definition.lifecycle,
        "labels": list(definition.labels),
        "overridePerformanceWarnings": definition.override_performance_warnings,
        "createdBy": definition.created_by,
        "lastModifiedBy": definition.modified_by,
    }


def evaluation_fields(definition: StoredDefinition) -> JsonObject:
    """Return the state of its evaluation, an extension, as fields of an answer."""
    fields: JsonObject = {"evaluationState": definition.state}
    if definition.state_reason:
        fields["evaluationStateReason"] = definition.state_reason
    if definition.progress is not None:
        fields["evaluationProgress"] = {
            "partitionsDone": definition.progress.partitions_done,
            "partitions": definition.progress.partitions,
            "percent": definition.progress.percent,
        }
    return fields


def _evaluation_info(methods: EvaluationMethods) -> JsonObject:
    return {
        "batch": {"enabled": methods.batch},
        "continuous": {"enabled": methods.continuous},
        "synchronous": {"enabled": methods.synchronous},
    }
