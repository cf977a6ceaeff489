from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest

from app.adapters.kafka import codecs
from app.adapters.kafka.codecs import Forward, InputRules, UpdateDecoder
from app.domain.errors import InvalidUpdate
from app.domain.model import ExternalMembership, Origin, ProfileKey, ProfileUpdate, Tenant
from app.domain.partitioning import partition_of

PARTITIONS = 4
TENANT = Tenant("org@AdobeOrg", "prod")
AT = 1_767_607_200_000
HERE = partition_of("p-1", PARTITIONS)


class Record(NamedTuple):
    value: Any
    key: bytes | None = b"p-1"
    headers: Any = ()
    topic: str = "updates"
    partition: int = HERE
    offset: int = 7
    timestamp: int = AT


@pytest.fixture
def decoder():
    return UpdateDecoder(InputRules(PARTITIONS, *TENANT))


def decode(decoder, document, **fields):
    value = document if isinstance(document, bytes | None) else json.dumps(document).encode()
    record = Record(value, **fields)
    return decoder.decode(record, record.topic, record.partition)


def refusal(decoder, document, **fields):
    with pytest.raises(InvalidUpdate) as caught:
        decode(decoder, document, **fields)
    assert len(caught.value.message) > 20
    return caught.value.code


def test_a_plain_update_with_defaults(decoder):
    found = decode(decoder, {"attributes": {"a": 1}})
    assert found == ProfileUpdate(
        ProfileKey(TENANT, "p-1"), Origin("updates", HERE, 7), AT, None, {"a": 1}
    )


def test_everything_that_an_update_can_name(decoder):
    found = decode(
        decoder,
        {
            "eventId": "u-1",
            "orgId": "o",
            "sandboxName": "dev",
            "profileId": "p-1",
            "timestamp": "2026-01-05T10:00:00Z",
            "attributes": {"a": None},
            "event": {"_id": "e-1", "timestamp": "2026-01-05T10:59:58.123+01:00"},
            "identityMap": {"Email": [{"id": "a@b.c", "primary": True}]},
        },
        key=None,
    )
    assert found.key == ProfileKey(Tenant("o", "dev"), "p-1")
    assert found.event_id == "u-1"
    assert found.event_ms == AT - 2_000 + 123
    assert found.attributes == {
        "a": None,
        "identityMap": {"Email": [{"id": "a@b.c", "primary": True}]},
    }


@pytest.mark.parametrize(
    ("told", "until_ms"),
    [
        ({"audienceId": "a", "validUntil": "2026-01-05T10:00:00Z"}, AT),
        ({"audienceId": "a", "validUntil": AT, "status": "existing"}, AT),
        ({"audienceId": "a", "validUntil": AT, "status": "exited"}, 0),
        ({"audienceId": "a", "status": "exited"}, 0),
    ],
)
def test_an_update_tells_a_membership_of_an_external_audience(decoder, told, until_ms):
    found = decode(decoder, {"eventId": "run-1", "externalMembership": told})
    assert found.external == ExternalMembership("a", until_ms)
    assert (found.event_id, found.attributes, found.event) == ("run-1", None, None)


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [
        ("2026-01-05T10:00:00.001Z", AT + 1),
        ("2026-01-05T10:00:00.999999Z", AT + 999),
        ("2026-01-05T10:00:00", AT),
        (AT, AT),
        ("1970-01-01T00:00:00Z", 0),
        ("2247-12-31T23:59:59.999Z", 8_772_796_799_999),
    ],
)
def test_times(decoder, stamp, expected):
    assert decode(decoder, {"event": {"timestamp": stamp}}).event_ms == expected


def test_the_time_of_an_event_defaults_to_that_of_the_update_then_of_the_record(decoder):
    assert decode(decoder, {"event": {}, "timestamp": AT - 5}).event_ms == AT - 5
    assert decode(decoder, {"event": {}}).event_ms == AT


def test_the_event_id_defaults_to_that_of_the_event(decoder):
    assert decode(decoder, {"event": {"_id": "e-1"}}).event_id == "e-1"
    assert decode(decoder, {"event": {}}).event_id is None


def test_an_envelope_with_an_event(decoder):
    entity = {
        "_id": "e-1",
        "timestamp": "2026-01-05T10:00:00Z",
        "eventType": "x",
        "identityMap": {"Email": [{"id": "p-1", "primary": True}, {"id": "other"}]},
    }
    document = {
        "header": {"imsOrgId": "o", "sandboxName": "dev"},
        "body": {"xdmEntity": entity},
    }
    found = decode(decoder, document, key=None)
    assert found.key == ProfileKey(Tenant("o", "dev"), "p-1")
    assert found.event == {"_id": "e-1", "timestamp": "2026-01-05T10:00:00Z", "eventType": "x"}
    assert found.attributes == {"identityMap": entity["identityMap"]}
    assert (found.event_id, found.event_ms) == ("e-1", AT)


def test_an_envelope_with_attributes(decoder):
    document = {"header": {}, "body": {"xdmEntity": {"person": {"name": "x"}}}}
    found = decode(decoder, document)
    assert (found.attributes, found.event) == ({"person": {"name": "x"}}, None)


def test_a_tombstone(decoder):
    found = decode(decoder, None, headers=(("org-id", b"o"), ("sandbox-name", b"dev")))
    assert found.deletes
    assert found.key == ProfileKey(Tenant("o", "dev"), "p-1")
    assert decode(decoder, None).key.tenant == TENANT


def test_a_record_of_another_partition_is_passed_on(decoder):
    found = decode(decoder, {"attributes": {}}, partition=(HERE + 1) % PARTITIONS)
    assert found == Forward(HERE, Origin("updates", (HERE + 1) % PARTITIONS, 7))


def test_a_forwarded_record_has_the_origin_of_the_first(decoder):
    found = decode(decoder, {"attributes": {}}, headers=(("forwarded-from", b"a/b/2/99"),))
    assert found.origin == Origin("a/b", 2, 99)


def test_a_forwarded_record_is_not_forwarded_again(decoder):
    elsewhere = (HERE + 1) % PARTITIONS
    headers = (("forwarded-from", b"updates/2/99"),)
    code = refusal(decoder, {"attributes": {}}, partition=elsewhere, headers=headers)
    assert code == "wrong-partition"


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (b"", "invalid-json"),
        (b"{", "invalid-json"),
        (b'{"attributes": {"a": NaN}}', "invalid-json"),
        (b'{"attributes": {"a": 1e999}}', "invalid-json"),
        (b'{"attributes": {"a": "\\ud800"}}', "invalid-json"),
        (b'{"attributes": {"a": "\xff"}}', "invalid-json"),
        (b"1", "not-an-object"),
        (b"null", "not-an-object"),
        ({}, "empty-update"),
        ({"identityMap": {}}, "empty-update"),
        ({"attributes": None, "event": None}, "empty-update"),
        ({"externalMembership": None}, "wrong-type"),
        ({"externalMembership": {"validUntil": 1}}, "wrong-type"),
        ({"externalMembership": {"audienceId": 7, "validUntil": 1}}, "wrong-type"),
        ({"externalMembership": {"audienceId": "a"}}, "invalid-external-membership"),
        (
            {"externalMembership": {"audienceId": "a", "status": "in", "validUntil": 1}},
            "invalid-external-membership",
        ),
        (
            {"externalMembership": {"audienceId": "a", "validUntil": "soon"}},
            "invalid-timestamp",
        ),
        (
            {"externalMembership": {"audienceId": "a", "validUntil": 1}, "attributes": {}},
            "invalid-external-membership",
        ),
        ({"attributes": []}, "wrong-type"),
        ({"event": "x"}, "wrong-type"),
        ({"event": {"timestamp": True}}, "wrong-type"),
        ({"event": {"timestamp": "soon"}}, "invalid-timestamp"),
        ({"event": {"timestamp": -1}}, "invalid-timestamp"),
        ({"event": {"timestamp": "2248-01-01T00:00:00Z"}}, "invalid-timestamp"),
        ({"event": {"_id": 1}}, "wrong-type"),
        ({"event": {}, "eventId": ""}, "invalid-event-id"),
        ({"event": {}, "eventId": "x" * 1_025}, "invalid-event-id"),
        ({"event": {}, "profileId": 1}, "wrong-type"),
        ({"event": {}, "profileId": ""}, "wrong-type"),
        ({"event": {}, "profileId": "ø" * 513}, "invalid-profile-id"),
        ({"event": {}, "orgId": 1}, "wrong-type"),
        ({"event": {}, "orgId": {}}, "wrong-type"),
        ({"event": {}, "orgId": "a/b"}, "invalid-tenant"),
        ({"event": {}, "sandboxName": "x" * 129}, "invalid-tenant"),
        ({"event": {}, "identityMap": []}, "wrong-type"),
        ({"event": {}, "identityMap": {"Email": [{"primary": True}]}}, "wrong-type"),
        ({"header": {}}, "unknown-envelope"),
        ({"header": {}, "body": {"xdmEntity": []}}, "unknown-envelope"),
        ({"header": [], "body": {"xdmEntity": {}}}, "unknown-envelope"),
    ],
)
def test_what_is_refused(decoder, document, code):
    assert refusal(decoder, document) == code


def test_what_is_refused_of_the_record_itself(decoder):
    assert refusal(decoder, {"event": {}}, key=None) == "missing-profile-id"
    assert refusal(decoder, {"event": {}}, key=b"\xff") == "invalid-profile-id"
    assert refusal(decoder, {"event": {}}, timestamp=-1) == "invalid-timestamp"
    assert refusal(decoder, None, key=None) == "missing-profile-id"
    assert refusal(decoder, None, headers=(("org-id", b"\xff"),)) == "invalid-header"
    headers = (("forwarded-from", b"nonsense"),)
    assert refusal(decoder, {"event": {}}, headers=headers) == "invalid-header"
    large = {"attributes": {"a": "x" * 1_048_576}}
    assert refusal(decoder, large) == "too-large"


def test_an_envelope_without_key_and_primary_identity_is_refused(decoder):
    identities = {"Email": [{"id": "a"}, {"id": "b"}]}
    document = {"header": {}, "body": {"xdmEntity": {"identityMap": identities}}}
    assert refusal(decoder, document, key=None) == "missing-profile-id"


@pytest.mark.parametrize(("depth", "is_fine"), [(98, True), (101, False), (600, False)])
def test_nesting_is_bounded(decoder, depth, is_fine):
    value = b'{"attributes": ' + b'{"a":' * depth + b"1" + b"}" * depth + b"}"
    if is_fine:
        assert decode(decoder, value).attributes
    else:
        assert refusal(decoder, value) == "nested-too-deeply"


def test_an_organisation_is_needed():
    decoder = UpdateDecoder(InputRules(PARTITIONS))
    assert refusal(decoder, {"event": {}}) == "invalid-tenant"
    assert decode(decoder, {"event": {}, "orgId": "o"}).key.tenant == Tenant("o", "prod")


def test_numbers_beyond_64_bits_stay_encodable(decoder):
    found = decode(decoder, b'{"attributes": {"a": 123456789012345678901234567890}}')
    assert found.attributes == {"a": 1.2345678901234568e29}


def test_a_key_is_kept_by_tenant_and_made_anew_when_too_many_are(decoder, monkeypatch):
    first = decode(decoder, {"event": {}}).key
    assert decode(decoder, {"event": {}, "eventId": "e"}).key is first
    assert decode(decoder, {"event": {}, "orgId": "other"}).key == (("other", "prod"), "p-1")
    monkeypatch.setattr(codecs, "_PROFILES_CACHED", 1)
    assert decode(decoder, {"event": {}, "orgId": "third"}).key.tenant.org_id == "third"
    again = decode(decoder, {"event": {}}).key
    assert again == first
    assert again is not first
