"""The published contract of the topics: schemas, AsyncAPI document and docs/topics.md."""

import ast
import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest
from jsonschema import Draft202012Validator

from app.adapters.cli.shop import Shop
from app.adapters.kafka.asyncapi import (
    CHANNELS,
    DOCUMENT_FILE,
    document,
    rendered,
    schema,
    schema_names,
)
from app.adapters.kafka.topics import TOPICS
from app.domain.model import CauseKind, Status

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "topics.md").read_text(encoding="utf-8")
EXAMPLE = re.compile(r"<!-- example: ([a-z-]+) -->\n```json\n(.*?)```", re.S)
EXAMPLES = [(name, json.loads(text)) for name, text in EXAMPLE.findall(PAGE)]
UNUSED_YET = {"commands"}


def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(schema(name), format_checker=Draft202012Validator.FORMAT_CHECKER)


def problems(name: str, value: object) -> list[str]:
    return [error.message for error in validator(name).iter_errors(value)]


@pytest.mark.parametrize("name", schema_names())
def test_a_schema_is_one_and_names_itself(name: str) -> None:
    found = schema(name)
    Draft202012Validator.check_schema(found)
    assert found["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert found["$id"] == f"urn:segmentation:schema:{name}"
    assert found["title"]
    assert found["description"]


@pytest.mark.parametrize(("name", "value"), EXAMPLES)
def test_the_examples_of_the_docs_fit_their_schema(name: str, value: object) -> None:
    assert problems(name, value) == []


def test_each_schema_of_a_value_has_an_example() -> None:
    shown = {name for name, _ in EXAMPLES}
    assert set(schema_names()) - shown == {"output-headers"}


def test_the_generator_sends_what_the_schema_says() -> None:
    shop = Shop(seed=5, profiles=50, start_ms=1_767_607_200_000, org_id="o", sandbox_name="prod")
    check = validator("profile-update")
    for number in range(2_000):
        check.validate(shop.update(1_767_607_200_000 + number).body)


def changed(name: str, **changes: Any) -> dict[str, Any]:
    return {**next(value for key, value in EXAMPLES if key == name), **changes}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("profile-update", {"profileId": "p"}),
        ("profile-update", {"profileId": "p", "event": None}),
        ("profile-update", {"profileId": 7, "event": {}}),
        ("profile-update", {"profileId": "", "event": {}}),
        ("profile-update", {"profileId": "p", "attributes": []}),
        ("profile-update", {"event": {}, "orgId": "a b"}),
        ("profile-update", {"event": {}, "identityMap": {"Email": [{"primary": True}]}}),
        ("profile-update", []),
        ("profile-update-envelope", {"header": {}, "body": {}}),
        ("membership-change", changed("membership-change", sequence=0)),
        ("membership-change", changed("membership-change", status="existing")),
        ("membership-change", changed("membership-change", cause={"kind": "whim"})),
        ("membership-change", changed("membership-change", extra=1)),
        ("memberships", changed("memberships", segmentMembership={})),
        ("definition", changed("definition", version=0)),
        ("job-event", changed("job-event", status="DONE")),
        ("job-event", changed("job-event", sequence=0)),
        ("dead-letter-headers", changed("dead-letter-headers", offset=3)),
        ("output-headers", {"batch": "3/2/118"}),
    ],
)
def test_what_is_wrong_does_not_fit(name: str, value: object) -> None:
    assert problems(name, value)


def test_schema_and_model_name_the_same_statuses_and_causes() -> None:
    properties = schema("membership-change")["properties"]
    assert set(properties["status"]["enum"]) == set(get_args(Status))
    assert set(properties["cause"]["properties"]["kind"]["enum"]) == set(get_args(CauseKind))


def test_the_document_is_the_one_in_the_repository() -> None:
    remedy = "run `python -m app.adapters.kafka.asyncapi`"
    assert DOCUMENT_FILE.read_text(encoding="utf-8") == rendered(document()), remedy


def test_every_topic_is_a_channel() -> None:
    made = document("p.")
    assert set(CHANNELS) == set(TOPICS)
    assert {channel["address"] for channel in made["channels"].values()} == {
        f"p.{name}" for name in TOPICS
    }


def test_policies_are_those_the_topics_are_made_with() -> None:
    for channel in document("")["channels"].values():
        configured = channel["bindings"]["kafka"]["topicConfiguration"]["cleanup.policy"]
        assert configured == [TOPICS[channel["address"]]["cleanup.policy"]]


def references(value: object) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [found for child in value.values() for found in references(child)]
    if isinstance(value, list):
        return [found for child in value for found in references(child)]
    return []


def test_every_reference_of_the_document_leads_somewhere() -> None:
    made = document()
    outside = {key: value for key, value in made.items() if key != "components"}
    found = references(outside) + references(made["components"]["messages"])
    assert found
    for reference in found:
        target: Any = made
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]
        assert target


def test_every_schema_is_used_by_a_message() -> None:
    used = {
        name
        for channel in CHANNELS.values()
        for message in channel.messages.values()
        for name in (message.payload, message.headers)
        if name
    }
    assert used == set(schema_names())


def test_only_reserved_topics_have_no_messages() -> None:
    made = document("")
    assert {name for name, channel in CHANNELS.items() if not channel.messages} == UNUSED_YET
    operations = {operation["channel"]["$ref"] for operation in made["operations"].values()}
    assert len(operations) == len(TOPICS) - len(UNUSED_YET)
    for operation in made["operations"].values():
        assert operation["action"] in ("send", "receive")
        assert operation["messages"]


def rows(heading: str, page: str = PAGE) -> list[str]:
    """The first cells of the table below a heading."""
    part = page.split(heading, 1)[1].split("\n## ", 1)[0]
    return re.findall(r"^\| `([a-z-]+)` \|", part, re.M)


def test_the_docs_list_every_topic_with_its_policy() -> None:
    assert set(rows("# Topics")) == set(TOPICS)
    for name, configuration in TOPICS.items():
        [row] = re.findall(rf"^\| `{name}` \|.*$", PAGE, re.M)
        assert row.endswith(f"| {configuration['cleanup.policy']} |")


def test_the_docs_list_every_cause() -> None:
    assert set(rows("## membership-changes")) == set(get_args(CauseKind))


def test_the_docs_list_every_dead_letter_code() -> None:
    files = (ROOT / "app" / "adapters" / "kafka").glob("*.py")
    given = {
        keyword.value.value
        for file in files
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "InvalidUpdate"
        for keyword in call.keywords
        if keyword.arg == "code" and isinstance(keyword.value, ast.Constant)
    }
    assert set(rows("## dead-letters")) == given
