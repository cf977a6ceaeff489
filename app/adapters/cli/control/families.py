"""All families of commands; a new one is a module and a line here."""

from __future__ import annotations

from app.adapters.cli.control import audiences, definitions, profiles, search

FAMILIES = (definitions.group, audiences.group, search.group, profiles.group)
