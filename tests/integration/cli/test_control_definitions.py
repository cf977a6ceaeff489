"""`segmentation definitions` against the real API."""

from __future__ import annotations

import json

import pytest

from tests.integration.cli.control_harness import Control

pytestmark = pytest.mark.redis


def test_a_definition_is_created_shown_changed_and_removed(control: Control) -> None:
    created = control.good(
        *("definitions", "create", "--name", "Adults", "--expression", "age > 30"),
        *("--description", "Over 30", "--json"),
    )
    segment_id = created.document["id"]
    assert created.document["expression"]["value"] == "age > 30"
    assert created.err == ""

    shown = control.good("definitions", "get", segment_id)
    assert f"id           {segment_id}\n" in shown.out
    assert "description  Over 30\n" in shown.out
    assert "expression   age > 30\n" in shown.out

    updated = control.good(
        "definitions", "update", segment_id, "--expression", "age > 40", "--json"
    )
    assert updated.document["version"] == 2
    assert updated.document["description"] == "Over 30"

    versions = control.good("definitions", "versions", segment_id, "--json").documents
    assert [one["expression"]["value"] for one in versions] == ["age > 30", "age > 40"]
    table = control.good("definitions", "versions", segment_id).out.splitlines()
    assert table[0].split() == ["VERSION", "UPDATED", "EXPRESSION"]
    assert table[2].startswith("2 ")

    removed = control.good("definitions", "delete", segment_id)
    assert removed.out == f"Segment definition {segment_id} was removed.\n"
    assert control.run("definitions", "get", segment_id).status == 1


def test_an_update_keeps_what_it_does_not_name(control: Control) -> None:
    info = {"batch": {"enabled": False}, "continuous": {"enabled": True}}
    segment_id = control.create(
        "one", description="kept", evaluationInfo=info, mergePolicyId="policy"
    )
    before = control.good("definitions", "get", segment_id, "--json").document

    control.good("definitions", "update", segment_id, "--name", "other")

    after = control.good("definitions", "get", segment_id, "--json").document
    changed = {name for name in after if after[name] != before[name]}
    assert changed - {"updateTime", "updateEpoch"} == {"name"}
    assert after["name"] == "other"


def test_an_update_from_a_file_overwrites_all(control: Control) -> None:
    segment_id = control.create("one", description="goes")
    path = control.folder / "body.json"
    path.write_text(json.dumps({"name": "new", "expression": _pql("age > 1")}))

    control.good("definitions", "update", segment_id, "--file", str(path))

    after = control.good("definitions", "get", segment_id, "--json").document
    assert (after["name"], after["description"]) == ("new", "")


def _pql(text: str) -> dict[str, str]:
    return {"type": "PQL", "format": "pql/text", "value": text}


def test_a_body_comes_from_standard_input_with_options_over_it(control: Control) -> None:
    body = {"name": "from the file", "description": "d", "expression": _pql("age > 1")}

    done = control.good(
        "definitions", "create", "-f", "-", "--name", "typed", "--json", stdin=json.dumps(body)
    )

    assert (done.document["name"], done.document["description"]) == ("typed", "d")


def test_a_list_of_many_pages_is_whole_and_in_order(control: Control) -> None:
    ids = [control.create(f"definition {number}") for number in range(7)]

    lines = control.good("definitions", "list", "--page-size", "3", "--json").documents
    assert [one["id"] for one in lines] == ids[::-1]

    table = control.good("definitions", "list", "--page-size", "3", "--sort", "name:asc").out
    head, *rows = table.splitlines()
    assert head.split() == ["ID", "STATE", "VERSION", "NAME"]
    assert [row.split()[0] for row in rows] == ids
    # The pages stand below each other.
    assert {row.index("definition") for row in rows} == {head.index("NAME")}

    some = control.good("definitions", "list", "--limit", "4", "--page-size", "3", "--json")
    assert [one["id"] for one in some.documents] == ids[:2:-1]


def test_in_a_pipe_nothing_is_cut_and_no_line_ends_in_blanks(control: Control) -> None:
    name = "long name " * 30 + "end"
    control.create(name)
    control.create("short")
    head, *rows = control.good("definitions", "list").out.split("\n")[:-1]
    assert [row[head.index("NAME") :] for row in rows] == ["short", name]


def test_an_empty_list_says_so_beside_the_output(control: Control) -> None:
    done = control.good("definitions", "list", "--json")
    assert (done.out, done.err) == ("", "There are no segment definitions.\n")


def test_names_of_others_cannot_move_the_cursor(control: Control) -> None:
    control.create("a\x1b[2Jb\nc", description="\x1b]0;title\x07")

    listed = control.good("definitions", "list").out
    assert "a·[2Jb·c" in listed
    segment_id = listed.splitlines()[1].split()[0]
    assert "\x1b" not in control.good("definitions", "get", segment_id).out
    assert control.good("definitions", "list", "--json").document["name"] == "a\x1b[2Jb\nc"


def test_a_refused_expression_is_shown_with_its_places_and_remedies(control: Control) -> None:
    done = control.run(
        *("definitions", "create", "--name", "bad", "--expression"),
        'foo(1) and\n\tinSegment("missing")',
    )

    assert (done.status, done.out) == (1, "")
    lines = done.err.splitlines()
    assert lines[0].startswith("segmentation: refused (status 400): the expression has 2 problems")
    assert lines[0].endswith("[SEG-INVALID-DEFINITION-400]")
    assert lines[1].startswith("  line 1, column 1: ")
    assert lines[2:4] == ["    foo(1) and", "    ^^^^^^"]
    second = next(n for n, line in enumerate(lines) if line.startswith("  line 2"))
    assert lines[second].startswith("  line 2, column 12: ")
    assert lines[second + 1 : second + 3] == [
        '     inSegment("missing")',
        "               ^^^^^^^^^",
    ]
    assert lines[-1].startswith("  request id: ")
    # The log of the API has the same.
    (logged,) = [one for one in done.logged if one["event"] == "expression-refused"]
    told = [line for problem in logged["problems"] for line in problem.split("\n")]
    assert [f"  {line}" for line in told] == lines[1:-1]


def test_the_remedy_of_a_problem_is_told(control: Control) -> None:
    segment_id = control.create("good")
    done = control.run("definitions", "update", segment_id, "--expression", "age == 3")

    assert done.status == 1
    assert "    age == 3\n         ^\n    hint: equality is written with one `=`\n" in done.err


def test_what_is_allowed_but_perhaps_not_meant_is_told_beside_the_output(control: Control) -> None:
    text = "xEvent[timestamp occurs <= 31 days before now].count() > 0"
    done = control.good("definitions", "create", "--name", "long", "--expression", text, "--json")

    assert done.document["warnings"][0]["code"] == "beyond-retention"
    assert done.err.startswith("warning: line 1, column 8: ")
    assert f"\n    {text}\n           {'^' * 38}\n" in done.err


def test_a_taken_name_and_a_used_definition_are_refused_in_the_words_of_the_api(
    control: Control,
) -> None:
    segment_id = control.create("one")
    control.create("two", f'inSegment("{segment_id}")')

    taken = control.run("definitions", "create", "--name", "one", "--expression", "a = 1")
    assert (taken.status, "[SEG-NAME-TAKEN-422]" in taken.err) == (1, True)
    used = control.run("definitions", "delete", segment_id)
    assert (used.status, "[SEG-HAS-DEPENDENTS-409]" in used.err) == (1, True)
    assert "'two'" in used.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["create"], "Give --name and --expression"),
        (["create", "--name", "x"], "Give --name and --expression"),
        (["create", "--file", "/does/not/exist"], "/does/not/exist cannot be read: No such file"),
        (["create", "--file", "-"], "standard input is no JSON"),
        (["update", "x"], "Nothing to change"),
        (["update", "x", "--name", "\udcff"], "name is not UTF-8 text"),
        (["get", ".."], "'..' is no id"),
        (["get"], "Missing argument"),
        (["list", "--limit", "0"], "--limit"),
        (["list", "--frob"], "No such option"),
        (["frob"], "No such command"),
    ],
)
def test_what_was_typed_wrong_is_status_2(
    control: Control, arguments: list[str], told: str
) -> None:
    done = control.run("definitions", *arguments)
    assert (done.status, done.out) == (2, "")
    assert told in done.err


@pytest.mark.parametrize(
    ("text", "told"),
    [("[]", "no JSON object"), ('{"a": NaN}', "NaN is not part"), ('{"a": 1', "line 1 column")],
)
def test_a_file_that_is_no_body_is_told(control: Control, text: str, told: str) -> None:
    done = control.run("definitions", "create", "--file", "-", stdin=text)
    assert (done.status, told in done.err) == (2, True), done.err


def test_an_expression_is_converted_there_and_back(control: Control) -> None:
    there = control.good("definitions", "convert", "--expression", 'city = "Oslo"')
    tree = json.loads(there.out)
    assert tree["fnName"] == "="

    back = control.good("definitions", "convert", "--file", "-", stdin=there.out)
    assert back.out == 'city = "Oslo"\n'
    whole = control.good("definitions", "convert", "-f", "-", "--json", stdin=there.out).document
    assert whole["expression"] == _pql('city = "Oslo"')

    created = control.good(
        *("definitions", "create", "--name", "x", "--expression", there.out, "--json")
    ).document
    assert created["expression"]["format"] == "pql/json"


def test_problems_of_a_tree_are_shown_at_their_pointers(control: Control) -> None:
    tree = {"nodeType": "fnApply", "fnName": "and", "params": [{"nodeType": "varRef"}]}
    path = control.folder / "tree.json"
    path.write_text(json.dumps(tree))

    refused = control.run("definitions", "convert", "--file", str(path))

    assert refused.status == 1
    assert "  at /params/0: this varRef has no `varName`" in refused.err
    assert control.run("definitions", "convert").status == 2


def test_an_expression_is_checked_without_being_stored(control: Control) -> None:
    text = "xEvent[timestamp occurs <= 31 days before now].count() > 0"
    good = control.good("definitions", "check", "--expression", text)
    bad = control.run("definitions", "check", "--expression", "age == 3")
    nothing = control.run("definitions", "check")

    assert good.out.startswith("evaluation  incremental\nstate size  about ")
    assert good.err.startswith("warning: line 1, column 8: ")
    assert bad.status == 1
    assert "    age == 3\n         ^\n    hint: equality is written with one `=`\n" in bad.err
    assert nothing.status == 2
    assert control.good("definitions", "list", "--json").out == ""
