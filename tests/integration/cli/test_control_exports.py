"""`segmentation exports` against a real control plane."""

from __future__ import annotations

import json
from threading import Timer

import pytest

from tests.integration.cli.control_harness import Control
from tests.integration.http.test_exports_api import export_done

pytestmark = pytest.mark.redis


def test_exports_from_the_command_line(control: Control) -> None:
    one = control.create("one")
    started = control.good(
        "exports", "create", "--segment", one, "--status", "exited", "--fields", "age",
        "--dataset", "members", "--events", "--json",
    ).document  # fmt: skip
    assert started["filter"]["segments"] == [
        {"segmentId": one, "segmentNs": "ups", "status": ["exited"]}
    ]
    assert started["destination"]["datasetId"] == "members"
    assert started["additionalFields"] == {"eventList": {}}
    job_id = str(started["id"])
    assert "NEW" in control.good("exports", "get", job_id).out
    body = {"schema": {"name": "_xdm.context.profile"}, "filter": {"emptyProfiles": True}}
    other = control.good("exports", "create", "-f", "-", "--json", stdin=json.dumps(body)).document
    assert other["filter"] == {"emptyProfiles": True}
    listed = control.good("exports", "list", "--page-size", "1", "--json").documents
    assert [one["id"] for one in listed] == [other["id"], started["id"]]
    assert len(control.good("exports", "list", "--limit", "1", "--json").documents) == 1
    assert "marked for cancelling" in control.good("exports", "cancel", str(other["id"])).out
    failed = control.run("exports", "watch", str(other["id"]))
    assert failed.status == 1
    assert "cancelled" in failed.err
    refused = control.run("exports", "create", "--dataset", "none")
    assert refused.status == 1
    assert "SEG_DATASETS" in refused.err
    assert control.run("exports", "get", "999").status == 1
    late = control.run("exports", "watch", job_id, "--timeout", "0")
    assert late.status == 1
    assert "still" in late.err


def test_waiting_for_an_export(control: Control) -> None:
    async def finish() -> None:
        await export_done(control.plane, 3)

    timer = Timer(0.8, lambda: control.portal.call(finish))
    timer.start()
    done = control.good("exports", "create", "--wait", "--timeout", "30")
    timer.join()
    assert "SUCCEEDED" in done.out
    assert "6" in done.out
    assert "waiting until it has ended" in done.err
