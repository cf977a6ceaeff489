from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from app.adapters.cli.control.connection import (
    AccessOptions,
    ApiAccess,
    read_ready_file,
    resolve,
)
from app.adapters.cli.control.failures import Usage
from app.bootstrap.client import api_access
from app.config import read_settings
from app.domain.errors import ConfigurationError

SETTINGS = ApiAccess("http://127.0.0.1:8080", "hunter2", "key-hunter2", "o@AdobeOrg", "prod")
READY = {
    "api": "http://127.0.0.1:45003",
    "token": "of-the-stack",
    "apiKey": "key-of-the-stack",
    "orgId": "LOCAL@AdobeOrg",
    "sandboxName": "dev",
}


def ready_file(folder: Path, content: object = READY) -> Path:
    path = folder / "ready.json"
    path.write_text(json.dumps(content))
    return path


def test_settings_are_read_from_variables_and_secrets_from_files(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("hunter2\n")
    settings = read_settings(
        {
            "SEG_CLIENT_URL": "https://seg.example:8443/api",
            "SEG_CLIENT_TOKEN_FILE": str(token),
            "SEG_CLIENT_API_KEY": "key-hunter2",
            "SEG_CLIENT_ORG_ID": "o@AdobeOrg",
        }
    )
    access = api_access(settings)
    assert access == replace(SETTINGS, url="https://seg.example:8443/api")
    assert "hunter2" not in f"{settings!r} {access!r}"
    assert access.headers()["Authorization"] == "Bearer hunter2"


def test_a_url_with_a_password_is_refused_without_showing_it() -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_settings({"SEG_CLIENT_URL": "http://me:hunter2@host"})
    assert "SEG_CLIENT_URL" in caught.value.message
    assert "hunter2" not in caught.value.message


def test_a_ready_file_beside_other_settings_of_the_client_is_refused() -> None:
    one, other = {"SEG_CLIENT_READY_FILE": "ready.json"}, {"SEG_CLIENT_TOKEN": "hunter2"}
    assert read_settings(one).client_ready_file == "ready.json"
    with pytest.raises(ConfigurationError, match="SEG_CLIENT_READY_FILE") as caught:
        read_settings(one | other)
    assert "hunter2" not in caught.value.message


def test_a_ready_file_stands_for_all_settings_and_an_option_goes_before_it(tmp_path: Path) -> None:
    path = ready_file(tmp_path)
    wanted = ApiAccess(
        READY["api"], READY["token"], READY["apiKey"], READY["orgId"], READY["sandboxName"], path
    )
    assert resolve(SETTINGS, AccessOptions(ready_file=path)) == wanted
    named = ApiAccess("http://127.0.0.1:8080", "", "", "", "prod", path)
    assert resolve(named, AccessOptions()) == wanted
    assert resolve(named, AccessOptions(sandbox_name="prod")).sandbox_name == "prod"


def test_a_url_that_was_typed_is_not_that_of_the_ready_file(tmp_path: Path) -> None:
    options = AccessOptions(ready_file=ready_file(tmp_path), url="http://host/base/")
    access = resolve(SETTINGS, options)
    assert (access.url, access.ready_file) == ("http://host/base", None)


@pytest.mark.parametrize(
    "content", [[], {}, {**READY, "token": 5}, {n: v for n, v in READY.items() if n != "api"}]
)
def test_another_file_is_no_ready_file(tmp_path: Path, content: object) -> None:
    with pytest.raises(Usage, match="no ready file of `segmentation local`") as caught:
        read_ready_file(ready_file(tmp_path, content))
    assert "of-the-stack" not in caught.value.message


def test_a_ready_file_that_is_not_there_or_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(Usage, match="There is no ready file"):
        read_ready_file(tmp_path / "ready.json")
    with pytest.raises(Usage, match="cannot be read: Is a directory"):
        read_ready_file(tmp_path)
    (tmp_path / "cut.json").write_text('{"token": "hunter2')
    with pytest.raises(Usage, match="no ready file of") as caught:
        read_ready_file(tmp_path / "cut.json")
    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8080",
        "ftp://host",
        "http://",
        "http://host:0",
        "http://host:x",
        "http://me:hunter2@host",
        "http://host/?token=hunter2",
        "http://host/#x",
        "http://ho\nst",
        "http://[::1",
    ],
)
def test_a_url_that_cannot_be_used_is_told_without_it(url: str) -> None:
    with pytest.raises(Usage, match="URL of the API cannot be used") as caught:
        resolve(replace(SETTINGS, url=url), AccessOptions())
    assert "hunter2" not in caught.value.message


def test_a_token_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(Usage, match="cannot be read"):
        resolve(SETTINGS, AccessOptions(token_file=tmp_path / "none"))
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(Usage, match="is no text"):
        resolve(SETTINGS, AccessOptions(token_file=binary))
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(Usage, match="There is no access token"):
        resolve(SETTINGS, AccessOptions(token_file=tmp_path / "empty"))
