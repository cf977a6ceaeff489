"""What comes over HTTP is read as the workers read it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from app.adapters.kafka.codecs import InputRules, UpdateDecoder
from app.adapters.kafka.update_check import WorkerCheck
from app.domain.errors import InvalidUpdate
from app.domain.model import ProfileKey, ProfileUpdate, Tenant
from app.domain.partitioning import partition_of
from app.service.profile_updates import MisdirectedUpdate
from tests.unit.test_produced_records import Consumed

PARTITIONS = 8
TENANT = Tenant("org@AdobeOrg", "dev")
KEY = ProfileKey(TENANT, "p/1 ø")
NOW_MS = 1_767_607_200_000
CHECK = WorkerCheck("updates", PARTITIONS, 1_000)
# A worker whose defaults are another tenant.
DECODER = UpdateDecoder(InputRules(PARTITIONS, "default@AdobeOrg", "prod"))


def as_worker(document: Any, key: ProfileKey = KEY) -> ProfileUpdate:
    """Return what a worker makes of the record of an update."""
    record = CHECK.update(key, document, NOW_MS).record
    consumed = Consumed(
        record.profile_id.encode(), record.value, record.headers, timestamp=record.timestamp_ms
    )
    found = DECODER.decode(consumed, "updates", partition_of(key.profile_id, PARTITIONS))
    assert isinstance(found, ProfileUpdate)
    return found


@pytest.mark.parametrize(
    "document",
    [
        {"attributes": {"a": 1}},
        {"attributes": {"a": 1}, "orgId": None, "sandboxName": None, "profileId": None},
        {
            "attributes": {"a": 1},
            "orgId": TENANT.org_id,
            "sandboxName": TENANT.sandbox_name,
            "profileId": KEY.profile_id,
        },
        {"header": {}, "body": {"xdmEntity": {"a": 1}}},
        {"header": {"imsOrgId": TENANT.org_id, "x": 1}, "body": {"xdmEntity": {"a": 1}}},
    ],
)
def test_the_tenant_is_filled_in_where_the_update_names_none(document: Any) -> None:
    update = as_worker(document)

    assert (update.key, update.attributes, update.record_ms) == (KEY, {"a": 1}, NOW_MS)


def test_what_the_producer_sent_stays_as_it_was() -> None:
    document = {"attributes": {"a": [1.5, "ø", None, True]}, "timestamp": 5, "extra": {"b": 2}}

    value = CHECK.update(KEY, document, NOW_MS).record.value

    assert value is not None
    added = {"orgId": TENANT.org_id, "sandboxName": TENANT.sandbox_name}
    assert orjson.loads(value) == document | added


@pytest.mark.parametrize(
    ("document", "event_id"),
    [
        ({"attributes": {}, "eventId": "u-1"}, "u-1"),
        ({"event": {"_id": "e-1"}}, "e-1"),
        ({"event": {"_id": "e-1"}, "eventId": "u-1"}, "u-1"),
        ({"attributes": {}}, None),
        ({"header": {}, "body": {"xdmEntity": {"_id": "e-2", "timestamp": 1}}}, "e-2"),
    ],
)
def test_the_event_id_is_that_which_the_worker_goes_by(document: Any, event_id: str | None) -> None:
    assert CHECK.update(KEY, document, NOW_MS).event_id == event_id
    assert as_worker(document).event_id == event_id


DEEP: Any = 1
for _ in range(500):
    DEEP = {"a": DEEP}

REFUSED: list[tuple[Any, str, str]] = [
    (1, "not-an-object", "a number"),
    ([], "not-an-object", "a list"),
    ({}, "empty-update", "attributes"),
    ({"attributes": 1}, "wrong-type", "attributes is a number"),
    ({"event": []}, "wrong-type", "event is a list"),
    ({"attributes": {}, "eventId": 1}, "wrong-type", "eventId is a number"),
    ({"attributes": {}, "eventId": ""}, "invalid-event-id", "eventId has 0"),
    ({"attributes": {}, "profileId": 1}, "wrong-type", "profileId is a number"),
    ({"attributes": {}, "orgId": 1}, "wrong-type", "orgId is a number"),
    ({"attributes": {}, "orgId": "a b"}, "invalid-tenant", "orgId is 'a b'"),
    ({"event": {"timestamp": "soon"}}, "invalid-timestamp", "event.timestamp is 'soon'"),
    ({"attributes": {}, "timestamp": "2300-01-01"}, "invalid-timestamp", "outside the years"),
    ({"attributes": {}, "identityMap": {"E": [{}]}}, "wrong-type", "identityMap.E"),
    (
        {"attributes": {}, "identityMap": {"E": [{"id": "a", "primary": 1}]}},
        "wrong-type",
        "identityMap.E[].primary is a number",
    ),
    ({"attributes": {"a": "x" * 1_000}}, "too-large", "the limit is 1000"),
    ({"attributes": DEEP}, "nested-too-deeply", "deeper than 100"),
    ({"header": {}, "body": {}}, "unknown-envelope", "body.xdmEntity"),
    ({"body": {"xdmEntity": {}}}, "unknown-envelope", "header"),
    ({"attributes": {}, "profileId": "p-2"}, "other-profile", "the profile of this path"),
    ({"attributes": {}, "orgId": "other@AdobeOrg"}, "other-tenant", "x-gw-ims-org-id"),
    ({"attributes": {}, "sandboxName": "prod"}, "other-tenant", "x-sandbox-name"),
    ({"header": {"sandboxName": "prod"}, "body": {"xdmEntity": {}}}, "other-tenant", "leave it"),
]


@pytest.mark.parametrize(("document", "code", "text"), REFUSED)
def test_what_a_worker_would_set_aside_is_refused(document: Any, code: str, text: str) -> None:
    kind = MisdirectedUpdate if code.startswith("other-") else InvalidUpdate
    with pytest.raises(kind) as refused:
        CHECK.update(KEY, document, NOW_MS)

    assert refused.value.code == code
    assert text in refused.value.message


def test_another_profile_of_the_same_partition_is_refused_too() -> None:
    home = partition_of("p-1", PARTITIONS)
    names = (f"q-{number}" for number in range(100))
    neighbour = next(name for name in names if partition_of(name, PARTITIONS) == home)

    with pytest.raises(MisdirectedUpdate, match="the profile of this path"):
        CHECK.update(ProfileKey(TENANT, "p-1"), {"attributes": {}, "profileId": neighbour}, NOW_MS)


def test_an_id_that_is_too_long_is_refused() -> None:
    with pytest.raises(InvalidUpdate) as refused:
        CHECK.update(ProfileKey(TENANT, "ø" * 600), {"attributes": {}}, NOW_MS)

    assert refused.value.code == "invalid-profile-id"


def test_a_deletion_is_read_as_one_of_its_tenant() -> None:
    record = CHECK.deletion(KEY, NOW_MS)
    consumed = Consumed(
        record.profile_id.encode(), record.value, record.headers, timestamp=record.timestamp_ms
    )

    found = DECODER.decode(consumed, "updates", partition_of(KEY.profile_id, PARTITIONS))

    assert isinstance(found, ProfileUpdate)
    assert (found.key, found.deletes, found.record_ms) == (KEY, True, NOW_MS)
