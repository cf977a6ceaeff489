from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest

from app.adapters.http.auth import Authenticator, CredentialsFile, JwtVerifier
from app.adapters.http.errors import GatewayRefusal
from app.domain.errors import ConfigurationError, UserError
from app.domain.model import Tenant

ORG = "0A1B2C3D4E5F60718293A4B5@AdobeOrg"
SECRET = "a shared secret of more than sixty-four bytes, so that no warning is raised by it"
DIGEST = "3c469e9d6c5875d37a43f353d4f88e61fcf812c66eee3457465a40b0da4153e0"  # sha256("token")
GOOD = {
    "authorization": "Bearer token",
    "x-api-key": "key",
    "x-gw-ims-org-id": ORG,
    "x-sandbox-name": "prod",
}


def entry(**changed: Any) -> dict[str, Any]:
    return {
        "name": "one",
        "tokenSha256": DIGEST,
        "apiKey": "key",
        "orgId": ORG,
        "sandboxes": ["prod"],
        **changed,
    }


def write(path: Path, *entries: dict[str, Any]) -> Path:
    path.write_text(json.dumps({"credentials": list(entries)}))
    return path


@pytest.fixture
def authenticator(tmp_path: Path) -> Authenticator:
    return Authenticator([CredentialsFile(write(tmp_path / "c.json", entry()))])


def test_a_good_call_has_a_tenant(authenticator: Authenticator) -> None:
    caller = authenticator.caller(GOOD)
    assert (caller.tenant, caller.name) == (Tenant(ORG, "prod"), "one")


@pytest.mark.parametrize(
    ("header", "value", "code"),
    [
        ("authorization", None, "403010"),
        ("authorization", "", "403010"),
        ("authorization", "Bearer", "401013"),
        ("authorization", "Basic token", "401013"),
        ("authorization", "Bearer other", "401013"),
        ("authorization", "Bearer t\u00f8ken", "401013"),
        ("x-api-key", None, "403000"),
        ("x-api-key", "other", "403003"),
        ("x-gw-ims-org-id", None, "400003"),
        ("x-gw-ims-org-id", "no org/", "403027"),
        ("x-gw-ims-org-id", "other@AdobeOrg", "403025"),
    ],
)
def test_the_gateway_refuses(
    authenticator: Authenticator, header: str, value: str | None, code: str
) -> None:
    headers = {name: text for name, text in {**GOOD, header: value}.items() if text is not None}
    with pytest.raises(GatewayRefusal) as refusal:
        authenticator.caller(headers)
    assert refusal.value.code == code


@pytest.mark.parametrize(("value", "code"), [(None, "sandbox-missing"), ("dev", "sandbox-unknown")])
def test_a_sandbox_must_be_the_callers(
    authenticator: Authenticator, value: str | None, code: str
) -> None:
    headers = {**GOOD, "x-sandbox-name": value or ""}
    with pytest.raises(UserError) as refusal:
        authenticator.caller(headers)
    assert refusal.value.code == code


def test_one_token_may_have_several_entries(tmp_path: Path) -> None:
    other = entry(apiKey="key-2", orgId="second@AdobeOrg", sandboxes=["dev"])
    authenticator = Authenticator([CredentialsFile(write(tmp_path / "c.json", entry(), other))])
    second = {**GOOD, "x-api-key": "key-2", "x-gw-ims-org-id": "second@AdobeOrg"}
    assert authenticator.caller({**second, "x-sandbox-name": "dev"}).tenant.sandbox_name == "dev"
    with pytest.raises(GatewayRefusal) as refusal:  # the key of the one, the org of the other
        authenticator.caller({**second, "x-api-key": "key"})
    assert refusal.value.code == "403025"


def test_a_changed_file_is_read_again_and_a_broken_one_is_not(tmp_path: Path) -> None:
    path = write(tmp_path / "c.json", entry())
    source = CredentialsFile(path)
    write(path, entry(name="renamed", sandboxes=["prod", "dev"]))
    assert [one.name for one in source.principals("token")] == ["renamed"]
    path.write_text("{")
    assert [one.name for one in source.principals("token")] == ["renamed"]
    write(path)
    assert source.principals("token") == []


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"credentials": 1}',
        '{"credentials": [{}]}',
        json.dumps({"credentials": [entry(tokenSha256="token")]}),
        json.dumps({"credentials": [entry(sandboxes="prod")]}),
        json.dumps({"credentials": [entry(apiKey="")]}),
    ],
)
def test_a_file_of_the_wrong_shape_stops_the_start(tmp_path: Path, content: str) -> None:
    path = tmp_path / "c.json"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match="tokenSha256"):
        CredentialsFile(path)


def test_a_missing_file_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        CredentialsFile(tmp_path / "none.json")


def test_without_any_source_nobody_could_call() -> None:
    with pytest.raises(ConfigurationError, match="SEG_CREDENTIALS_FILE"):
        Authenticator([])


def token(key: str = SECRET, algorithm: str = "HS256", **changed: Any) -> str:
    claims = {
        "aud": "segmentation",
        "exp": int(time.time()) + 60,
        "client_id": "key",
        "org_id": ORG,
        "sandboxes": ["prod"],
        **changed,
    }
    kept = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(kept, key, algorithm=algorithm)


@pytest.fixture
def verifier() -> JwtVerifier:
    return JwtVerifier(SECRET, "HS256", "segmentation")


def test_a_good_jwt_names_its_caller(verifier: JwtVerifier) -> None:
    authenticator = Authenticator([verifier])
    headers = {**GOOD, "authorization": f"Bearer {token()}"}
    assert authenticator.caller(headers).tenant == Tenant(ORG, "prod")


@pytest.mark.parametrize(
    "bad",
    [
        token(key=SECRET + "!"),
        token(algorithm="HS512"),
        token(aud="another"),
        token(aud=None),
        token(exp=None),
        token(exp=1),
        token(org_id=None),
        token(client_id=None),
        token(sandboxes="prod"),
        token(sandboxes=None),
        jwt.encode({"aud": "segmentation"}, "", algorithm="none"),
        "no.jwt.atall",
        "",
    ],
)
def test_any_other_jwt_is_nobody(verifier: JwtVerifier, bad: str) -> None:
    assert verifier.principals(bad) == []
