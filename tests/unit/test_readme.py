"""The commands and links that the pages for users show exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from app.__main__ import cli
from app.adapters.cli.control.families import FAMILIES, commands_of
from app.config import setting_table

_ROOT = Path(__file__).resolve().parents[2]
_PAGES = [
    *("README.md", "CONTRIBUTING.md"),
    *("docs/operations.md", "docs/architecture.md", "docs/cli.md"),
    *("docs/pql.md", "docs/pql-functions.md"),
]


def _words(pattern: str, page: str) -> set[str]:
    return set(re.findall(pattern, (_ROOT / page).read_text(), re.M))


@pytest.mark.parametrize("page", _PAGES)
def test_commands_of_the_pages_exist(page):
    root = typer.main.get_group(cli)
    known = set(root.list_commands(typer.Context(root)))
    shown = _words(r"(?:^|[`/])segmentation ([a-z]+)\b", page)

    assert shown <= known


@pytest.mark.parametrize("page", _PAGES)
def test_make_targets_of_the_pages_exist(page):
    targets = set(re.findall(r"^([a-z-]+):", (_ROOT / "Makefile").read_text(), re.M))

    assert _words(r"(?:^|`)make ([a-z-]+)", page) <= targets


@pytest.mark.parametrize("page", _PAGES)
def test_settings_of_the_pages_exist(page):
    known = {row.variable for row in setting_table()}
    known |= {row.file_variable for row in setting_table() if row.is_secret}

    assert _words(r"\b(SEG_[A-Z_]+[A-Z])\b", page) - {"SEG_TEST"} <= known


def _prose(page: Path) -> str:
    return re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.S)


def _anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", page.read_text(), flags=re.S), re.M)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", _PAGES)
def test_links_of_the_pages_lead_somewhere(page):
    here = _ROOT / page
    links = re.findall(r"\]\((?!http)([^)#]*)(?:#([^)]*))?\)", _prose(here))
    targets = [(here.parent / name if name else here, anchor) for name, anchor in links]

    assert [target for target, _ in targets if not target.exists()] == []
    assert [one for one in targets if one[1] and one[1] not in _anchors(one[0])] == []


def test_every_command_is_described():
    described = "\n".join((_ROOT / page).read_text() for page in _PAGES)
    described += (_ROOT / "CHANGELOG.md").read_text()
    known = set(typer.main.get_command(cli).commands)  # type: ignore[attr-defined]  # a group

    missing = {name for name in known - {"version"} if not re.search(rf"`?{name}\b", described)}
    assert missing == set()


def test_the_page_of_the_control_plane_lists_every_command_and_no_other():
    real = {f"{name} {command}" for name in FAMILIES for command in commands_of(name).commands}

    assert _words(r"^\| `([a-z]+ [a-z-]+)", "docs/cli.md") == real
