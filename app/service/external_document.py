"""External audiences, their operations and runs as JSON.

Source: API reference, external audience ingestion. Extensions: `rows`, `files`, `problems` and
`reason`, which say what became of a source.
"""

from __future__ import annotations

from typing import Any

from app.domain.definitions import StoredDefinition
from app.domain.external import (
    SUCCESS,
    ExternalAudience,
    ImportField,
    ImportSource,
    Operation,
    Run,
)
from app.domain.model import JsonObject

EXTERNAL_TYPE = "ExternalSegment"
AUDIENCE_TYPE = "people"


def external_document(external: ExternalAudience) -> JsonObject:
    """Return all of an external audience that a definition has not; see `external_from`."""
    document: JsonObject = {
        "type": EXTERNAL_TYPE,
        "audienceId": external.audience_id,
        "namespace": external.namespace,
        "originName": external.origin_name,
        "ttlInDays": external.ttl_days,
        "fields": [field_document(one) for one in external.fields],
        "tags": list(external.tags),
    }
    if external.source is not None:
        document["sourceSpec"] = source_document(external.source)
    if external.linked is not None:
        document["linkedAudienceRef"] = external.linked
    if external.meta is not None:
        document["audienceMeta"] = external.meta
    return document


def external_from(document: JsonObject) -> ExternalAudience | None:
    """Return what `external_document` wrote, None where the document is of a definition."""
    if document.get("type") != EXTERNAL_TYPE:
        return None
    source = document.get("sourceSpec")
    return ExternalAudience(
        namespace=document["namespace"],
        audience_id=document["audienceId"],
        origin_name=document["originName"],
        fields=tuple(_field(one) for one in document["fields"]),
        source=None if source is None else _source(source["params"]),
        ttl_days=document["ttlInDays"],
        tags=tuple(document["tags"]),
        linked=document.get("linkedAudienceRef"),
        meta=document.get("audienceMeta"),
    )


def field_document(one: ImportField) -> JsonObject:
    """Return a column of a source."""
    document: JsonObject = {"name": one.name, "type": one.type}
    if one.identity_ns:
        document["identityNs"] = one.identity_ns
    return document | {"labels": list(one.labels)}


def source_document(source: ImportSource) -> JsonObject:
    """Return where the rows are."""
    params: JsonObject = {
        "path": source.path,
        "type": source.type,
        "sourceType": source.source_type,
        "cloudType": source.cloud_type,
    }
    if source.connection_id:
        params["baseConnectionId"] = source.connection_id
    return {"params": params}


def _field(document: JsonObject) -> ImportField:
    labels = tuple(document.get("labels", ()))
    return ImportField(document["name"], document["type"], document.get("identityNs", ""), labels)


def _source(params: JsonObject) -> ImportSource:
    return ImportSource(
        params["path"],
        params["type"],
        params["cloudType"],
        params["sourceType"],
        params.get("baseConnectionId", ""),
    )


def ingested_document(definition: StoredDefinition) -> JsonObject:
    """Return an external audience as the ingestion API shows it."""
    external = definition.external
    assert external is not None
    document: JsonObject = {
        "audienceId": definition.segment_id,
        "audienceName": definition.name,
        "description": definition.description,
        "fields": [field_document(one) for one in external.fields],
    }
    if external.source is not None:
        document["sourceSpec"] = source_document(external.source)
    return document | {
        "ttlInDays": external.ttl_days,
        "labels": list(definition.labels),
        "audienceType": AUDIENCE_TYPE,
        "originName": external.origin_name,
        "createdBy": definition.created_by,
        "createdAt": definition.created_ms // 1000,
        "updatedBy": definition.modified_by,
        "updatedAt": definition.updated_ms // 1000,
    }


def operation_document(operation: Operation) -> JsonObject:
    """Return an operation as it stands; the audience has an id once it is there."""
    document: JsonObject = {
        "operationId": operation.operation_id,
        "status": operation.status,
        "operationDetails": operation.details,
        "audienceName": operation.name,
    }
    if operation.status == SUCCESS:
        document["audienceId"] = operation.segment_id
    if operation.reason:
        document["reason"] = operation.reason
    return document | {
        "createdBy": operation.author,
        "createdAt": operation.created_ms // 1000,
        "updatedBy": operation.author,
        "updatedAt": operation.updated_ms // 1000,
    }


def started_document(name: str, run: Run) -> JsonObject:
    """Return a run as it was asked for."""
    document: JsonObject = {
        "audienceName": name,
        "audienceId": run.segment_id,
        "runId": run.run_id,
        "differentialIngestion": not run.is_first,
        "dataFilterStartTime": run.from_s,
    }
    if run.to_s is not None:
        document["dataFilterEndTime"] = run.to_s
    return document | {"createdAt": run.created_ms // 1000, "createdBy": run.author}


def run_document(name: str, run: Run, *, with_details: bool) -> JsonObject:
    """Return a run as it stands."""
    document = started_document(name, run)
    document |= {"status": run.status, "updatedAt": run.updated_ms // 1000}
    if with_details:
        document["details"] = _details(run)
        document["rows"] = {"accepted": run.accepted, "rejected": run.rejected}
        document["files"] = {"taken": len(run.files or ()), "ignored": run.ignored}
        document["problems"] = list(run.problems)
    if run.reason:
        document["reason"] = run.reason
    return document


def _details(run: Run) -> list[dict[str, Any]]:
    """Return the two stages: rows into the input topic, and from there into the profiles."""
    read = SUCCESS if run.is_read else run.status
    found = [{"stage": "DATASET_INGEST", "status": read, "flowRunId": run.run_id}]
    if run.is_read:
        stored = {"stage": "PROFILE_STORE_INGEST", "status": run.status, "flowRunId": run.run_id}
        found.append(stored)
    return found
