"""The part of JSON Patch (RFC 6902) that the API takes: `add`, which sets what is there already.

Source: API reference, PATCH of an audience.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from app.domain.errors import UserError
from app.domain.model import JsonObject
from app.service.lifecycle import REFUSED

_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")


@dataclass(frozen=True, slots=True)
class Addition:
    """One operation.

    Attributes:
        path: JSON pointer (RFC 6901).
        value: Any JSON.
    """

    path: str
    value: Any


def patched(
    document: JsonObject, additions: Iterable[Addition], editable: Collection[str]
) -> JsonObject:
    """Apply operations in order; `document` is left as it is.

    Args:
        editable: Top-level fields that paths may lead into.

    Raises:
        UserError: `audience-invalid`: a path is malformed, leads nowhere or is not editable.
    """
    changed = deepcopy(document)
    for addition in additions:
        tokens = _tokens(addition.path)
        if tokens[0] not in editable:
            raise UserError(
                f"{addition.path!r} cannot be changed; what can: /{', /'.join(editable)}",
                code=REFUSED,
            )
        _add(changed, tokens, _copied(addition), addition.path)
    return changed


def _copied(addition: Addition) -> Any:
    try:
        return deepcopy(addition.value)
    except RecursionError:
        text = f"the value for {addition.path!r} is nested too deeply"
        raise UserError(text, code=REFUSED) from None


def _tokens(path: str) -> list[str]:
    if not path.startswith("/"):
        raise UserError(
            f"path {path!r} is not a JSON pointer to a field; write it like /description",
            code=REFUSED,
        )
    return [token.replace("~1", "/").replace("~0", "~") for token in path[1:].split("/")]


def _add(document: JsonObject, tokens: list[str], value: Any, path: str) -> None:
    parent: Any = document
    for token in tokens[:-1]:
        parent = _inside(parent, token, path)
    last = tokens[-1]
    if isinstance(parent, dict):
        parent[last] = value
    elif isinstance(parent, list) and last == "-":
        parent.append(value)
    elif isinstance(parent, list) and _INDEX.fullmatch(last) and int(last) <= len(parent):
        parent.insert(int(last), value)
    else:
        raise _leads_nowhere(path)


def _inside(parent: Any, token: str, path: str) -> Any:
    if isinstance(parent, dict) and token in parent:
        return parent[token]
    if isinstance(parent, list) and _INDEX.fullmatch(token) and int(token) < len(parent):
        return parent[int(token)]
    raise _leads_nowhere(path)


def _leads_nowhere(path: str) -> UserError:
    return UserError(f"path {path!r} leads nowhere in this audience", code=REFUSED)
