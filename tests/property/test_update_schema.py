"""What the schemas of an update allow is what a worker takes, and nothing else."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

from app.adapters.kafka.asyncapi import schema
from app.adapters.kafka.update_check import WorkerCheck
from app.domain.errors import InvalidUpdate
from app.domain.model import ProfileKey, Tenant
from app.service.profile_updates import MisdirectedUpdate

FORMATS = FormatChecker(formats=())
PLAIN = Draft202012Validator(schema("profile-update"), format_checker=FORMATS)
ENVELOPE = Draft202012Validator(schema("profile-update-envelope"), format_checker=FORMATS)
CHECK = WorkerCheck("profile-updates", 1, 1_048_576)
PROFILE = ProfileKey(Tenant("org", "prod"), "p")

ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, 5, 0.5, True, "", [], {}, "a b", [{}], {"a": 1}]
)
STAMPS = st.sampled_from(
    [0, -1, 1_767_607_200_000, 8_772_796_799_999, 8_772_796_800_000, "2026-01-05T10:00:00Z"]
)
TEXTS = st.sampled_from(["o", "x" * 1_024, "x" * 1_025])
IDENTITIES = st.sampled_from(
    [
        {"Email": [{"id": "a"}]},
        {"Email": None},
        {"Email": [{"id": "a", "primary": True}]},
        {"Email": [{"id": "a", "primary": 1}]},
        {"Email": [{"primary": True}]},
        {"Email": {}},
    ]
)


@FORMATS.checks("date-time")
def _is_a_time(value: object) -> bool:
    # Enough to tell the texts made up here apart; the library has no check of its own.
    return not isinstance(value, str) or value.endswith("Z")


def fields(**known: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional={name: one | ODD for name, one in known.items()})


EVENT = fields(_id=TEXTS, timestamp=STAMPS, eventType=TEXTS)
NAMES = st.sampled_from(["org", "a@b.C_-1", "n" * 129])
MEMBERSHIP = fields(
    audienceId=TEXTS, status=st.sampled_from(["realized", "existing", "exited"]), validUntil=STAMPS
)
UPDATE = fields(
    eventId=TEXTS,
    orgId=NAMES,
    sandboxName=NAMES,
    profileId=st.just("p"),
    timestamp=STAMPS,
    attributes=st.just({"a": 1}),
    event=EVENT,
    identityMap=IDENTITIES,
)
MEMBER = fields(eventId=TEXTS, timestamp=STAMPS, externalMembership=MEMBERSHIP, event=EVENT)
ENTITY = fields(_id=TEXTS, timestamp=STAMPS, identityMap=IDENTITIES, person=st.just({}))
STREAMED = fields(header=fields(imsOrgId=NAMES, sandboxName=NAMES), body=fields(xdmEntity=ENTITY))


def is_taken(document: Any) -> bool:
    try:
        CHECK.update(PROFILE, document, 1_767_607_200_000)
    except MisdirectedUpdate:
        return True  # Of another organisation: well formed.
    except InvalidUpdate:
        return False
    return True


@settings(max_examples=1_000)
@given(UPDATE | MEMBER | STREAMED)
def test_the_schema_allows_what_a_worker_takes(document: dict[str, Any]) -> None:
    is_streamed = "header" in document or "body" in document
    check = ENVELOPE if is_streamed else PLAIN
    problems = [error.message for error in check.iter_errors(document)]
    assert is_taken(document) == (not problems), problems
