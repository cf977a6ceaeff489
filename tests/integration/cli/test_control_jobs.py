"""`segmentation jobs` and `segmentation schedules` against the real API; the test does the jobs."""

from __future__ import annotations

import json

import pytest

from tests.integration.cli.control_harness import Control
from tests.integration.cli.test_control_watch import DEADLINE_S, started
from tests.integration.http.test_jobs_api import done

pytestmark = pytest.mark.redis


def finish(control: Control) -> str:
    """Do the job whose turn it is, as workers do; return its id."""
    job_id: str = control.portal.call(done, control.plane, 3)
    return job_id


def test_a_job_is_started_listed_shown_and_cancelled(control: Control) -> None:
    one, two = control.create("one"), control.create("two")
    first = control.good("jobs", "create", one, two, "--json").document
    assert (first["status"], first["source"]) == ("NEW", "api")
    second = control.good("jobs", "create", "--all", "--json").document
    assert second["segments"] == [{"segmentId": "*"}]

    head, *rows = control.good("jobs", "list", "--page-size", "1").out.splitlines()
    assert head.split() == ["ID", "STATUS", "SOURCE", "CREATED"]
    assert [row.split()[0] for row in rows] == [second["id"], first["id"]]
    assert finish(control) == first["id"]
    asked = ("--status", "SUCCEEDED", "--property", f"segments~segmentId=={two}", "--json")
    assert [one["id"] for one in control.good("jobs", "list", *asked).documents] == [first["id"]]

    shown = control.good("jobs", "get", first["id"]).out
    assert "status    SUCCEEDED\n" in shown
    assert "profiles  18\n" in shown
    assert f"segments  {one}  6 realized, 2 exited\n" in shown
    assert f"          {two}  6 realized, 2 exited\n" in shown

    cancelled = control.good("jobs", "cancel", second["id"])
    assert cancelled.out == f"Segment job {second['id']} is being cancelled.\n"
    assert control.good("jobs", "cancel", second["id"], "--json").out == ""
    watched = control.run("jobs", "watch", second["id"])
    assert (watched.status, f"{second['id']} is CANCELLED." in watched.err) == (1, True)
    ended = control.run("jobs", "cancel", first["id"])
    assert (ended.status, "[SEG-JOB-ENDED-409]" in ended.err) == (1, True)


def test_creation_waits_until_the_job_has_ended(control: Control) -> None:
    one = control.create("one")
    with started(control, "jobs", "create", one, "--wait", "--json") as process:
        assert process.stderr is not None
        assert "is started; waiting until it has ended" in process.stderr.readline()
        assert process.stderr.readline() in ("NEW\n", "QUEUED\n")
        finish(control)
        out, err = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 0, err
    assert json.loads(out)["metrics"]["segmentedProfileCounter"] == {one: 6}
    assert err.endswith("SUCCEEDED 100 %\n")


def test_the_end_of_the_time_says_how_to_go_on(control: Control) -> None:
    ended = control.run("jobs", "create", control.create("one"), "--wait", "--timeout", "0")
    assert ended.status == 1
    assert "after 0 s. Go on waiting: segmentation jobs watch " in ended.err


def test_a_schedule_is_created_changed_run_and_removed(control: Control) -> None:
    one, two = control.create("one"), control.create("two")
    given = ("--name", "nightly", "--cron", "0 15 2 * * ?", "--segment", one, "--segment", two)
    created = control.good("schedules", "create", *given, "--missed-runs", "skip", "--json")
    schedule = created.document
    schedule_id = schedule["id"]
    assert schedule["properties"] == {"segments": [one, two]}
    assert (schedule["state"], schedule["missedRuns"]) == ("inactive", "skip")

    enabled = control.good("schedules", "enable", schedule_id).out
    assert "state        active\n" in enabled
    assert "T02:15:00Z\n" in enabled
    changes = ("--cron", "0 0 4 ? * MON", "--missed-runs", "run-once", "--json")
    changed = control.good("schedules", "update", schedule_id, *changes).document
    assert (changed["schedule"], changed["missedRuns"]) == ("0 0 4 ? * MON", "run-once")
    disabled = control.good("schedules", "disable", schedule_id, "--json").document
    assert "nextRunTime" not in disabled

    triggered = control.good("schedules", "trigger", schedule_id).out
    job_id = finish(control)
    assert f"started {job_id}\n" in triggered
    assert f"schedule  {schedule_id}\n" in control.good("jobs", "get", job_id).out

    whole = control.good("schedules", "create", "--name", "all", "--all", "--active", "--json")
    assert whole.document["properties"] == {"segments": ["*"]}
    head, *rows = control.good("schedules", "list", "--page-size", "1").out.splitlines()
    assert head.split() == ["ID", "STATE", "NEXT", "RUN", "NAME"]
    assert [row.split()[0] for row in rows] == [whole.document["id"], schedule_id]

    removed = control.good("schedules", "delete", schedule_id)
    assert removed.out == f"Schedule {schedule_id} was removed.\n"
    gone = control.run("schedules", "get", schedule_id)
    assert (gone.status, "[SEG-SCHEDULE-NOT-FOUND-404]" in gone.err) == (1, True)


def test_a_schedule_comes_from_a_file_and_options_go_over_it(control: Control) -> None:
    body = {"name": "of the file", "properties": {"segments": ["*"]}, "schedule": "0 0 4 * * ?"}
    given = ("-f", "-", "--name", "typed", "--json")
    made = control.good("schedules", "create", *given, stdin=json.dumps(body)).document
    assert (made["name"], made["schedule"]) == ("typed", "0 0 4 * * ?")


def test_a_schedule_of_exports_is_shown_with_what_it_exports(control: Control) -> None:
    one = control.create("one")
    properties = {
        "schema": {"name": "_xdm.context.profile"},
        "filter": {"segments": [{"segmentId": one}]},
        "destination": {"datasetId": "members"},
    }
    body = {"name": "members", "type": "export", "properties": properties}
    shown = control.good("schedules", "create", "-f", "-", stdin=json.dumps(body)).out
    assert "type         export\n" in shown
    assert f"exports      {one}\n" in shown
    assert "data set     members\n" in shown


def test_audiences_are_added_removed_and_looked_up(control: Control) -> None:
    one, two = control.create("one"), control.create("two")
    given = ("--name", "nightly", "--cron", "0 15 2 * * ?", "--segment", one, "--json")
    schedule_id = control.good("schedules", "create", *given).document["id"]
    added = control.run("schedules", "add-audiences", schedule_id, one, two, "nobody")
    assert (added.status, added.out) == (1, f"added      {two}\naudiences  2\nbefore     1\n")
    assert f"in the schedule before: {one}\n" in added.err
    assert "no published audience: nobody" in added.err

    found = control.good("schedules", "audience-map", one, two, "nobody").out
    head, *rows = found.splitlines()
    assert head.split() == ["AUDIENCE", "SCHEDULE", "CRON", "FREQUENCY", "NAME"]
    assert [row.split()[:2] for row in rows] == [[one, schedule_id], [two, schedule_id]]
    assert rows[0].endswith("daily      nightly")
    document = control.good("schedules", "audience-map", one, "nobody", "--json").document
    assert document["audienceMap"] == {one: [schedule_id], "nobody": []}

    removed = control.good("schedules", "remove-audiences", schedule_id, one, "--json").document
    assert (removed["removed"], removed["segmentCount"]["current"]) == ([one], 1)
    nothing = control.good("schedules", "audience-map", one)
    assert (nothing.out, nothing.err) == ("", "No schedule evaluates them.\n")


def test_each_problem_of_an_expression_is_shown_with_its_remedy(control: Control) -> None:
    given = ("--name", "x", "--all", "--cron", "61 0 2 ? * 0")
    refused = control.run("schedules", "create", *given)
    assert (refused.status, refused.out) == (1, "")
    assert "[SEG-SCHEDULE-INVALID-400]" in refused.err
    assert "    hint: write 0 to 59\n" in refused.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["jobs", "create"], "Give the ids of definitions, or --all"),
        (["jobs", "create", "x", "--all"], "Give the ids of definitions, or --all"),
        (["schedules", "create", "--name", "x"], "Give --name, and --segment or --all"),
        (["schedules", "create", "--all", "--segment", "x"], "not both"),
        (["schedules", "update", "x"], "Nothing to change"),
        (["schedules", "trigger", ""], "is no id"),
        (["schedules", "add-audiences", "", "x"], "is no id"),
    ],
)
def test_what_was_typed_wrong_is_status_2(
    control: Control, arguments: list[str], told: str
) -> None:
    ended = control.run(*arguments)
    assert (ended.status, told in ended.err) == (2, True), ended.err
