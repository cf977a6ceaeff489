"""What is really produced fits the published schemas."""

from collections.abc import Sequence
from dataclasses import dataclass

import orjson
import pytest
from jsonschema import Draft202012Validator

from app.adapters.kafka.asyncapi import schema
from app.adapters.kafka.records import (
    Outbox,
    OutputRecord,
    change_record,
    dead_letter,
    memberships_record,
    with_batch_headers,
)
from app.adapters.kafka.recover import _statuses
from app.domain.errors import InvalidUpdate
from app.domain.external import ExternalAudience, ImportField, ImportSource
from app.domain.model import Cause, MembershipChange, Origin, ProfileKey, Tenant
from app.engine.tables import Detail, DetailTable
from app.service import membership
from app.service.definition_document import definition_document, published_document
from app.service.external_document import external_from
from tests.builders import stored_definition

NOW_MS = 1_767_607_200_007
KEY = ProfileKey(Tenant("5C13@AdobeOrg", "prod"), 'p-"1"/å')
ORIGIN = Origin("segmentation.profile-updates", 3, 4_711)


@dataclass
class Consumed:
    key: bytes | None = b"p-1"
    value: bytes | None = b"{"
    headers: Sequence[tuple[str, bytes]] = ()
    topic: str = ORIGIN.topic
    partition: int = ORIGIN.partition
    offset: int = ORIGIN.offset
    timestamp: int = NOW_MS


def fits(name: str, value: object) -> None:
    Draft202012Validator(schema(name)).validate(value)


def headers_of(record: OutputRecord) -> dict[str, str]:
    with_batch_headers(3, Outbox(2, 118, [record]))
    return {name: value.decode() for name, value in record.headers}


@pytest.mark.parametrize(
    "cause",
    [
        Cause("event", "e-1", ORIGIN),
        Cause("attribute", None, ORIGIN),
        Cause("time"),
        Cause("profile-deleted", None, ORIGIN),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_a_membership_change_fits(cause: Cause, first: bool) -> None:
    change = MembershipChange(
        key=KEY,
        segment_id="s-1",
        definition_version=1,
        status="realized" if first else "exited",
        previous_status=None if first else "realized",
        at_ms=NOW_MS,
        sequence=1 if first else 2,
        cause=cause,
    )

    record = change_record("changes", 3, change)

    assert record.value is not None
    fits("membership-change", orjson.loads(record.value))
    fits("output-headers", headers_of(record))


def test_the_memberships_of_a_profile_fit() -> None:
    details = DetailTable({0: Detail(NOW_MS, 1), 5: Detail(NOW_MS, 2)})
    value = membership.memberships_record(KEY, 0b1, details, {0: "s-0", 5: "s-5"})

    record = memberships_record("memberships", 3, KEY, value)

    assert record.value is not None
    fits("memberships", orjson.loads(record.value))
    assert record.key == '5C13@AdobeOrg/prod/p-"1"/å'.encode()
    assert memberships_record("memberships", 3, KEY, None).value is None


@pytest.mark.parametrize("value", [b"{", None, b"\xff"])
def test_a_dead_letter_fits(value: bytes | None) -> None:
    error = InvalidUpdate("the value is not JSON: send one object", code="invalid-json")

    record = dead_letter("dead", ORIGIN, Consumed(value=value), error)

    assert record.value == value
    fits("dead-letter-headers", headers_of(record))


def test_a_definition_fits() -> None:
    definition = stored_definition(
        segment_id="s-1",
        name="Lives in Oslo",
        expression='homeAddress.city = "Oslo"',
        merge_policy_id="m-1",
        created_ms=NOW_MS,
        updated_ms=NOW_MS,
        version_ms=NOW_MS,
    )
    fits("definition", definition_document(KEY.tenant, definition))


def test_the_memberships_of_a_busy_profile_stay_up_to_date() -> None:
    """Their texts are kept from one record to the next."""
    details = DetailTable({ordinal: Detail(1_000 + ordinal, 1) for ordinal in range(20)})
    segment_ids = {ordinal: f's-"{ordinal}"' for ordinal in range(20)}
    membership.memberships_record(KEY, 0, details, segment_ids)
    details[3] = Detail(61_000, 2)
    details.pop(4)
    del segment_ids[5]
    value = orjson.loads(membership.memberships_record(KEY, 0b1000, details, segment_ids))

    found = value["segmentMembership"]["ups"]
    assert found.keys() == {f's-"{ordinal}"' for ordinal in range(20) if ordinal not in (4, 5)}
    assert found['s-"3"'] == {
        "status": "realized",
        "lastQualificationTime": "1970-01-01T00:01:01Z",
        "sequence": 2,
    }
    assert {one["status"] for name, one in found.items() if name != 's-"3"'} == {"exited"}


def test_the_records_of_an_external_audience_fit_and_restore_it() -> None:
    external = ExternalAudience(
        namespace="AAM",
        audience_id="a-1",
        fields=(ImportField("id", "string", "Email", ("core/C1",)), ImportField("n", "long")),
        source=ImportSource("in", "folder", "S3", connection_id="one"),
        ttl_days=7,
        tags=("t",),
        linked={"flowId": "f"},
        meta={"segmentStatus": "ACTIVE"},
    )
    plain = ExternalAudience(audience_id="s-1")
    for one in (external, plain):
        definition = stored_definition(segment_id="s-1", expression="", external=one)
        document = published_document(KEY.tenant, definition)
        fits("definition", document)
        assert "expression" not in document
        assert external_from(document) == one
    assert external_from(definition_document(KEY.tenant, stored_definition())) is None

    details = DetailTable({0: Detail(NOW_MS, 1), 5: Detail(NOW_MS, 2)})
    segment_ids, namespaces = {0: "s-0", 5: "s-5"}, {5: "AAM"}
    value = orjson.loads(
        membership.memberships_record(KEY, 0b100000, details, segment_ids, namespaces, {5: NOW_MS})
    )
    fits("memberships", value)
    found = _statuses(value)
    assert (found["s-0"].status, found["s-0"].until_ms) == ("exited", 0)
    assert (found["s-5"].status, found["s-5"].until_ms) == ("realized", NOW_MS)
