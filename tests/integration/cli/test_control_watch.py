"""Commands that wait until a definition is evaluated, against the real API."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.integration.cli.control_harness import Control, another_server

pytestmark = pytest.mark.redis
DEADLINE_S = 30.0


@contextmanager
def started(control: Control, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a command as a process, as it is while others change what it looks at."""
    process = subprocess.Popen(
        [sys.executable, "-m", "app", *arguments],
        env={**os.environ, **control.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_what_is_live_already_is_shown_at_once(control: Control) -> None:
    segment_id = control.create("one")
    control.mark_live()
    done = control.good("definitions", "watch", segment_id)
    assert "state       LIVE\n" in done.out
    assert done.err == "LIVE 100 %\n"


def test_creation_waits_until_all_profiles_are_evaluated(control: Control) -> None:
    options = ("--name", "one", "--expression", "age > 30", "--wait", "--json")
    with started(control, "definitions", "create", *options) as process:
        assert process.stderr is not None
        written = process.stderr.readline()
        assert "is written; waiting until it is LIVE" in written
        assert process.stderr.readline() == "BACKFILLING\n"
        control.mark_live()
        out, err = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 0, err
    document = json.loads(out)
    assert document["evaluationState"] == "LIVE"
    assert written.startswith(document["id"])
    assert err == "LIVE 100 %\n"


def test_an_audience_is_published_and_waited_for(control: Control) -> None:
    given = ("--name", "one", "--expression", "age > 30", "--draft", "--json")
    audience_id = control.good("audiences", "create", *given).document["id"]
    watched = control.run("definitions", "watch", audience_id)
    assert watched.status == 1
    assert f"segmentation audiences publish {audience_id}" in watched.err

    with started(control, "audiences", "publish", audience_id, "--wait") as process:
        assert process.stderr is not None
        process.stderr.readline()
        assert process.stderr.readline() == "BACKFILLING\n"
        control.mark_live()
        out, err = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 0, err
    assert "lifecycle   published\n" in out


def test_a_failure_is_status_1_with_its_reason(control: Control) -> None:
    segment_id = control.create("one")
    control.fail(segment_id, "it is too large")

    done = control.run("definitions", "watch", segment_id, "--json")

    assert (done.status, done.document["evaluationState"]) == (1, "FAILED")
    assert f"{segment_id} is FAILED: it is too large." in done.err


def test_the_end_of_the_time_is_status_1_and_says_how_to_go_on(control: Control) -> None:
    options = ("--name", "one", "--expression", "age > 30", "--wait", "--timeout", "0.2")
    done = control.run("definitions", "create", *options, "--json")
    assert (done.status, done.document["evaluationState"]) == (1, "BACKFILLING")
    segment_id = done.document["id"]
    assert (
        f"still BACKFILLING after 0.2 s. Go on waiting: segmentation definitions watch {segment_id}"
        in done.err
    )


def test_progress_is_told_where_the_api_tells_it(control: Control) -> None:
    progress = {"partitionsDone": 1, "partitions": 4, "percent": 42.4}
    document = {"id": "x", "evaluationState": "BACKFILLING", "evaluationProgress": progress}
    with another_server((200, json.dumps(document).encode())) as (url, _):
        done = control.run("definitions", "watch", "x", "--timeout", "0", "--url", url)
    assert done.err.startswith("BACKFILLING 42 %\n")
    assert "progress  42 %\n" in done.out


def test_an_api_that_is_away_meanwhile_does_not_end_the_waiting(control: Control) -> None:
    begun, live = (
        json.dumps({"id": "x", "evaluationState": state}).encode()
        for state in ("BACKFILLING", "LIVE")
    )
    away = b'{"errors": {"503": [{"message": "Redis is away"}]}}'
    with another_server((200, begun), (503, away), (200, live)) as (url, asked):
        done = control.good("definitions", "watch", "x", "--url", url)
    assert len(asked) == 3
    assert done.err == "BACKFILLING\nLIVE 100 %\n"

    with another_server((200, begun), (503, away)) as (url, _):
        done = control.run("definitions", "watch", "x", "--url", url, "--timeout", "0.1")
    assert (done.status, "Redis is away" in done.err) == (3, True)


def test_a_definition_that_is_removed_meanwhile_ends_the_waiting(control: Control) -> None:
    segment_id = control.create("one")
    with started(control, "definitions", "watch", segment_id) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "BACKFILLING\n"
        control.good("definitions", "delete", segment_id)
        _, err = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 1
    assert "[SEG-DEFINITION-NOT-FOUND-404]" in err


@pytest.fixture
def heeds_ctrl_c() -> Iterator[None]:
    """A shell's background jobs ignore SIGINT, and so would what they start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeds_ctrl_c")
def test_waiting_is_stopped_with_ctrl_c(control: Control) -> None:
    segment_id = control.create("one")
    with started(control, "definitions", "watch", segment_id) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "BACKFILLING\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 130
    assert (out, "Traceback" in err) == ("", False)


def test_a_terminal_shows_a_bar_and_lines_of_80_columns(control: Control) -> None:
    name = "long name " * 20
    segment_id = control.create(name)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "app", "definitions", "watch", segment_id],
        env={**os.environ, **control.environment, "COLUMNS": "80", "TERM": "xterm"},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    try:
        shown = _read_until(ours, "BACKFILLING")
        assert "LIVE" not in shown
        control.mark_live()
        shown += _read_until(ours, "expression")
        assert process.wait(DEADLINE_S) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert "━" in shown
    assert "100%" in shown
    assert "LIVE" in shown
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert max(len(line) for line in re.split(r"[\r\n]+", plain)) <= 80


def _read_until(descriptor: int, wanted: str) -> str:
    deadline, shown = time.monotonic() + DEADLINE_S, ""
    while wanted not in shown:
        readable, _, _ = select.select([descriptor], [], [], deadline - time.monotonic())
        assert readable, shown
        shown += os.read(descriptor, 65536).decode(errors="replace")
    return shown
