"""How commands of the control plane are made.

A family is a module with a typer group; `@command(group, "name")` adds a function to it, which is
given a `Session` and its own parameters. The options of the connection and `--json` are added to
every command, so that they can stand where people expect them: at the end of the line.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from app.adapters.cli.control.connection import AccessOptions, ApiAccess, resolve
from app.adapters.cli.control.failures import Usage
from app.adapters.cli.output import quiet_on_closed_pipe

if TYPE_CHECKING:
    from app.adapters.cli.control.api import Api
    from app.adapters.cli.control.output import Output

Run = TypeVar("Run", bound=Callable[..., None])


@dataclass(frozen=True, slots=True)
class Session:
    """What every command is given."""

    api: Api
    out: Output


def family() -> typer.Typer:
    """Return an empty group of commands."""
    return typer.Typer(rich_markup_mode=None)


def command(group: typer.Typer, name: str) -> Callable[[Run], Run]:
    """Return a decorator that adds a function to a group.

    Its first parameter takes the session. The context object of the command line is a function that
    reads the settings (`ApiAccess`).
    """

    def register(run: Run) -> Run:
        own = list(inspect.signature(run, eval_str=True).parameters.values())[1:]

        def called(context: typer.Context, **given: Any) -> None:
            shared = {one.name: given.pop(one.name) for one in _SHARED}
            _check_text(given | shared)
            as_json = shared.pop("json")
            with _session(context.obj(), AccessOptions(**shared), as_json=as_json) as session:
                run(session, **given)

        parameters = [_CONTEXT, *own, *_SHARED]
        called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        called.__annotations__ = {one.name: one.annotation for one in parameters}
        called.__doc__ = run.__doc__
        group.command(name)(called)
        return run

    return register


@contextmanager
def _session(settings: ApiAccess, options: AccessOptions, *, as_json: bool) -> Iterator[Session]:
    access = resolve(settings, options)
    from app.adapters.cli.control.api import Api
    from app.adapters.cli.control.output import Output

    api = Api(access)
    try:
        with quiet_on_closed_pipe():
            yield Session(api, Output(json=as_json))
    finally:
        api.close()


def _check_text(given: dict[str, Any]) -> None:
    """Refuse what was typed in another encoding; it could not be sent."""
    for name, value in given.items():
        for text in value if isinstance(value, list | tuple) else [value]:
            if isinstance(text, str) and not text.isascii():
                try:
                    text.encode()
                except UnicodeEncodeError:
                    raise Usage(f"{name.replace('_', '-')} is not UTF-8 text.") from None


def _shared(
    json: Annotated[bool, typer.Option("--json", help="The API's JSON, a line each.")] = False,
    ready_file: Annotated[
        Path | None, typer.Option(help="Written by `segmentation local`: URL and credential.")
    ] = None,
    url: Annotated[str | None, typer.Option(help="Of the API. [default: SEG_CLIENT_URL]")] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="Holds the token. [default: SEG_CLIENT_TOKEN(_FILE)]")
    ] = None,
    api_key: Annotated[
        str | None, typer.Option(help="Of the caller. [default: SEG_CLIENT_API_KEY]")
    ] = None,
    org_id: Annotated[
        str | None, typer.Option("--org", help="Organisation. [default: SEG_CLIENT_ORG_ID]")
    ] = None,
    sandbox_name: Annotated[
        str | None,
        typer.Option("--sandbox", help="Sandbox. [default: SEG_CLIENT_SANDBOX_NAME, prod]"),
    ] = None,
) -> None:
    """Only its signature is used."""


_CONTEXT = inspect.Parameter(
    "context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context
)
_SHARED = list(inspect.signature(_shared, eval_str=True).parameters.values())
