"""Records of the profile update topic: decoded, refused, or passed on to their own partition.

The rules are those of `docs/topics.md` (plain update, streaming-ingestion envelope, tombstone).
A refusal is an `InvalidUpdate` whose code is stable and whose message says what is wrong, where,
and how to mend it; it becomes a dead letter and never stops the partition.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from app.adapters.kafka.update_fields import (
    AFTER_LAST_MS,
    FIRST_MS,
    KafkaRecord,
    check_identities,
    checked_name,
    header_text,
    key_text,
    milliseconds,
    parse,
    primary_identity,
    with_identities,
    wrong_type,
)
from app.domain.errors import InvalidUpdate
from app.domain.model import JsonObject, Origin, ProfileKey, ProfileUpdate, Tenant
from app.domain.partitioning import murmur2

FORWARDED_FROM = "forwarded-from"
"""Header of a forwarded record: `topic/partition/offset` of the record it copies."""

TOMBSTONE_ORG = "org-id"
TOMBSTONE_SANDBOX = "sandbox-name"
MAX_PROFILE_ID_BYTES = 1_024
MAX_EVENT_ID_CHARACTERS = 1_024
_PARTITIONS_CACHED = 200_000


class Forward(NamedTuple):
    """A record that belongs to another partition."""

    partition: int
    origin: Origin


@dataclass(frozen=True, slots=True)
class InputRules:
    """What the decoder takes from the settings.

    Attributes:
        partitions: Number of partitions of every topic that is sharded by profile.
        org_id, sandbox_name: Where an update names none; an empty organisation refuses those.
    """

    partitions: int
    org_id: str = ""
    sandbox_name: str = "prod"
    max_record_bytes: int = 1_048_576


class UpdateDecoder:
    """Decodes records of one worker; keeps small caches of what repeats."""

    def __init__(self, rules: InputRules) -> None:
        self._rules = rules
        self._tenants: dict[tuple[str | None, str | None], Tenant] = {}
        self._partitions: dict[str, int] = {}

    def decode(self, record: KafkaRecord) -> ProfileUpdate | Forward:
        """Decode one record.

        Returns:
            The update, or where the record has to go.

        Raises:
            InvalidUpdate: The record is a dead letter.
        """
        value = record.value
        if value is None:
            return self._tombstone(record)
        if len(value) > self._rules.max_record_bytes:
            raise InvalidUpdate(
                f"the value has {len(value)} bytes, the limit is {self._rules.max_record_bytes}:"
                " send a smaller update or raise SEG_MAX_RECORD_BYTES",
                code="too-large",
            )
        document = parse(value)
        if record.timestamp < FIRST_MS or record.timestamp >= AFTER_LAST_MS:
            raise InvalidUpdate(
                f"the record timestamp {record.timestamp} is not between the years 1970 and 2247:"
                " let the producer set it to the time of sending in ms",
                code="invalid-timestamp",
            )
        if "body" in document or "header" in document:
            return self._envelope(record, document)
        return self._plain(record, document)

    def _plain(self, record: KafkaRecord, document: JsonObject) -> ProfileUpdate | Forward:
        get = document.get
        profile_id = get("profileId")
        if profile_id is None:
            profile_id = key_text(record, "profileId")
        tenant = self._tenant(get("orgId"), get("sandboxName"), "orgId", "sandboxName")
        place = self._place(record, profile_id)
        if isinstance(place, Forward):
            return place
        attributes, event, identities = get("attributes"), get("event"), get("identityMap")
        event_id, stamp = get("eventId"), get("timestamp")
        at_ms = record.timestamp if stamp is None else milliseconds(stamp, "timestamp")
        event_ms = 0
        if event is not None:
            if type(event) is not dict:
                raise wrong_type("event", "an object", event)
            if event_id is None:
                event_id = event.get("_id")
            stamp = event.get("timestamp")
            event_ms = at_ms if stamp is None else milliseconds(stamp, "event.timestamp")
        if attributes is not None and type(attributes) is not dict:
            raise wrong_type("attributes", "an object", attributes)
        if event_id is not None and type(event_id) is not str:
            raise wrong_type("eventId", "a string", event_id)
        if attributes is None and event is None:
            raise InvalidUpdate(
                "neither attributes nor event is there: send at least one of them",
                code="empty-update",
            )
        if identities is not None:
            attributes = with_identities(attributes, identities)
        return _update(tenant, profile_id, place, record, event_id, attributes, event, event_ms)

    def _envelope(self, record: KafkaRecord, document: JsonObject) -> ProfileUpdate | Forward:
        header, body = document.get("header"), document.get("body")
        entity = body.get("xdmEntity") if type(body) is dict else None
        if type(header) is not dict or type(entity) is not dict:
            raise InvalidUpdate(
                "header or body is there, but not an object `header` and an object"
                " `body.xdmEntity`: send a streaming-ingestion envelope or a plain update",
                code="unknown-envelope",
            )
        tenant = self._tenant(
            header.get("imsOrgId"),
            header.get("sandboxName"),
            "header.imsOrgId",
            "header.sandboxName",
        )
        identities = entity.get("identityMap")
        if identities is not None:
            check_identities(identities, "body.xdmEntity.identityMap")
        if record.key:
            profile_id = key_text(record, "body.xdmEntity.identityMap")
        else:
            profile_id = primary_identity(identities)
        place = self._place(record, profile_id)
        if isinstance(place, Forward):
            return place
        event_id, stamp = entity.get("_id"), entity.get("timestamp")
        if event_id is not None and type(event_id) is not str:
            raise wrong_type("body.xdmEntity._id", "a string", event_id)
        if event_id is None or stamp is None:
            return _update(tenant, profile_id, place, record, event_id, entity, None, 0)
        event_ms = milliseconds(stamp, "body.xdmEntity.timestamp")
        attributes = None if identities is None else {"identityMap": entity.pop("identityMap")}
        return _update(tenant, profile_id, place, record, event_id, attributes, entity, event_ms)

    def _tombstone(self, record: KafkaRecord) -> ProfileUpdate | Forward:
        headers = dict(record.headers)
        tenant = self._tenant(
            header_text(headers, TOMBSTONE_ORG),
            header_text(headers, TOMBSTONE_SANDBOX),
            f"header {TOMBSTONE_ORG}",
            f"header {TOMBSTONE_SANDBOX}",
        )
        profile_id = key_text(record, "the record key")
        place = self._place(record, profile_id)
        if isinstance(place, Forward):
            return place
        key = ProfileKey(tenant, profile_id)
        return ProfileUpdate(key, place, max(record.timestamp, 0), deletes=True)

    def _tenant(self, org: Any, sandbox: Any, org_at: str, sandbox_at: str) -> Tenant:
        try:
            return self._tenants[org, sandbox]
        except (KeyError, TypeError):
            pass
        tenant = Tenant(
            checked_name(org, self._rules.org_id, org_at, "SEG_DEFAULT_ORG_ID"),
            checked_name(sandbox, self._rules.sandbox_name, sandbox_at, "SEG_DEFAULT_SANDBOX_NAME"),
        )
        if len(self._tenants) < 10_000:
            self._tenants[org, sandbox] = tenant
        return tenant

    def _place(self, record: KafkaRecord, profile_id: Any) -> Origin | Forward:
        """Return the origin of a record that is where it belongs, else where it has to go."""
        partition = self._partitions.get(profile_id) if type(profile_id) is str else None
        if partition is None:
            partition = self._checked_partition(profile_id)
        origin = Origin(record.topic, record.partition, record.offset)
        if record.headers:
            forwarded = dict(record.headers).get(FORWARDED_FROM)
            if forwarded is not None:
                origin = parse_origin(forwarded)
                if partition != record.partition:
                    raise InvalidUpdate(
                        f"the record was forwarded to partition {record.partition}, its profile"
                        f" lives in {partition}: the number of partitions changed after"
                        " it was sent; send it again",
                        code="wrong-partition",
                    )
        if partition != record.partition:
            return Forward(partition, origin)
        return origin

    def _checked_partition(self, profile_id: Any) -> int:
        if type(profile_id) is not str or not profile_id:
            raise wrong_type("profileId", "a string with at least one character", profile_id)
        encoded = profile_id.encode()
        if len(encoded) > MAX_PROFILE_ID_BYTES:
            raise InvalidUpdate(
                f"profileId has {len(encoded)} bytes, the limit is {MAX_PROFILE_ID_BYTES}:"
                " use a shorter id",
                code="invalid-profile-id",
            )
        partition = (murmur2(encoded) & 0x7FFFFFFF) % self._rules.partitions
        if len(self._partitions) >= _PARTITIONS_CACHED:
            self._partitions.clear()
        self._partitions[profile_id] = partition
        return partition


def parse_origin(header: bytes) -> Origin:
    """Read a `forwarded-from` header.

    Raises:
        InvalidUpdate: It is not `topic/partition/offset`.
    """
    try:
        topic, partition, offset = header.decode().rsplit("/", 2)
        return Origin(topic, int(partition), int(offset))
    except ValueError as error:
        raise InvalidUpdate(
            f"the header {FORWARDED_FROM} is not topic/partition/offset:"
            " leave it out, it is set by the service alone",
            code="invalid-header",
        ) from error


def _update(
    tenant: Tenant,
    profile_id: str,
    origin: Origin,
    record: KafkaRecord,
    event_id: str | None,
    attributes: JsonObject | None,
    event: JsonObject | None,
    event_ms: int,
) -> ProfileUpdate:
    if event_id is not None and not 0 < len(event_id) <= MAX_EVENT_ID_CHARACTERS:
        raise InvalidUpdate(
            f"eventId has {len(event_id)} characters: use 1 to {MAX_EVENT_ID_CHARACTERS},"
            " or leave it out",
            code="invalid-event-id",
        )
    key = ProfileKey(tenant, profile_id)
    return ProfileUpdate(
        key, origin, record.timestamp, event_id, attributes, event, event_ms, False
    )
