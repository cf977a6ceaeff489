"""Updates that come over HTTP, read with the decoder of the workers and made into records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from app.adapters.kafka.codecs import (
    TOMBSTONE_ORG,
    TOMBSTONE_SANDBOX,
    Forward,
    InputRules,
    UpdateDecoder,
)
from app.adapters.kafka.update_fields import MAX_DEPTH
from app.domain.errors import InvalidUpdate
from app.domain.model import ExternalMembership, JsonObject, ProfileKey, Tenant
from app.domain.partitioning import partition_of
from app.service.profile_updates import CheckedUpdate, MisdirectedUpdate, UpdateRecord


@dataclass(slots=True)
class _Input:
    """A record as the workers will read it."""

    key: bytes | None
    value: bytes | None
    timestamp: int
    offset: int = 0
    headers: Sequence[tuple[str, bytes]] = ()


class WorkerCheck:
    """Implements `app.service.profile_updates.UpdateCheck`.

    Args:
        topic: The input topic.
        partitions: Its partitions.
        max_record_bytes: Largest value that a worker accepts.
    """

    def __init__(self, topic: str, partitions: int, max_record_bytes: int) -> None:
        self._topic = topic
        self._partitions = partitions
        self._max_record_bytes = max_record_bytes

    def update(self, key: ProfileKey, document: object, now_ms: int) -> CheckedUpdate:
        """See `UpdateCheck.update`."""
        profile_id = key.profile_id
        value = _encoded(_addressed(document, key.tenant))
        rules = InputRules(self._partitions, *key.tenant, self._max_record_bytes)
        # One for each call: what it remembers of tenants and profiles would only grow here.
        decoder = UpdateDecoder(rules)
        record = _Input(profile_id.encode(), value, now_ms)
        home = partition_of(profile_id, self._partitions)
        found = decoder.decode(record, self._topic, home)
        if isinstance(found, Forward) or found.key.profile_id != profile_id:
            raise MisdirectedUpdate(
                f"profileId is not {profile_id!r}, the profile of this path: leave it out, or send"
                " the update to the path of its profile",
                code="other-profile",
            )
        if found.key.tenant != key.tenant:
            raise MisdirectedUpdate(
                "organisation or sandbox is not that of the headers x-gw-ims-org-id and"
                " x-sandbox-name: leave it out, it is filled in",
                code="other-tenant",
            )
        return CheckedUpdate(UpdateRecord(profile_id, value, [], now_ms), found.event_id)

    def membership(
        self, key: ProfileKey, told: ExternalMembership, event_id: str, now_ms: int
    ) -> UpdateRecord:
        """See `UpdateCheck.membership`."""
        value = {
            "eventId": event_id,
            "orgId": key.tenant.org_id,
            "sandboxName": key.tenant.sandbox_name,
            "profileId": key.profile_id,
            "externalMembership": {
                "audienceId": told.segment_id,
                "status": "realized",
                "validUntil": told.until_ms,
            },
        }
        return UpdateRecord(key.profile_id, orjson.dumps(value), [], now_ms)

    def deletion(self, key: ProfileKey, now_ms: int) -> UpdateRecord:
        """See `UpdateCheck.deletion`."""
        org_id, sandbox_name = key.tenant
        headers = [
            (TOMBSTONE_ORG, org_id.encode()),
            (TOMBSTONE_SANDBOX, sandbox_name.encode()),
        ]
        return UpdateRecord(key.profile_id, None, headers, now_ms)


def _addressed(document: object, tenant: Tenant) -> object:
    """Fill in the tenant: what a worker takes for an update that names none is its own default."""
    if not isinstance(document, dict):
        return document
    if "header" not in document and "body" not in document:
        return _filled(document, "orgId", tenant)
    header = document.get("header")
    if not isinstance(header, dict):
        return document
    return {**document, "header": _filled(header, "imsOrgId", tenant)}


def _filled(fields: JsonObject, org_field: str, tenant: Tenant) -> JsonObject:
    names = {org_field: tenant.org_id, "sandboxName": tenant.sandbox_name}
    given = {name: fields[name] for name in names if fields.get(name) is not None}
    return fields | names | given


def _encoded(document: object) -> bytes:
    try:
        return orjson.dumps(document)
    except orjson.JSONEncodeError as error:
        # Parsed from JSON as it was, it can only nest deeper than the encoder goes.
        raise InvalidUpdate(
            f"the value nests deeper than {MAX_DEPTH} levels: flatten it",
            code="nested-too-deeply",
        ) from error
