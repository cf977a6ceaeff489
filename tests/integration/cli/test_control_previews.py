"""`segmentation previews` against the real API, with a worker played by the test."""

from __future__ import annotations

import json

import pytest

from app.adapters.http.definitions import now_ms
from app.adapters.redis.preview_source import RedisPreviewSource
from app.domain.previews import PreviewMatch, Share
from tests.integration.cli.control_harness import Control
from tests.integration.cli.test_control_watch import DEADLINE_S, started

pytestmark = pytest.mark.redis


def report(control: Control, before: Share | None, after: Share, *names: str) -> None:
    """Note a slice of the one preview that there is, as a worker does."""
    plane = control.plane

    async def noted() -> str:
        source = RedisPreviewSource(plane.redis, plane.prefix)
        ((task,),) = (await source.tasks(now_ms())).values()
        found = [PreviewMatch(name, (f"{name}-crm",)) for name in names]
        return await source.report(plane.tenant, task.query_id, 0, before, after, found)

    assert control.portal.call(noted) == "ok"


HALF = Share(total=80, wanted=80, read=40, matched=2, by_namespace={"Email": 2}, cursor=9)
WHOLE = Share(total=80, wanted=80, read=80, matched=3, by_namespace={"Email": 3}, cursor=None)


def test_a_preview_is_followed_to_its_estimate_and_read_page_by_page(control: Control) -> None:
    options = ("--expression", "age > 30", "--graph", "pdg", "--wait")
    with started(control, "previews", "create", *options) as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        assert "is begun; waiting until it is RESULT_READY" in said
        assert process.stderr.readline() == "RUNNING\n"
        report(control, None, HALF, "p-1", "p-2")
        assert process.stderr.readline() == "RUNNING 50 %\n"
        report(control, HALF, WHOLE, "p-3")
        out, err = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 0, err
    assert err == "RESULT_READY 100 %\n"
    assert "size        3\n" in out
    assert "namespaces  Email 3\n" in out
    preview_id = said.split()[0]

    lines = control.good("previews", "get", preview_id, "--page-size", "2").out.splitlines()
    assert lines[0].split() == ["PROFILE", "OTHER", "IDENTITIES"]
    assert sorted(line.split()[0] for line in lines[1:]) == ["p-1", "p-2", "p-3"]
    rows = control.good("previews", "get", preview_id, "--limit", "1", "--json").documents
    assert len(rows) == 1
    (shown,) = rows[0].values()
    assert len(shown["endCustomerIds"]) == 1

    assert control.good("previews", "delete", preview_id).out.startswith("Preview ")
    gone = control.run("previews", "estimate", preview_id)
    assert gone.status == 1
    assert "SEG-PREVIEW-NOT-FOUND-404" in gone.err


def test_what_is_not_ready_is_said_and_told_how_to_wait_for(control: Control) -> None:
    created = control.good("previews", "create", "--expression", "age > 30", "--json").document
    preview_id = created["previewId"]
    report(control, None, HALF)
    early = control.run("previews", "get", preview_id)
    assert early.status == 1
    assert "is RUNNING: it has results once it is RESULT_READY" in early.err
    shown = control.good("previews", "estimate", preview_id).out
    assert "size        4 (95%: 2 to " in shown
    late = control.run("previews", "estimate", preview_id, "--wait", "--timeout", "0")
    assert late.status == 1
    assert "still RUNNING after 0 s" in late.err


def test_a_body_from_a_file_and_a_mistake_with_its_place(control: Control) -> None:
    body = {"predicateExpression": "person.age == 3", "graphType": "none"}
    refused = control.run("previews", "create", "-f", "-", stdin=json.dumps(body))
    assert refused.status == 1
    assert "line 1, column 13" in refused.err
    assert "^" in refused.err
    control.good("previews", "create", "-f", "-", "--expression", "a = 1", stdin=json.dumps(body))
    assert control.run("previews", "create").status == 2
