"""Records of the profile update topic: decoded, refused, or passed on to their own partition.

The rules are those of `docs/topics.md` (plain update, streaming-ingestion envelope, tombstone).
A refusal is an `InvalidUpdate` whose code is stable and whose message says what is wrong, where,
and how to mend it; it becomes a dead letter and never stops the partition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from app.adapters.kafka.update_fields import (
    AFTER_LAST_MS,
    FIRST_MS,
    InputRecord,
    check_identities,
    checked_event_id,
    checked_name,
    external_membership,
    header_text,
    key_text,
    milliseconds,
    parse,
    primary_identity,
    with_identities,
    wrong_type,
)
from app.domain.errors import InvalidUpdate
from app.domain.model import (
    ExternalMembership,
    JsonObject,
    Origin,
    ProfileKey,
    ProfileUpdate,
    Tenant,
)
from app.domain.partitioning import murmur2

FORWARDED_FROM = "forwarded-from"
"""Header of a forwarded record: `topic/partition/offset` of the record it copies."""

TOMBSTONE_ORG = "org-id"
TOMBSTONE_SANDBOX = "sandbox-name"
MAX_PROFILE_ID_BYTES = 1_024
MAX_EVENT_ID_CHARACTERS = 1_024
_PROFILES_CACHED = 200_000
_TENANTS_CACHED = 10_000

_new_tuple = tuple.__new__


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


class _Homes(dict[str, tuple[ProfileKey, int]]):
    """Key and partition of those profiles of one tenant that were seen lately, by profile id."""

    def __init__(self, tenant: Tenant) -> None:
        super().__init__()
        self.tenant = tenant


class UpdateDecoder:
    """Decodes records of one worker; keeps small caches of what repeats."""

    def __init__(self, rules: InputRules) -> None:
        self._rules = rules
        self._max_bytes = rules.max_record_bytes
        self._homes: dict[tuple[str | None, str | None], _Homes] = {}
        self._profiles_cached = 0

    def decode(self, record: InputRecord, topic: str, partition: int) -> ProfileUpdate | Forward:
        """Decode one record, read from a partition of a topic.

        Returns:
            The update, or where the record has to go.

        Raises:
            InvalidUpdate: The record is a dead letter.
        """
        value = record.value
        if value is None:
            return self._tombstone(record, topic, partition)
        if len(value) > self._max_bytes:
            raise InvalidUpdate(
                f"the value has {len(value)} bytes, the limit is {self._max_bytes}:"
                " send a smaller update or raise SEG_MAX_RECORD_BYTES",
                code="too-large",
            )
        document = parse(value)
        if not FIRST_MS <= record.timestamp < AFTER_LAST_MS:
            raise InvalidUpdate(
                f"the record timestamp {record.timestamp} is not between the years 1970 and 2247:"
                " let the producer set it to the time of sending in ms",
                code="invalid-timestamp",
            )
        if "body" in document or "header" in document:
            return self._envelope(record, document, topic, partition)
        return self._plain(record, document, topic, partition)

    def _plain(
        self, record: InputRecord, document: JsonObject, topic: str, partition: int
    ) -> ProfileUpdate | Forward:
        get = document.get
        profile_id = get("profileId")
        if profile_id is None:
            profile_id = key_text(record, "profileId")
        homes = self._homes_of(get("orgId"), get("sandboxName"), "orgId", "sandboxName")
        update = self._located(record, homes, profile_id, topic, partition)
        if type(update) is Forward:
            return update
        update = cast(ProfileUpdate, update)
        attributes, event, identities = get("attributes"), get("event"), get("identityMap")
        event_id, stamp = get("eventId"), get("timestamp")
        if "externalMembership" in document:
            told = external_membership(document)
            return _filled(update, checked_event_id(event_id), None, None, told)
        at_ms = record.timestamp if stamp is None else milliseconds(stamp, "timestamp")
        if event is not None:
            if type(event) is not dict:
                raise wrong_type("event", "an object", event)
            if event_id is None:
                event_id = event.get("_id")
            stamp = event.get("timestamp")
            update.event_ms = at_ms if stamp is None else milliseconds(stamp, "event.timestamp")
        if attributes is not None and type(attributes) is not dict:
            raise wrong_type("attributes", "an object", attributes)
        checked_event_id(event_id)
        if attributes is None and event is None:
            raise InvalidUpdate(
                "neither attributes nor event is there: send at least one of them, or an"
                " externalMembership",
                code="empty-update",
            )
        if identities is not None:
            attributes = with_identities(attributes, identities)
        return _filled(update, event_id, attributes, event)

    def _envelope(
        self, record: InputRecord, document: JsonObject, topic: str, partition: int
    ) -> ProfileUpdate | Forward:
        header, body = document.get("header"), document.get("body")
        entity = body.get("xdmEntity") if type(body) is dict else None
        if type(header) is not dict or type(entity) is not dict:
            raise InvalidUpdate(
                "header or body is there, but not an object `header` and an object"
                " `body.xdmEntity`: send a streaming-ingestion envelope or a plain update",
                code="unknown-envelope",
            )
        homes = self._homes_of(
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
        update = self._located(record, homes, profile_id, topic, partition)
        if isinstance(update, Forward):
            return update
        event_id, stamp = entity.get("_id"), entity.get("timestamp")
        if event_id is not None and type(event_id) is not str:
            raise wrong_type("body.xdmEntity._id", "a string", event_id)
        if event_id is None or stamp is None:
            return _filled(update, event_id, entity, None)
        update.event_ms = milliseconds(stamp, "body.xdmEntity.timestamp")
        attributes = None if identities is None else {"identityMap": entity.pop("identityMap")}
        return _filled(update, event_id, attributes, entity)

    def _tombstone(
        self, record: InputRecord, topic: str, partition: int
    ) -> ProfileUpdate | Forward:
        headers = dict(record.headers)
        homes = self._homes_of(
            header_text(headers, TOMBSTONE_ORG),
            header_text(headers, TOMBSTONE_SANDBOX),
            f"header {TOMBSTONE_ORG}",
            f"header {TOMBSTONE_SANDBOX}",
        )
        profile_id = key_text(record, "the record key")
        update = self._located(record, homes, profile_id, topic, partition)
        if isinstance(update, ProfileUpdate):
            update.record_ms = max(record.timestamp, 0)
            update.deletes = True
        return update

    def _homes_of(self, org: Any, sandbox: Any, org_at: str, sandbox_at: str) -> _Homes:
        try:
            return self._homes[org, sandbox]
        except (KeyError, TypeError):
            pass
        tenant = Tenant(
            checked_name(org, self._rules.org_id, org_at, "SEG_DEFAULT_ORG_ID"),
            checked_name(sandbox, self._rules.sandbox_name, sandbox_at, "SEG_DEFAULT_SANDBOX_NAME"),
        )
        homes = _Homes(tenant)
        if len(self._homes) < _TENANTS_CACHED:
            self._homes[org, sandbox] = homes
        return homes

    def _located(
        self, record: InputRecord, homes: _Homes, profile_id: Any, topic: str, partition: int
    ) -> ProfileUpdate | Forward:
        """Return the update of a record that is where it belongs, still empty; else where to."""
        try:
            key, home = homes[profile_id]
        except (KeyError, TypeError):
            key, home = self._new_home(homes, profile_id)
        # Not `Origin(…)`: that runs in Python and takes three times as long.
        origin = _new_tuple(Origin, (topic, partition, record.offset))
        if record.headers:
            origin = _first_origin(record.headers, origin, home)
        if home != partition:
            return Forward(home, origin)
        return ProfileUpdate(key, origin, record.timestamp)

    def _new_home(self, homes: _Homes, profile_id: Any) -> tuple[ProfileKey, int]:
        if type(profile_id) is not str or not profile_id:
            raise wrong_type("profileId", "a string with at least one character", profile_id)
        encoded = profile_id.encode()
        if len(encoded) > MAX_PROFILE_ID_BYTES:
            raise InvalidUpdate(
                f"profileId has {len(encoded)} bytes, the limit is {MAX_PROFILE_ID_BYTES}:"
                " use a shorter id",
                code="invalid-profile-id",
            )
        if self._profiles_cached >= _PROFILES_CACHED:
            for known in self._homes.values():
                known.clear()
            self._profiles_cached = 0
        self._profiles_cached += 1
        partition = (murmur2(encoded) & 0x7FFFFFFF) % self._rules.partitions
        found = homes[profile_id] = ProfileKey(homes.tenant, profile_id), partition
        return found


def _first_origin(headers: Sequence[tuple[str, bytes]], read_at: Origin, home: int) -> Origin:
    """Return where a forwarded record came from, or where any other was read."""
    forwarded = dict(headers).get(FORWARDED_FROM)
    if forwarded is None:
        return read_at
    origin = parse_origin(forwarded)
    if home != read_at.partition:
        raise InvalidUpdate(
            f"the record was forwarded to partition {read_at.partition}, its profile"
            f" lives in {home}: the number of partitions changed after"
            " it was sent; send it again",
            code="wrong-partition",
        )
    return origin


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


def _filled(
    update: ProfileUpdate,
    event_id: str | None,
    attributes: JsonObject | None,
    event: JsonObject | None,
    external: ExternalMembership | None = None,
) -> ProfileUpdate:
    if event_id is not None and not 0 < len(event_id) <= MAX_EVENT_ID_CHARACTERS:
        raise InvalidUpdate(
            f"eventId has {len(event_id)} characters: use 1 to {MAX_EVENT_ID_CHARACTERS},"
            " or leave it out",
            code="invalid-event-id",
        )
    update.event_id, update.attributes, update.event = event_id, attributes, event
    if external is not None:
        update.external = external
    return update
