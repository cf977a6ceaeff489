"""Calls of the REST API, one page of a list at a time."""

from __future__ import annotations

import ipaddress
import json
import ssl
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx

from app import __version__
from app.adapters.cli.control.answers import failure, parsed, strange_answer
from app.adapters.cli.control.connection import ApiAccess
from app.adapters.cli.control.failures import Usage
from app.domain.errors import Unavailable
from app.domain.model import JsonObject

_CONNECT_TIMEOUT_S = 5.0
_TIMEOUT_S = 60.0
_NO_CONTENT = 204

Parameters = Mapping[str, Any]


class Api:
    """A connection to the control plane; close it.

    Redirects are not followed: they would take the token elsewhere.

    Raises:
        Usage: The environment names certificates or a proxy that cannot be used.
    """

    def __init__(self, access: ApiAccess) -> None:
        self._access = access
        is_plain = urlsplit(access.url).scheme == "http"
        try:
            self._client = httpx.Client(
                headers={**access.headers(), "User-Agent": f"segmentation/{__version__}"},
                timeout=httpx.Timeout(_TIMEOUT_S, connect=_CONNECT_TIMEOUT_S),
                # Reading all certificate authorities takes longer than the call.
                verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if is_plain else True,
                # A proxy has no business between this and its own machine.
                trust_env=not _is_loopback(access.url),
            )
        except (OSError, ValueError):
            raise Usage(
                "The environment names certificates or a proxy that cannot be used: check"
                " SSL_CERT_FILE, SSL_CERT_DIR, HTTP_PROXY, HTTPS_PROXY and ALL_PROXY."
            ) from None

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def get(self, path: str, parameters: Parameters | None = None) -> JsonObject:
        """Return a document.

        Args:
            path: From the root of the API.
            parameters: Of the query; a list is repeated.

        Raises:
            Refused: By the API.
            Unavailable: It does not answer, or something else does.
        """
        return self._call("GET", path, params=parameters)

    def send(self, method: str, path: str, body: object = None) -> JsonObject:
        """Send a body, or none, and return the answer; empty when that has no content.

        Raises:
            Refused, Unavailable: As `get`.
        """
        if body is None:
            return self._call(method, path)
        # As ASCII: what is no text at all then is the API's to refuse.
        return self._call(
            method,
            path,
            content=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )

    def linked_pages(self, path: str, parameters: Parameters, links: str) -> Iterator[JsonObject]:
        """Yield the pages of a list, each read when it is asked for.

        Args:
            links: Field of a page whose `next.href`, or `next` itself, leads to the next one, if
                there is one.

        Raises:
            Refused, Unavailable: As `get`.
        """
        asked: Parameters | None = parameters
        while asked is not None:
            page = self.get(path, asked)
            yield page
            following = _parameters_of(page.get(links))
            if following == asked:
                raise self.strange("a page that is followed by itself")
            asked = following

    def strange(self, what: str) -> Unavailable:
        """Return the error for an answer that is not as this service gives it."""
        return strange_answer(self._access.url, what)

    def _call(self, method: str, path: str, **request: Any) -> JsonObject:
        url = self._access.url
        try:
            answer = self._client.request(method, url + path, **request)
        except httpx.InvalidURL:
            raise Usage("The URL of the API cannot be used: check --url.") from None
        except httpx.RequestError as error:
            raise self._unreachable(error) from None
        if answer.is_redirect:
            raise self.strange(f"status {answer.status_code}, a redirect")
        document = parsed(answer.content)
        if not answer.is_success:
            request_id = answer.headers.get("x-request-id", "")
            raise failure(url, answer.status_code, document, request_id)
        if answer.status_code == _NO_CONTENT or (method != "GET" and not answer.content):
            return {}
        if document is None:
            raise self.strange("no JSON object")
        return document

    def _unreachable(self, error: httpx.RequestError) -> Unavailable:
        if isinstance(error, httpx.TimeoutException):
            why = "it does not answer in time"
        elif isinstance(error, httpx.ConnectError):
            why = str(error) or "no connection"
        else:  # their texts may quote what was sent
            why = f"the connection broke ({type(error).__name__})"
        if self._access.ready_file is not None:
            remedy = f"Does the `segmentation local` that wrote {self._access.ready_file} run?"
        else:
            remedy = "Check that it runs, and --url or SEG_CLIENT_URL."
        return Unavailable(f"The API at {self._access.url} cannot be reached: {why}. {remedy}")


def _parameters_of(links: Any) -> dict[str, Any] | None:
    following = links.get("next") if isinstance(links, dict) else None
    href = following.get("href") if isinstance(following, dict) else following
    if not isinstance(href, str) or not href:
        return None
    parameters: dict[str, Any] = {}
    for name, value in parse_qsl(urlsplit(href).query, keep_blank_values=True):
        parameters.setdefault(name, []).append(value)
    return parameters


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
