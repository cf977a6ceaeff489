"""One application for all control planes of a test process.

FastAPI takes half a second to make one of it, most tests less for all else they do. The routes are
always the same; what answers is looked up by the request: the parts of the plane that it was sent
to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import fields
from functools import cache
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from app.adapters.http.application import Parts, create_application
from app.adapters.http.health import Check

_answering: ContextVar[Parts] = ContextVar("answering")


class _Part:
    """Stands for one part of the plane that answers."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(getattr(_answering.get(), self._name), attribute)


class _Checks(Mapping[str, Check]):
    """The checks of the plane that answers."""

    def __getitem__(self, name: str) -> Check:
        return _answering.get().checks[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_answering.get().checks)

    def __len__(self) -> int:
        return len(_answering.get().checks)


class _NoBackground:
    """Runs nothing; unlike a generator's context it can be entered by each server."""

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, *_: object) -> None:
        pass


@cache
def _application() -> ASGIApp:
    stand_ins: dict[str, Any] = {one.name: _Part(one.name) for one in fields(Parts)}
    stand_ins |= {"checks": _Checks(), "background": _NoBackground()}
    return create_application(Parts(**stand_ins), "0")


def shared_application(parts: Parts) -> ASGIApp:
    """Return an application whose requests are answered by `parts`; its background never runs."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        # Each request has a context of its own, which the threads it uses take over.
        before = _answering.set(parts)
        try:
            await _application()(scope, receive, send)
        finally:
            _answering.reset(before)

    return answer
