"""The fields of an update, checked; a refusal says what is wrong, where, and how to mend it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import orjson

from app.domain.errors import InvalidUpdate
from app.domain.model import ExternalMembership, JsonObject

MAX_DEPTH = 100
FIRST_MS = 0
AFTER_LAST_MS = int(datetime(2248, 1, 1, tzinfo=UTC).timestamp() * 1000)
_DEEP_BYTES = 2 * MAX_DEPTH
_NAME = re.compile(r"[A-Za-z0-9@._-]{1,128}")
_STAMPS_CACHED = 10_000
_STAMPS: dict[str, int] = {}


class InputRecord(Protocol):
    """What is read of a record of a known partition."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class KafkaRecord(InputRecord, Protocol):
    """What is read of a record as aiokafka's consumer hands it out."""

    topic: str
    partition: int


def parse(value: bytes) -> JsonObject:
    """Decode the value: one JSON object that does not nest too deeply."""
    try:
        document = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise InvalidUpdate(
            f"the value is not JSON: {error}; send one JSON object (RFC 8259, UTF-8, finite"
            " numbers)",
            code="invalid-json",
        ) from error
    if type(document) is not dict:
        raise InvalidUpdate(
            f"the value is {_kind(document)}: send one JSON object", code="not-an-object"
        )
    # What is short cannot nest deeply, and counting brackets is cheaper than walking.
    if (
        len(value) > _DEEP_BYTES
        and value.count(b"{") + value.count(b"[") > MAX_DEPTH
        and _depth(document) > MAX_DEPTH
    ):
        raise InvalidUpdate(
            f"the value nests deeper than {MAX_DEPTH} levels: flatten it",
            code="nested-too-deeply",
        )
    return document


def _depth(document: JsonObject) -> int:
    level: list[Any] = [document]
    depth = 0
    while level and depth <= MAX_DEPTH:
        depth += 1
        level = [
            child
            for item in level
            for child in (item.values() if type(item) is dict else item)
            if type(child) is dict or type(child) is list
        ]
    return depth


def milliseconds(stamp: Any, where: str) -> int:
    """Return a time given as ISO 8601 text or epoch milliseconds, in milliseconds."""
    if type(stamp) is str:
        known = _STAMPS.get(stamp)
        if known is not None:
            return known
        found = _parsed_stamp(stamp, where)
    elif type(stamp) is int:
        found = stamp
    else:
        raise wrong_type(where, "an ISO 8601 string or epoch milliseconds", stamp)
    if not FIRST_MS <= found < AFTER_LAST_MS:
        raise InvalidUpdate(
            f"{where} is {str(stamp)[:64]!r}, outside the years 1970 to 2247: correct it",
            code="invalid-timestamp",
        )
    if type(stamp) is str:
        if len(_STAMPS) >= _STAMPS_CACHED:
            _STAMPS.clear()
        _STAMPS[stamp] = found
    return found


def _parsed_stamp(stamp: str, where: str) -> int:
    try:
        moment = datetime.fromisoformat(stamp)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        # Through whole seconds: a float of milliseconds would be one off now and then.
        whole = int(moment.replace(microsecond=0).timestamp())
        return whole * 1000 + moment.microsecond // 1000
    except (ValueError, OverflowError) as error:
        raise InvalidUpdate(
            f"{where} is {stamp[:64]!r}: use ISO 8601 with Z or an offset, such as"
            " 2026-01-05T10:00:00Z, or epoch milliseconds",
            code="invalid-timestamp",
        ) from error


def _milliseconds_if_there(stamp: Any, where: str) -> int | None:
    return None if stamp is None else milliseconds(stamp, where)


def with_identities(attributes: JsonObject | None, identities: Any) -> JsonObject:
    """Merge an identity map into the attributes."""
    check_identities(identities, "identityMap")
    return {**(attributes or {}), "identityMap": identities}


def checked_event_id(event_id: Any) -> str | None:
    """Return an event id, if it is text or nothing."""
    if event_id is not None and type(event_id) is not str:
        raise wrong_type("eventId", "a string", event_id)
    return event_id


def external_membership(document: JsonObject) -> ExternalMembership:
    """Return what an update says of an external audience; then it says nothing else.

    Source: our decision (docs/decisions/0308).
    """
    others = [name for name in ("attributes", "event", "identityMap") if name in document]
    if others:
        raise InvalidUpdate(
            f"externalMembership stands beside {', '.join(others)}: send it alone",
            code="invalid-external-membership",
        )
    _milliseconds_if_there(document.get("timestamp"), "timestamp")
    told = document["externalMembership"]
    if type(told) is not dict:
        raise wrong_type("externalMembership", "an object", told)
    audience_id, status = told.get("audienceId"), told.get("status", "realized")
    if type(audience_id) is not str:
        raise wrong_type("externalMembership.audienceId", "the id of the audience", audience_id)
    until_ms = _milliseconds_if_there(told.get("validUntil"), "externalMembership.validUntil")
    if status == "exited":
        return ExternalMembership(audience_id, 0)
    # `existing` is how it was once said (API reference, status semantics).
    if status not in ("realized", "existing"):
        raise InvalidUpdate(
            f"externalMembership.status is {str(status)[:64]!r}: send realized or exited",
            code="invalid-external-membership",
        )
    if until_ms is None:
        raise InvalidUpdate(
            "externalMembership.validUntil is missing: say when the membership ends",
            code="invalid-external-membership",
        )
    return ExternalMembership(audience_id, until_ms)


def check_identities(identities: Any, where: str) -> None:
    """Refuse an identity map that is not lists of objects with an `id`."""
    if type(identities) is not dict:
        raise wrong_type(where, "an object of lists by namespace", identities)
    for namespace, items in identities.items():
        if items is None:
            continue
        if type(items) is not list:
            raise wrong_type(f"{where}.{namespace}", "a list", items)
        for item in items:
            if type(item) is not dict or type(item.get("id")) is not str:
                raise wrong_type(f"{where}.{namespace}[]", "an object with a string `id`", item)
            if type(item.get("primary", False)) is not bool:
                raise wrong_type(f"{where}.{namespace}[].primary", "a boolean", item["primary"])


def primary_identity(identities: Any) -> str:
    """Return the id of the primary identity, or of the only one."""
    found = [item for items in (identities or {}).values() for item in items or ()]
    for item in found:
        if item.get("primary") is True:
            return str(item["id"])
    if len(found) == 1:
        return str(found[0]["id"])
    raise InvalidUpdate(
        "the record has no key, and body.xdmEntity.identityMap no primary identity: set the"
        " record key to the profile id, or mark one identity `primary`",
        code="missing-profile-id",
    )


def key_text(record: InputRecord, where: str) -> str:
    """Return the record key as text; `where` is what could have named the profile instead."""
    if not record.key:
        raise InvalidUpdate(
            f"the record has no key and {where} names no profile: set one of them",
            code="missing-profile-id",
        )
    try:
        return record.key.decode()
    except UnicodeDecodeError as error:
        raise InvalidUpdate(
            "the record key is not UTF-8: use the profile id as text for the key",
            code="invalid-profile-id",
        ) from error


def header_text(headers: dict[str, bytes], name: str) -> str | None:
    """Return a header as text, None where it is absent or empty."""
    found = headers.get(name)
    if not found:
        return None
    try:
        return found.decode()
    except UnicodeDecodeError as error:
        raise InvalidUpdate(
            f"the header {name} is not UTF-8: correct it or leave it out", code="invalid-header"
        ) from error


def checked_name(given: Any, default: str, where: str, setting: str) -> str:
    """Return the name of an organisation or sandbox, or its default."""
    if given is None:
        given = default
        if not given:
            raise InvalidUpdate(
                f"{where} is missing and there is no default: send it, or set {setting}",
                code="invalid-tenant",
            )
    if type(given) is not str:
        raise wrong_type(where, "a string", given)
    if _NAME.fullmatch(given) is None:
        raise InvalidUpdate(
            f"{where} is {given[:140]!r}: use 1 to 128 letters, digits or @._-",
            code="invalid-tenant",
        )
    return given


def wrong_type(where: str, expected: str, found: Any) -> InvalidUpdate:
    """Return the refusal of a value of another type."""
    return InvalidUpdate(f"{where} is {_kind(found)}: send {expected}", code="wrong-type")


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a Boolean"}
    if value is None:
        return "null"
    return names.get(type(value), "a number")
