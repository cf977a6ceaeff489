"""Which paths there are, and which methods each of them takes: read from the OpenAPI document."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any


class Routes:
    """Templates and methods, read from the OpenAPI document."""

    def __init__(self, paths: Mapping[str, Mapping[str, Any]]) -> None:
        # Fixed words before ids that stand in their place, and the longest before its beginning.
        ordered = sorted(paths.items(), key=lambda item: ("{" in item[0], -len(item[0])))
        self._routes = [
            (_pattern(template), template, frozenset(method.upper() for method in operations))
            for template, operations in ordered
        ]

    def template_of(self, path: str) -> str:
        """Return the template that a path belongs to."""
        return self._found(path)[0]

    def takes(self, path: str, method: str) -> bool:
        """Tell whether a path takes a method; one that does not exist takes any."""
        found = [
            (template, methods)
            for pattern, template, methods in self._routes
            if pattern.fullmatch(path)
        ]
        if found and "{" not in found[0][0]:
            return method in found[0][1]
        # The id of a profile may look like the end of another route.
        return not found or any(method in methods for _, methods in found)

    def allowed(self, path: str) -> str:
        """Return the value of the `Allow` header for a path."""
        methods = {"OPTIONS", *self._found(path)[1]}
        if "GET" in methods:
            methods.add("HEAD")
        return ", ".join(sorted(methods))

    def _found(self, path: str) -> tuple[str, frozenset[str]]:
        for pattern, template, methods in self._routes:
            if pattern.fullmatch(path):
                return template, methods
        return "unknown", frozenset()


def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"(\{\w+\})", template)
    text = "".join(_part(part) for part in parts)
    return re.compile(text)


def _part(part: str) -> str:
    if not part.startswith("{"):
        return re.escape(part)
    return ".+" if part == "{profileId}" else "[^/]+"
