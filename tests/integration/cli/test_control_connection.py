"""Where commands of the control plane connect to, and how they end when they cannot."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from app.adapters.local.ports import free_ports
from tests.integration.cli.control_harness import SECRETS, Control, another_server
from tests.integration.http.harness import OTHER_ORG
from tests.start_up import ENGINE, loaded_by

pytestmark = pytest.mark.redis


def without_settings(control: Control) -> None:
    for name in control.environment:
        control.monkeypatch.delenv(name)


def test_the_ready_file_is_all_that_a_local_stack_takes(control: Control) -> None:
    segment_id = control.create("one")
    path = str(control.ready_file())
    without_settings(control)

    typed = control.good("definitions", "list", "--ready-file", path, "--json")
    control.monkeypatch.setenv("SEG_CLIENT_READY_FILE", path)
    exported = control.good("definitions", "list", "--json")

    assert typed.document["id"] == exported.document["id"] == segment_id


def test_options_go_before_settings_and_the_token_comes_from_a_file(control: Control) -> None:
    segment_id = control.create("one")
    token = control.folder / "token"
    token.write_text("token-1\n")
    for name in control.environment:
        control.monkeypatch.setenv(name, "http://127.0.0.1:9" if name.endswith("URL") else "wrong")

    done = control.good(
        *("definitions", "list", "--json", "--url", control.url, "--token-file", str(token)),
        *("--api-key", "key-1", "--org", control.plane.org_id, "--sandbox", "prod"),
    )

    assert done.document["id"] == segment_id


def test_two_tenants_see_nothing_of_each_other(control: Control) -> None:
    segment_id = control.create("one")
    assert control.good("definitions", "list", "--sandbox", "dev").out == ""

    control.monkeypatch.setenv("SEG_CLIENT_TOKEN", "token-2")
    other = ("--api-key", "key-2", "--org", OTHER_ORG)
    assert control.good("definitions", "list", *other).out == ""
    assert control.run("definitions", "get", segment_id, *other).status == 1


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("SEG_CLIENT_TOKEN", "hunter2", "get a new token"),
        ("SEG_CLIENT_API_KEY", "hunter2", "check SEG_CLIENT_API_KEY"),
        ("SEG_CLIENT_ORG_ID", OTHER_ORG, "check SEG_CLIENT_ORG_ID"),
        ("SEG_CLIENT_SANDBOX_NAME", "nowhere", "check SEG_CLIENT_SANDBOX_NAME"),
    ],
)
def test_a_caller_who_is_refused_is_told_what_to_check(
    control: Control, setting: str, value: str, told: str
) -> None:
    control.monkeypatch.setenv(setting, value)
    done = control.run("definitions", "list")
    assert (done.status, done.out) == (1, "")
    assert told in done.err
    assert "hunter2" not in done.err


def test_what_is_missing_is_told_all_at_once(control: Control) -> None:
    without_settings(control)
    done = control.run("definitions", "list")
    assert (done.status, done.out) == (2, "")
    for name in ("SEG_CLIENT_TOKEN", "SEG_CLIENT_API_KEY", "SEG_CLIENT_ORG_ID", "--ready-file"):
        assert name in done.err


@pytest.mark.parametrize("value", ["two\nlines-hunter2", "hünter2-hunter2"])
def test_a_token_that_no_header_can_carry_is_told_without_it(control: Control, value: str) -> None:
    control.monkeypatch.setenv("SEG_CLIENT_TOKEN", value)
    done = control.run("definitions", "list")
    assert (done.status, "SEG_CLIENT_TOKEN" in done.err) == (2, True)
    assert "hunter2" not in done.err


def test_an_api_that_is_not_there_is_status_3(control: Control) -> None:
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    done = control.run("definitions", "list", "--url", url)
    assert (done.status, done.out) == (3, "")
    assert f"The API at {url} cannot be reached" in done.err

    gone = control.run("definitions", "list", "--ready-file", str(control.ready_file(api=url)))
    assert (gone.status, "Does the `segmentation local`" in gone.err) == (3, True)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<html>"),
        (200, b"[]"),
        (200, b"{}"),
        (200, b'{"segments": [1]}'),
        (404, b"not here"),
        (404, b'{"detail": "Not Found"}'),
        (502, b"<html>"),
    ],
)
def test_an_answer_of_something_else_is_status_3(
    control: Control, status: int, body: bytes
) -> None:
    with another_server((status, body)) as (url, _):
        done = control.run("definitions", "list", "--url", url)
    assert (done.status, done.out) == (3, "")
    assert "does not answer as the API of this service does" in done.err


def test_the_token_follows_no_redirect(control: Control) -> None:
    with (
        another_server((200, b"{}")) as (target, asked),
        another_server((307, b""), Location=target) as (url, _),
    ):
        done = control.run("definitions", "list", "--url", url)
    assert (done.status, "a redirect" in done.err) == (3, True)
    assert asked == []


def test_a_page_that_leads_to_itself_ends_the_list(control: Control) -> None:
    body = b'{"segments": [], "link": {"next": {"href": "@/x?start=1"}}}'
    with another_server((200, body)) as (url, asked):
        done = control.run("definitions", "list", "--url", url)
    assert (done.status, len(asked)) == (3, 2)


def test_an_api_that_cannot_answer_now_is_status_3(control: Control) -> None:
    body = b'{"errors": {"503": [{"code": "SEG-UNAVAILABLE-503", "message": "Redis is away"}]}}'
    with another_server((503, body)) as (url, _):
        done = control.run("definitions", "list", "--url", url)
    assert (done.status, "Redis is away" in done.err) == (3, True)


def test_a_proxy_has_no_business_before_the_own_machine(control: Control) -> None:
    control.monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    control.monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    control.good("definitions", "list")


def test_the_reader_of_the_output_may_go_away(control: Control) -> None:
    for number in range(3):
        control.create(f"definition {number}")
    command = [sys.executable, "-m", "app", "definitions", "list", "--page-size", "1", "--json"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | control.environment,
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        errors = process.stderr.read().decode()
        assert process.wait(30) == 0, errors
    assert errors == ""
    assert not [secret for secret in SECRETS if secret in errors]


def test_a_command_that_calls_the_api_loads_no_engine(control: Control) -> None:
    status, modules = loaded_by("definitions", "list", environment=control.environment)
    assert status == 0
    assert "httpx" in modules
    assert modules & ENGINE == set()
