"""Types that are inferred without a schema: a path is `any`."""

from __future__ import annotations

from typing import Literal, TypeAlias

Type: TypeAlias = Literal[
    "any", "boolean", "number", "string", "date", "array", "object", "collection"
]
"""`date` is what `date(y, m, d)` gives: a UTC day. Times such as `now` have no type: they stand
only after `occurs`. `collection` is wanted where a list or a map will do; no value has it."""

_ARTICLES: dict[Type, str] = {
    "any": "any value",
    "boolean": "a Boolean",
    "number": "a number",
    "string": "a string",
    "date": "a date",
    "array": "a list",
    "object": "a map",
    "collection": "a list or a map",
}


def fits(actual: Type, wanted: Type) -> bool:
    """Tell whether a value of one type can stand where another is wanted.

    A list can stand for a string or a number: any item of it may satisfy the test, as a path
    through an array does (open point 10 of the PQL reference).
    """
    if "any" in {actual, wanted} or actual == wanted:
        return True
    if wanted == "collection":
        return actual in {"array", "object"}
    return actual == "array" and wanted in {"string", "number", "object"}


def comparable(left: Type, right: Type) -> bool:
    """Tell whether two values of these types can ever be equal; a list stands for its items."""
    return left == right or bool({left, right} & {"any", "array"})


def described(found: Type) -> str:
    """Return the type with its article."""
    return _ARTICLES[found]
