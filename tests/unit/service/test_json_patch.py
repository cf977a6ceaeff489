from __future__ import annotations

from typing import Any

import pytest

from app.domain.errors import UserError
from app.service.json_patch import Addition, patched

DOCUMENT = {"name": "n", "labels": ["a", "b"], "info": {"batch": {"enabled": True}, "x/y~z": 1}}
EDITABLE = ("name", "labels", "info")


def after(path: str, value: Any) -> dict[str, Any]:
    return patched(DOCUMENT, [Addition(path, value)], EDITABLE)


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("/name", "m", {"name": "m"}),
        ("/labels", [], {"labels": []}),
        ("/labels/-", "c", {"labels": ["a", "b", "c"]}),
        ("/labels/0", "c", {"labels": ["c", "a", "b"]}),
        ("/labels/2", "c", {"labels": ["a", "b", "c"]}),
        ("/info/batch/enabled", False, {"info": {"batch": {"enabled": False}, "x/y~z": 1}}),
        ("/info/x~1y~0z", 2, {"info": {"batch": {"enabled": True}, "x/y~z": 2}}),
        ("/info/new", {}, {"info": {"batch": {"enabled": True}, "x/y~z": 1, "new": {}}}),
    ],
)
def test_a_value_is_added_where_the_path_leads(
    path: str, value: Any, expected: dict[str, Any]
) -> None:
    assert after(path, value) == DOCUMENT | expected


@pytest.mark.parametrize(
    "path",
    ["/name/x", "/labels/3", "/labels/01", "/labels/x", "/labels/0/x", "/info/none/enabled"],
)
def test_a_path_that_leads_nowhere_is_refused(path: str) -> None:
    with pytest.raises(UserError, match="leads nowhere") as refusal:
        after(path, 1)
    assert refusal.value.code == "audience-invalid"


@pytest.mark.parametrize("path", ["/id", "/namespace/x", "/"])
def test_a_field_that_is_not_editable_is_refused(path: str) -> None:
    with pytest.raises(UserError, match="/name, /labels, /info"):
        after(path, 1)


@pytest.mark.parametrize("path", ["", "name", "#/name"])
def test_what_is_no_pointer_is_refused(path: str) -> None:
    with pytest.raises(UserError, match="JSON pointer"):
        after(path, 1)


def test_a_value_without_end_is_refused() -> None:
    value: list[Any] = []
    for _ in range(10_000):
        value = [value]
    with pytest.raises(UserError, match="nested too deeply"):
        after("/labels", value)


def test_operations_follow_each_other_and_leave_the_given_values_alone() -> None:
    value: dict[str, Any] = {"deep": {}}
    result = patched(
        DOCUMENT,
        [Addition("/info", value), Addition("/info/deep/er", 1), Addition("/name", "last")],
        EDITABLE,
    )
    assert result == {"name": "last", "labels": ["a", "b"], "info": {"deep": {"er": 1}}}
    assert value == {"deep": {}}
    assert DOCUMENT["name"] == "n"
