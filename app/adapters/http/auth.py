"""Who calls, and for which tenant: a credentials file or JSON web tokens.

Order and codes of the refusals are those of the API reference's gateway; sandboxes are ours.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import jwt
import orjson
import structlog

from app.adapters.http.errors import GatewayRefusal
from app.domain.errors import ConfigurationError, UserError
from app.domain.model import Tenant

_NAME = re.compile(r"[A-Za-z0-9@._-]{1,128}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_FIELDS = "name, tokenSha256 (64 hexadecimal digits), apiKey, orgId and sandboxes (a list of names)"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Principal:
    """One caller: an API key, an organisation, and the sandboxes it may use."""

    name: str
    api_key: str
    org_id: str
    sandboxes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and for whom.

    Attributes:
        name: Of the credential, or the subject of the token.
    """

    tenant: Tenant
    name: str


class TokenSource(Protocol):
    """Where tokens are looked up."""

    def principals(self, token: str) -> Sequence[Principal]:
        """Return whoever a token stands for; empty when it is not valid."""
        ...


@dataclass(frozen=True, slots=True)
class _Credential:
    digest: bytes
    principal: Principal


class CredentialsFile:
    """A JSON file of hashed tokens, read again when it changes.

    A change that cannot be read is logged, and what was read before stays in force.

    Raises:
        ConfigurationError: The file cannot be read when the service starts.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = self._current_stamp()
        self._credentials = _read_credentials(path)

    def principals(self, token: str) -> Sequence[Principal]:
        """Return whoever a token stands for; takes the same time wherever the match is."""
        self._refresh()
        digest = hashlib.sha256(token.encode()).digest()
        return [
            credential.principal
            for credential in self._credentials
            if hmac.compare_digest(credential.digest, digest)
        ]

    def _current_stamp(self) -> tuple[int, int, int]:
        try:
            found = self._path.stat()
        except OSError:
            return (0, 0, 0)
        return (found.st_ino, found.st_mtime_ns, found.st_size)

    def _refresh(self) -> None:
        stamp = self._current_stamp()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._credentials = _read_credentials(self._path)
        except ConfigurationError as error:
            _log.error("credentials-not-reloaded", reason=error.message)
        else:
            _log.info("credentials-reloaded", count=len(self._credentials))


def _read_credentials(path: Path) -> tuple[_Credential, ...]:
    try:
        listed = orjson.loads(path.read_bytes())["credentials"]
        return tuple(_credential(entry) for entry in listed)
    except OSError as error:
        text = f"the credentials file {path} cannot be read: {error.strerror}"
        raise ConfigurationError(text) from error
    except (ValueError, KeyError, TypeError) as error:
        # The error itself may quote a token.
        text = f'{path} is not {{"credentials": [...]}} of objects with {_FIELDS}'
        raise ConfigurationError(text) from error


def _credential(entry: Mapping[str, Any]) -> _Credential:
    digest, sandboxes = entry["tokenSha256"].lower(), entry["sandboxes"]
    texts = [entry["name"], entry["apiKey"], entry["orgId"], *sandboxes]
    if not all(isinstance(text, str) and text for text in texts) or isinstance(sandboxes, str):
        raise ValueError("not texts")
    if not _DIGEST.fullmatch(digest):
        raise ValueError("not a digest")
    principal = Principal(entry["name"], entry["apiKey"], entry["orgId"], frozenset(sandboxes))
    return _Credential(bytes.fromhex(digest), principal)


class JwtVerifier:
    """Tokens signed with one key and one algorithm, for one audience, that expire.

    Claims: `client_id` is the API key, `org_id` the organisation, `sandboxes` a list of names.
    """

    def __init__(self, key: str, algorithm: str, audience: str) -> None:
        self._key = key
        self._algorithm = algorithm
        self._audience = audience

    def principals(self, token: str) -> Sequence[Principal]:
        """Return the caller that a valid token names."""
        try:
            claims = jwt.decode(
                token,
                self._key,
                algorithms=[self._algorithm],
                audience=self._audience,
                options={"require": ["exp", "aud"]},
            )
            sandboxes = claims["sandboxes"]
            if isinstance(sandboxes, str):
                return []
            return [
                Principal(
                    str(claims.get("sub", claims["client_id"])),
                    str(claims["client_id"]),
                    str(claims["org_id"]),
                    frozenset(str(name) for name in sandboxes),
                )
            ]
        except (jwt.PyJWTError, KeyError, TypeError, ValueError):
            return []


class Authenticator:
    """Finds the caller of a request, or refuses it."""

    def __init__(self, sources: Sequence[TokenSource]) -> None:
        if not sources:
            raise ConfigurationError(
                "the API has no way to know its callers: set SEG_CREDENTIALS_FILE, or SEG_JWT_KEY"
                " and SEG_JWT_AUDIENCE"
            )
        self._sources = sources

    def caller(self, headers: Mapping[str, str]) -> Caller:
        """Return who calls, with the tenant that the headers name and the token is entitled to.

        Raises:
            GatewayRefusal: A header is missing, the token, key or organisation not known.
            UserError: The sandbox is missing (`sandbox-missing`) or not the caller's
                (`sandbox-unknown`).
        """
        callers = self._callers(headers.get("authorization"))
        callers = _with_key(callers, headers.get("x-api-key"))
        org_id = headers.get("x-gw-ims-org-id")
        callers = _of_organisation(callers, org_id)
        return _in_sandbox(callers, str(org_id), headers.get("x-sandbox-name"))

    def _callers(self, authorization: str | None) -> list[Principal]:
        if not authorization:
            raise GatewayRefusal("403010")
        scheme, _, token = authorization.strip().partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise GatewayRefusal("401013")
        found = [one for source in self._sources for one in source.principals(token.strip())]
        if not found:
            raise GatewayRefusal("401013")
        return found


def _with_key(callers: Iterable[Principal], api_key: str | None) -> list[Principal]:
    if not api_key:
        raise GatewayRefusal("403000")
    given = api_key.encode()
    found = [one for one in callers if hmac.compare_digest(one.api_key.encode(), given)]
    if not found:
        raise GatewayRefusal("403003")
    return found


def _of_organisation(callers: Iterable[Principal], org_id: str | None) -> list[Principal]:
    if not org_id:
        raise GatewayRefusal("400003")
    if not _NAME.fullmatch(org_id):
        raise GatewayRefusal("403027")
    found = [one for one in callers if one.org_id == org_id]
    if not found:
        raise GatewayRefusal("403025")
    return found


def _in_sandbox(callers: Iterable[Principal], org_id: str, sandbox_name: str | None) -> Caller:
    if not sandbox_name:
        text = "The x-sandbox-name header is missing; send the name of a sandbox, such as prod."
        raise UserError(text, code="sandbox-missing")
    found = next((one for one in callers if sandbox_name in one.sandboxes), None)
    if found is None:
        shown = sandbox_name[:128]
        text = f"There is no sandbox {shown!r} that this access token may use."
        raise UserError(text, code="sandbox-unknown")
    return Caller(Tenant(org_id, sandbox_name), found.name)
