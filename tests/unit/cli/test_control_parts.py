"""Parts of the commands of the control plane that need no API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.adapters.cli.control import families
from app.adapters.cli.control.answers import failure, parsed
from app.adapters.cli.control.failures import Refused
from app.adapters.cli.control.families import COMMANDS, FAMILIES, commands_of
from app.adapters.cli.control.following import job_percent, job_progress
from app.adapters.cli.control.lists import Page, limited
from app.adapters.cli.control.waiting import progress_percent
from app.domain.errors import Unavailable
from tests.start_up import ENGINE, loaded_by

URL = "http://127.0.0.1:8080"


@pytest.mark.parametrize(
    ("progress", "percent"),
    [
        (None, None),
        ({"partitionsDone": 1, "partitions": 4, "percent": 30.5}, 30.5),
        ({"percent": 37}, 37),
        ({"percent": -1}, 0),
        ({"percent": 120}, 100),
        ({"percent": "30"}, None),
        ({"percent": True}, None),
        ({"percent": float("nan")}, None),
        ({}, None),
        (37, None),
    ],
)
def test_progress_is_read(progress: Any, percent: float | None) -> None:
    document = {"evaluationState": "BACKFILLING", "evaluationProgress": progress}
    assert progress_percent(document) == percent
    assert job_percent({"status": "PROCESSING", "progress": progress}) == percent


def test_what_is_live_is_whole_and_what_tells_nothing_is_unknown() -> None:
    assert progress_percent({"evaluationState": "LIVE"}) == 100
    assert progress_percent({"evaluationState": "BACKFILLING"}) is None
    assert progress_percent({}) is None
    assert job_percent({"status": "SUCCEEDED"}) == 100
    assert job_progress({"status": "NEW"}) is None
    assert job_progress({"progress": {"percent": 41, "profiles": 7}}) == "41 %, 7 profiles"


@pytest.mark.parametrize(("limit", "read"), [(None, 4), (1, 1), (3, 1), (4, 2), (6, 2), (100, 4)])
def test_no_page_is_read_for_nothing(limit: int | None, read: int) -> None:
    pages_read = 0

    def pages() -> Iterator[Page]:
        nonlocal pages_read
        for number in range(4):
            pages_read += 1
            yield [{"n": number * 3 + place} for place in range(3)]

    found = [one["n"] for page in limited(pages(), limit) for one in page]

    assert found == list(range(min(limit or 12, 12)))
    assert pages_read == read


def told(status: int, document: Any) -> str:
    error = failure(URL, status, document, "r-1")
    assert isinstance(error, Refused)
    return error.message


def test_all_three_shapes_of_a_refusal_are_read() -> None:
    gateway = told(401, {"error_code": "401013", "message": "The token is not valid."})
    assert gateway.startswith("refused (status 401): The token is not valid. [401013]\n")
    assert "SEG_CLIENT_TOKEN" in gateway
    platform = {"type": "/x", "status": 400, "title": "BadRequestError", "detail": "No JSON."}
    assert "No JSON. [BadRequestError]" in told(400, platform)
    problem = {
        "errors": {
            "400": [
                {"code": "A", "message": "one problem"},
                {
                    **{"code": "B", "message": "bad `=`", "line": 1, "column": 6, "length": 1},
                    **{"excerpt": "age == 3\n     ^", "hint": "one `=`"},
                },
                {"code": "C", "message": "elsewhere", "line": 7, "column": 1},
                {"code": "D", "message": "nowhere", "hint": "somewhere"},
            ]
        }
    }
    assert told(400, problem).splitlines() == [
        "refused (status 400): one problem [A]",
        "  line 1, column 6: bad `=`",
        "    age == 3",
        "         ^",
        "    hint: one `=`",
        "  line 7, column 1: elsewhere",
        "  nowhere",
        "    hint: somewhere",
        "  request id: r-1",
    ]


def test_messages_of_others_cannot_move_the_cursor() -> None:
    text = told(404, {"errors": {"404": [{"code": "x\x1b[1m", "message": "a\x1b[2Jb\nc"}]}})
    assert text.splitlines()[0] == "refused (status 404): a·[2Jb·c [x·[1m]"


@pytest.mark.parametrize(
    "document", [None, {}, {"errors": {}}, {"errors": []}, {"errors": {"400": "x"}}, {"detail": 1}]
)
def test_a_refusal_in_no_known_shape_comes_from_something_else(document: Any) -> None:
    error = failure(URL, 400, document, "")
    assert isinstance(error, Unavailable)
    assert "status 400" in error.message


@pytest.mark.parametrize("content", [b"", b"<html>", b"[]", b"5", b'{"a": 1', b"\xff"])
def test_only_a_json_object_is_an_answer(content: bytes) -> None:
    assert parsed(content) is None


def test_every_family_has_commands_and_every_module_with_commands_is_a_family() -> None:
    folder = Path(families.__file__).parent
    modules = {path.stem for path in folder.glob("*.py") if "@command(group" in path.read_text()}
    modules.discard("commands")
    assert {*FAMILIES, *COMMANDS} == modules
    assert all(commands_of(name).commands for name in FAMILIES)
    assert all(list(commands_of(name).commands) == [name] for name in COMMANDS)


@pytest.mark.parametrize("arguments", [["--help"], ["definitions", "--help"], ["version"]])
def test_help_loads_neither_engine_nor_client(arguments: list[str]) -> None:
    status, modules = loaded_by(*arguments)
    assert status == 0
    assert modules & (ENGINE | {"httpx", "rich"}) == set()
    is_asked = arguments[0] == "definitions"
    assert ("app.adapters.cli.control.definitions" in modules) == is_asked
