"""JSON Schema read as the types of PQL: which fields there are, and what they hold.

Understood are `type` (also lists), `properties`, `additionalProperties`, `patternProperties`,
`items`, `enum`, `const`, `format` (`date`, `date-time`), `$ref` inside the document, `allOf`,
`anyOf` and `oneOf`. Everything else only narrows values and is not looked at.

Deviation from JSON Schema (docs/decisions/0104): an object that lists `properties` has no others,
unless `additionalProperties` or `patternProperties` say so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import unquote

Kind: TypeAlias = Literal["boolean", "number", "string", "time", "array", "object"]

ANYTHING: Final[frozenset[Kind]] = frozenset()
"""Kinds of what nothing is known of."""

MAX_FRAGMENTS = 100_000
"""Subschemas of one document."""

_KINDS: Final[dict[str, Kind]] = {
    "boolean": "boolean",
    "number": "number",
    "integer": "number",
    "string": "string",
    "array": "array",
    "object": "object",
}
_TIMES = frozenset({"date", "date-time"})
_ALTERNATIVES = ("anyOf", "oneOf")
_MOST_DEEP = 200

Fragment: TypeAlias = Mapping[str, Any]


class SchemaError(ValueError):
    """A schema that cannot be used; the text says what is wrong and where."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What is known of a value.

    Attributes:
        kinds: What it can be, apart from null; empty when nothing is known.
        fragments: The subschemas that describe it.
        root: The document they are from.
        extra: Shapes by name of fields that are there whatever the schema says.
        element: Of the items of a list, or the values of a map, that is no part of the document.
    """

    kinds: frozenset[Kind] = ANYTHING
    fragments: tuple[Fragment, ...] = ()
    root: Fragment = field(default_factory=dict)
    extra: Mapping[str, Shape] = field(default_factory=dict)
    element: Shape | None = None

    @property
    def names(self) -> set[str]:
        """The fields that are known by name."""
        return {name for one in self.fragments for name in one.get("properties", ())} | set(
            self.extra
        )

    @property
    def is_open(self) -> bool:
        """Whether it may have fields that are not known by name."""
        if self.kinds and "object" not in self.kinds:
            return False
        others = ("additionalProperties", "patternProperties")
        allows = any(one.get(name) for one in self.fragments for name in others)
        return allows or not any("properties" in one for one in self.fragments)

    def at(self, name: str) -> Shape | None:
        """Return the shape of a field; None when there is none of this name."""
        extra = self.extra.get(name)
        listed = [one["properties"] for one in self.fragments if name in one.get("properties", ())]
        if not listed:
            return extra or (self.value if self.is_open else None)
        found = shape_of(self.root, {"allOf": [properties[name] for properties in listed]})
        if extra is None or found.kinds == ANYTHING:
            return found
        return replace(found, kinds=found.kinds | extra.kinds)

    @property
    def value(self) -> Shape:
        """The shape of a field that is not known by name, such as the entry of a map."""
        if self.element is not None:
            return self.element
        found = [one.get("additionalProperties") for one in self.fragments]
        schemas = [one for one in found if isinstance(one, Mapping)]
        return shape_of(self.root, {"allOf": schemas}) if schemas else ANY

    @property
    def item(self) -> Shape:
        """The shape of the items of a list."""
        if self.element is not None:
            return self.element
        schemas = [one["items"] for one in self.fragments if "items" in one]
        return shape_of(self.root, {"allOf": schemas}) if schemas else ANY

    @property
    def allowed(self) -> list[Any] | None:
        """The values that it may have, when they are listed."""
        for one in self.fragments:
            if "enum" in one:
                return list(one["enum"])
            if "const" in one:
                return [one["const"]]
        return None


ANY: Final = Shape()


def read_schema(document: object) -> Shape:
    """Return the shape that a JSON Schema describes.

    Raises:
        SchemaError: It is malformed, too large, or refers to something outside of itself.
    """
    if not isinstance(document, Mapping):
        raise SchemaError("a schema is a JSON object")
    for count, (fragment, where) in enumerate(_fragments(document, "#")):
        if count >= MAX_FRAGMENTS:
            raise SchemaError(f"it has more than {MAX_FRAGMENTS} subschemas")
        _check(document, fragment, where)
    shape = shape_of(document, document)
    if shape.kinds and "object" not in shape.kinds:
        raise SchemaError("#/type: profiles and events are objects")
    return shape


def shape_of(root: Fragment, schema: object) -> Shape:
    """Return the shape of one subschema of a checked document."""
    if not isinstance(schema, Mapping):
        return ANY
    fragments = tuple(_flattened(root, schema, set()))
    return Shape(_kinds(root, schema, set()), fragments, root)


def _flattened(root: Fragment, schema: object, seen: set[int]) -> Iterator[Fragment]:
    """Yield a subschema and all that it is put together from."""
    if not isinstance(schema, Mapping) or id(schema) in seen:
        return
    seen.add(id(schema))
    yield schema
    if "$ref" in schema:
        yield from _flattened(root, _target(root, schema["$ref"]), seen)
    for part in ("allOf", *_ALTERNATIVES):
        for one in schema.get(part, ()):
            yield from _flattened(root, one, seen)


def _kinds(root: Fragment, schema: object, seen: set[int]) -> frozenset[Kind]:
    if not isinstance(schema, Mapping) or id(schema) in seen:
        return ANYTHING
    seen = seen | {id(schema)}
    found = [_own_kinds(schema)]
    if "$ref" in schema:
        found.append(_kinds(root, _target(root, schema["$ref"]), seen))
    found += [_kinds(root, one, seen) for one in schema.get("allOf", ())]
    for part in _ALTERNATIVES:
        branches = [_kinds(root, one, seen) for one in schema.get(part, ())]
        if branches and all(branches):
            found.append(frozenset().union(*branches))
    return reduce(_both, found)


def _both(left: frozenset[Kind], right: frozenset[Kind]) -> frozenset[Kind]:
    # What contradicts itself says no more than its first part.
    return left & right or left or right


def _own_kinds(schema: Fragment) -> frozenset[Kind]:
    if "type" in schema:
        types = schema["type"]
        listed = [types] if isinstance(types, str) else types
        found = {_KINDS[one] for one in listed if one in _KINDS}
        if "string" in found and schema.get("format") in _TIMES:
            found = found - {"string"} | {"time"}
        return frozenset(found)
    if "properties" in schema:
        return frozenset({"object"})
    return frozenset({"array"}) if "items" in schema else ANYTHING


def _fragments(schema: object, where: str, depth: int = 0) -> Iterator[tuple[Fragment, str]]:
    """Yield every subschema with where it is; booleans are left out."""
    if depth > _MOST_DEEP:
        raise SchemaError(f"{where}: it is nested deeper than {_MOST_DEEP} levels")
    if isinstance(schema, bool):
        return
    if not isinstance(schema, Mapping):
        raise SchemaError(f"{where}: a schema is a JSON object")
    yield schema, where
    for name, one in _inner(schema, where):
        yield from _fragments(one, f"{where}/{name}", depth + 1)


def _inner(schema: Fragment, where: str) -> Iterator[tuple[str, object]]:
    """Yield what stands directly inside a subschema, with its name there."""
    for name in ("properties", "patternProperties", "$defs", "definitions"):
        named = schema.get(name, {})
        if not isinstance(named, Mapping):
            raise SchemaError(f"{where}/{name}: schemas by name are needed")
        yield from ((f"{name}/{key}", one) for key, one in named.items())
    for name in ("allOf", *_ALTERNATIVES):
        listed = schema.get(name, [])
        if not isinstance(listed, list):
            raise SchemaError(f"{where}/{name}: a list of schemas is needed")
        yield from ((f"{name}/{at}", one) for at, one in enumerate(listed))
    yield from (
        (name, schema[name]) for name in ("items", "additionalProperties") if name in schema
    )


def _check(root: Fragment, schema: Fragment, where: str) -> None:
    types = schema.get("type", [])
    listed = [types] if isinstance(types, str) else types
    known = _KINDS.keys() | {"null"}
    if not isinstance(listed, list) or not all(
        isinstance(one, str) and one in known for one in listed
    ):
        raise SchemaError(f"{where}/type: one of {', '.join(sorted(known))}, or a list of them")
    if not isinstance(schema.get("enum", []), list):
        raise SchemaError(f"{where}/enum: a list is needed")
    if "$ref" in schema and not isinstance(_target(root, schema["$ref"]), bool | Mapping):
        raise SchemaError(f"{where}/$ref: {schema['$ref']!r} leads to no schema of this document")


def _target(root: Fragment, reference: object) -> object:
    """Return what a local reference leads to; None when that is nothing."""
    if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
        return None
    found: Any = root
    for part in reference.split("/")[1:]:
        key = unquote(part).replace("~1", "/").replace("~0", "~")
        if isinstance(found, list) and key.isdigit() and int(key) < len(found):
            found = found[int(key)]
        elif isinstance(found, Mapping):
            found = found.get(key)
        else:
            return None
    return found
