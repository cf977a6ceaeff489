from __future__ import annotations

from dataclasses import replace

import pytest

from app.domain.definitions import (
    BACKFILLING,
    DRAFT,
    INACTIVE,
    BackfillProgress,
    EvaluationMethods,
)
from app.domain.errors import UserError
from app.domain.external import ExternalAudience
from app.domain.model import JsonObject, Tenant
from app.service.audience_document import (
    AUDIENCE_FIELDS,
    EDITABLE,
    EXTERNAL_EDITABLE,
    audience_document,
    editable_document,
)
from app.service.audience_query import (
    AUDIENCE_SORT_FIELDS,
    AudienceQuery,
    parse_property,
    select_audiences,
)
from app.service.definition_query import parse_sort
from app.service.references import dependents_by_id, dependents_of
from tests.builders import stored_definition

TENANT = Tenant("org@AdobeOrg", "prod")
BASE = stored_definition(created_by="me", modified_by="you", state="FAILED", state_reason="x")
ROWS = [
    replace(BASE, segment_id="s1", name="Alpha", created_ms=1, labels=("core/C1", "core/C2")),
    replace(BASE, segment_id="s2", name="beta", created_ms=2, lifecycle=DRAFT, description="Ends"),
    replace(BASE, segment_id="s3", name="Alphabet", created_ms=3, lifecycle=INACTIVE),
    replace(BASE, segment_id="s4", name="gamma", created_ms=4, methods=EvaluationMethods(False)),
]


def show(definition: object) -> JsonObject:
    assert isinstance(definition, type(BASE))
    return audience_document(TENANT, definition, ("s9",))


def ids(*properties: str, **query: object) -> list[str]:
    wanted = AudienceQuery(
        properties=tuple(parse_property(text) for text in properties),
        **query,  # type: ignore[arg-type]
    )
    return [one.segment_id for one in select_audiences(ROWS, wanted, show).items]


def test_inactive_audiences_are_left_out() -> None:
    assert ids() == ["s4", "s2", "s1"]
    assert ids(name="alpha") == ["s1"]


@pytest.mark.parametrize("text", ["audienceId==s3", "id==s3", "lifecycleState==inactive"])
def test_who_asks_for_an_inactive_audience_gets_it(text: str) -> None:
    assert ids(text) == ["s3"]


def test_texts_are_found_in_any_case() -> None:
    assert ids(name="ALPHA") == ["s1"]
    assert ids(name="A") == ["s4", "s2", "s1"]
    assert ids(description="end") == ["s2"]
    assert ids(name="alpha", description="end") == []


def test_the_class_of_entities_is_matched_whole() -> None:
    assert ids(entity_type="_xdm.context.profile") == ["s4", "s2", "s1"]
    assert ids(entity_type="_xdm.context.account") == []


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["name==Alpha"], ["s1"]),
        (["name==alpha"], []),
        (["labels==core/C2"], ["s1"]),
        (["isSystem==false"], ["s4", "s2", "s1"]),
        (["evaluationInfo.batch.enabled==false"], ["s4"]),
        (["evaluationInfo.batch==false"], []),
        (["creationTime==2"], ["s2"]),
        (["dependents==s9", "name==gamma"], ["s4"]),
        (["definedOn.meta:containerId==tenant", "lifecycleState==draft"], ["s2"]),
        (["name.first==x"], []),
        (["description=="], ["s4", "s1"]),
    ],
)
def test_properties_match_exactly_and_all(texts: list[str], expected: list[str]) -> None:
    assert ids(*texts) == expected


@pytest.mark.parametrize("text", ["name", "name=x", "colour==red", "==x", ""])
def test_a_property_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="field==value"):
        parse_property(text)


def test_pages_are_counted_from_the_start() -> None:
    page = select_audiences(ROWS, AudienceQuery(start=1, limit=2), show)
    assert (page.total, [one.segment_id for one in page.items]) == (3, ["s1"])


def test_every_sort_field_sorts() -> None:
    for field in AUDIENCE_SORT_FIELDS:
        up = ids(order=parse_sort(f"{field}:asc,id:asc", AUDIENCE_SORT_FIELDS))
        down = ids(order=parse_sort(f"{field}:desc,id:desc", AUDIENCE_SORT_FIELDS))
        assert up == down[::-1]
    assert ids(order=parse_sort("lifecycleState,name:desc", AUDIENCE_SORT_FIELDS)) == [
        "s2",
        "s4",
        "s1",
    ]


def test_the_fields_that_are_filtered_by_are_those_of_an_audience() -> None:
    on_its_way = replace(BASE, state=BACKFILLING, progress=BackfillProgress(1, 2, 50))
    external = replace(BASE, external=ExternalAudience(linked={}, meta={}))
    shown = (BASE, on_its_way, external)
    assert {name for one in shown for name in show(one)} == AUDIENCE_FIELDS
    assert set(editable_document(TENANT, external)) == set(EXTERNAL_EDITABLE)
    assert tuple(editable_document(TENANT, BASE)) == EDITABLE


def test_the_etag_changes_with_every_write() -> None:
    writes = [
        BASE,
        replace(BASE, updated_ms=1),
        replace(BASE, labels=("a",)),
        replace(BASE, lifecycle=INACTIVE),
    ]
    etags = {show(one)["_etag"] for one in writes}
    assert len(etags) == len(writes)
    assert all(etag[0] == etag[-1] == '"' for etag in etags)
    assert show(replace(BASE, state="LIVE", state_reason=""))["_etag"] in etags


def test_dependents_of_all_are_those_of_each() -> None:
    uses = {"x": ("a", "b"), "y": ("b",), "a": ("a",), "w": ("a",)}
    found = dependents_by_id(uses)
    assert found == {"a": ["w", "x"], "b": ["x", "y"]}
    assert all(found.get(one, []) == dependents_of(one, uses) for one in "abwxy")
