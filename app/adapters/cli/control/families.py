"""All families of commands; a new one is a module and a line here.

The module is imported when a command of it is asked for: `segmentation --help`, and every worker
that starts, pays for none of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

FAMILIES = {
    "definitions": "Segment definitions.",
    "audiences": "Segment definitions with their lifecycle and labels.",
    "jobs": "Segment jobs: evaluate definitions over all profiles, and count the members.",
    "schedules": "Schedules: segment jobs by cron.",
    "exports": "Export jobs: members to a topic and to data sets.",
    "previews": "Which profiles meet a predicate, and how many.",
    "search": "Full text over segment definitions.",
    "profiles": "What is stored of a profile.",
}
"""Help text by name of the module, which has its commands in `group`."""

COMMANDS = ("explain",)
"""Commands of no family: the names of their modules, which have them in `group` as well."""


def add_families(cli: typer.Typer) -> None:
    """Add all families to the command line."""
    for name, text in FAMILIES.items():
        group = typer.Typer(help=text, no_args_is_help=True, cls=_Family, rich_markup_mode=None)
        cli.add_typer(group, name=name)


def commands_of(name: str) -> TyperGroup:
    """Return the commands of a family; imports its module."""
    module = import_module(f"app.adapters.cli.control.{name}")
    return typer.main.get_group(module.group)


class Root(TyperGroup):
    """The whole command line; the modules of `COMMANDS` are imported with the help of all."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands and families."""
        return [*super().list_commands(ctx), *COMMANDS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command, None when there is none of that name."""
        if cmd_name in COMMANDS:
            return commands_of(cmd_name).get_command(ctx, cmd_name)
        return super().get_command(ctx, cmd_name)


class _Family(TyperGroup):
    """A family whose module is not imported yet."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands, in the order of the module."""
        return commands_of(str(self.name)).list_commands(ctx)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command, None when there is none of that name."""
        return commands_of(str(self.name)).get_command(ctx, cmd_name)
