"""`segmentation audiences`, `search` and `profiles` against the real API."""

from __future__ import annotations

import json
import time

import httpx
import pytest

from app.engine.profile import ProfileState
from app.engine.tables import Detail, DetailTable
from tests.integration.cli.control_harness import Control, Done
from tests.integration.http.harness import AUDIENCES

pytestmark = pytest.mark.redis
FRESH_S = 10.0


def created(control: Control, name: str, *options: str) -> str:
    given = ("--name", name, "--expression", "age > 30", *options)
    return str(control.good("audiences", "create", *given, "--json").document["id"])


def test_an_audience_lives_from_draft_to_removal(control: Control) -> None:
    audience_id = created(control, "Winter", "--draft", "--label", "core/C1", "--label", "core/C2")
    shown = control.good("audiences", "get", audience_id).out
    assert "lifecycle   draft\n" in shown
    assert "state       OFF\n" in shown
    assert "labels      core/C1, core/C2\n" in shown

    published = control.good("audiences", "publish", audience_id, "--json").document
    assert published["lifecycleState"] == "published"

    patched = control.good(
        *("audiences", "patch", audience_id, "--name", "Summer", "--description", "warm"),
        *("--expression", "age > 40", "--label", "core/C3", "--json"),
    ).document
    assert (patched["name"], patched["description"]) == ("Summer", "warm")
    assert (patched["expression"]["value"], patched["labels"]) == ("age > 40", ["core/C3"])

    control.good("audiences", "deactivate", audience_id)
    assert control.good("audiences", "list").out == ""
    [inactive] = control.good("audiences", "list", "--lifecycle", "inactive", "--json").documents
    assert inactive["id"] == audience_id

    removed = control.good("audiences", "delete", audience_id)
    assert removed.out == f"Audience {audience_id} was removed.\n"


def test_an_answer_without_content_is_no_json(control: Control) -> None:
    done = control.good("audiences", "delete", created(control, "one"), "--json")
    assert (done.out, done.err) == ("", "")


def test_audiences_are_listed_over_pages_and_filtered(control: Control) -> None:
    ids = [created(control, f"part {number}", "--label", "core/C1") for number in range(5)]
    created(control, "other")

    asked = ("--name", "PART", "--property", "labels==core/C1", "--page-size", "2")
    found = control.good("audiences", "list", *asked, "--json").documents
    assert [one["id"] for one in found] == ids[::-1]
    head, *rows = control.good("audiences", "list", *asked).out.splitlines()
    assert head.split() == ["ID", "LIFECYCLE", "STATE", "NAME"]
    assert [row.split()[0] for row in rows] == ids[::-1]


def test_a_json_patch_comes_from_a_file_and_options_follow_it(control: Control) -> None:
    audience_id = created(control, "one", "--label", "core/C1")
    patch = [
        {"op": "add", "path": "/labels/-", "value": "core/C2"},
        {"op": "add", "path": "/description", "value": "of the file"},
    ]

    done = control.good(
        *("audiences", "patch", audience_id, "-f", "-", "--description", "typed", "--json"),
        stdin=json.dumps(patch),
    )

    assert done.document["labels"] == ["core/C1", "core/C2"]
    assert done.document["description"] == "typed"


@pytest.mark.parametrize("path", ["/expression", "/expression/value"])
def test_a_refused_expression_of_a_patch_is_shown_with_its_place(
    control: Control, path: str
) -> None:
    audience_id = created(control, "one")
    pql = {"type": "PQL", "format": "pql/text", "value": "age == 3"}
    value = pql if path == "/expression" else pql["value"]
    patch = json.dumps([{"op": "add", "path": path, "value": value}])

    done = control.run("audiences", "patch", audience_id, "-f", "-", stdin=patch)

    assert (done.status, done.out) == (1, "")
    assert "[UPAPI-113434-400]" in done.err
    assert "    age == 3\n         ^\n" in done.err


@pytest.mark.parametrize(
    ("arguments", "stdin", "told"),
    [
        (["patch", "x"], "", "Nothing to change"),
        (["patch", "x", "-f", "-"], "{}", "no JSON Patch"),
        (["patch", "x", "-f", "-"], "[]", "Nothing to change"),
        (["create", "--draft"], "", "Give --name and --expression"),
    ],
)
def test_what_was_typed_wrong_is_status_2(
    control: Control, arguments: list[str], stdin: str, told: str
) -> None:
    done = control.run("audiences", *arguments, stdin=stdin)
    assert (done.status, told in done.err) == (2, True), done.err


def until(control: Control, *arguments: str, lines: int) -> Done:
    """Search until what was written has arrived there."""
    deadline = time.monotonic() + FRESH_S
    while len((done := control.run("search", *arguments)).out.splitlines()) != lines:
        assert time.monotonic() < deadline, done
        time.sleep(0.05)
    return done


def test_definitions_are_searched_over_pages(control: Control) -> None:
    ids = {control.create(f"winter {number}") for number in range(5)}
    control.create("summer")

    until(control, "query", "--json", lines=6)
    found = control.good("search", "query", "winter", "--page-size", "2", "--json").documents
    assert len(found) == 5
    assert {one["id"] for one in found} == ids
    some = control.good("search", "query", "winter", "--limit", "3", "--page-size", "2", "--json")
    assert [one["id"] for one in some.documents] == [one["id"] for one in found[:3]]
    head, *rows = control.good("search", "query", "winter").out.splitlines()
    assert head.split() == ["ID", "KIND", "NAME"]
    assert {row.split()[0] for row in rows} == ids

    [counted] = control.good("search", "namespaces", "winter", "--json").documents
    assert (counted["namespace"], counted["count"]) == ("AEPSegments", 5)
    assert control.good("search", "namespaces").out.splitlines()[1].split() == ["6", "AEPSegments"]

    segment_id = found[0]["id"]
    [place] = control.good("search", "taxonomy", segment_id, "--json").documents
    assert place["id"] == segment_id


def test_where_nothing_can_be_found_the_reason_is_told(control: Control) -> None:
    done = control.good("search", "query", "--namespace", "Nowhere", "--json")
    assert done.out == ""
    assert "Nowhere" in done.err


def test_a_query_that_cannot_be_read_is_shown_with_the_place(control: Control) -> None:
    done = control.run("search", "query", 'winter "sale')
    assert (done.status, done.out) == (1, "")
    assert '    winter "sale\n           ^\n' in done.err


def test_the_memberships_of_a_profile_are_shown(control: Control) -> None:
    inside, outside = control.create("in"), control.create("out")
    details = {ordinal: Detail(1_767_607_200_000 + ordinal, 1) for ordinal in range(2)}
    state = ProfileState(members=b"\x01", details=DetailTable(details), created=True)
    control.portal.call(control.plane.put_profile, "p/1 ø?%", state)

    head, *rows = control.good("profiles", "membership", "p/1 ø?%").out.splitlines()
    document = control.good("profiles", "membership", "p/1 ø?%", "--json").document

    assert head.split() == ["SEGMENT", "STATUS", "SINCE"]
    assert sorted(row.split() for row in rows) == sorted(
        [
            [inside, "realized", "2026-01-05T10:00:00Z"],
            [outside, "exited", "2026-01-05T10:00:00.001Z"],
        ]
    )
    assert document["profileId"] == "p/1 ø?%"
    assert set(document["segmentMembership"]["ups"]) == {inside, outside}


def test_a_profile_that_is_not_there_is_status_1(control: Control) -> None:
    done = control.run("profiles", "membership", "a/b c")
    assert (done.status, "[SEG-PROFILE-NOT-FOUND-404]" in done.err) == (1, True)
    assert "'a/b c'" in done.err


def test_imports_are_started_and_listed(control: Control) -> None:
    body = {"audienceId": "a", "name": "outside", "type": "ExternalSegment"}
    answer = httpx.post(control.url + AUDIENCES, json=body, headers=control.plane.headers())
    one = answer.json()["id"]

    assert control.good("audiences", "runs", one).err == "There are no runs of this audience.\n"
    refused = control.run("audiences", "import", one, "--since", "2026-01-05")
    assert (refused.status, refused.out) == (1, "")
    assert "the audience has no source" in refused.err
    wrong = control.run("audiences", "import", one, "--until", "soon")
    assert (wrong.status, "--until" in wrong.err) == (2, True)
    assert "type" not in control.good("audiences", "get", one).err
