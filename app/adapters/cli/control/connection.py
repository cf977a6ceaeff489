"""Where the API is and who calls: from options, a ready file, or settings."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from app.adapters.cli.control.failures import Usage

_HEADER_TEXT = re.compile(r"[!-~]([ -~]*[!-~])?")
_READY_FIELDS = ("api", "token", "apiKey", "orgId", "sandboxName")


@dataclass(frozen=True, slots=True)
class ApiAccess:
    """How the API is called.

    Attributes:
        url: `http://` or `https://`, host, port, and a path if a proxy adds one.
        ready_file: What it was read from, for messages; None if it was not.
    """

    url: str
    token: str = field(repr=False)
    api_key: str = field(repr=False)
    org_id: str
    sandbox_name: str
    ready_file: Path | None = None

    def headers(self) -> dict[str, str]:
        """Return the request headers that every route asks for (API reference)."""
        return {
            "Authorization": f"Bearer {self.token}",
            "x-api-key": self.api_key,
            "x-gw-ims-org-id": self.org_id,
            "x-sandbox-name": self.sandbox_name,
        }


@dataclass(frozen=True, slots=True)
class AccessOptions:
    """What was typed; None for what was not. It goes before ready file and settings."""

    ready_file: Path | None = None
    url: str | None = None
    token_file: Path | None = None
    api_key: str | None = field(default=None, repr=False)
    org_id: str | None = None
    sandbox_name: str | None = None


def resolve(settings: ApiAccess, options: AccessOptions) -> ApiAccess:
    """Return what a command calls with.

    Args:
        settings: From environment variables; a `ready_file` in it stands for all the rest.
        options: Each goes before the ready file and the settings.

    Raises:
        Usage: With everything that is missing or cannot be used; no secret is in it.
    """
    ready_file = options.ready_file or settings.ready_file
    access = settings if ready_file is None else read_ready_file(ready_file)
    token_file = options.token_file
    access = replace(
        access,
        url=options.url or access.url,
        token=access.token if token_file is None else _read_token(token_file),
        api_key=options.api_key or access.api_key,
        org_id=options.org_id or access.org_id,
        sandbox_name=options.sandbox_name or access.sandbox_name,
        ready_file=None if options.url else access.ready_file,
    )
    problems = _problems(access)
    if problems:
        raise Usage("\n".join(problems))
    return replace(access, url=access.url.rstrip("/"))


def read_ready_file(path: Path) -> ApiAccess:
    """Read what `segmentation local --ready-file` has written.

    Raises:
        Usage: It is not there, or is something else.
    """
    try:
        ready = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise Usage(
            f"There is no ready file {path}: `segmentation local --ready-file {path}` writes it"
            " when everything answers, and removes it when it stops."
        ) from None
    except OSError as error:
        raise Usage(f"The ready file {path} cannot be read: {error.strerror}.") from None
    except ValueError:
        ready = None
    if not isinstance(ready, dict) or not all(
        isinstance(ready.get(name), str) for name in _READY_FIELDS
    ):
        raise Usage(
            f"{path} is no ready file of `segmentation local`: a JSON object with"
            f" {', '.join(_READY_FIELDS)} is expected."
        )
    url, token, api_key, org_id, sandbox_name = (ready[name] for name in _READY_FIELDS)
    return ApiAccess(url, token, api_key, org_id, sandbox_name, path)


def _read_token(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise Usage(f"The token file {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise Usage(f"The token file {path} is no text.") from None


def _problems(access: ApiAccess) -> list[str]:
    problems = [] if _is_url_of_api(access.url) else [_BAD_URL]
    for value, what, remedy in (
        (access.token, "access token", "SEG_CLIENT_TOKEN, SEG_CLIENT_TOKEN_FILE or --token-file"),
        (access.api_key, "API key", "SEG_CLIENT_API_KEY or --api-key"),
        (access.org_id, "organisation", "SEG_CLIENT_ORG_ID or --org"),
        (access.sandbox_name, "sandbox", "SEG_CLIENT_SANDBOX_NAME or --sandbox"),
    ):
        if not value:
            problems.append(
                f"There is no {what}: set {remedy}, or name the --ready-file of a local stack."
            )
        # A client library would quote the header in its complaint.
        elif not _HEADER_TEXT.fullmatch(value):
            problems.append(f"The {what} has letters that no header can carry: check {remedy}.")
    return problems


_BAD_URL = (
    "The URL of the API cannot be used: give --url or SEG_CLIENT_URL as http:// or https://, host"
    " and port, without user, password or query."
)


def _is_url_of_api(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        return False
    return url.isprintable() and not ("@" in parts.netloc or parts.query or parts.fragment)
