"""Search queries as tantivy's, and the fields of the index.

Every part that is met counts one, a match in a name two: unlike tantivy's own scores these do not
depend on what else is in the index, so that all replicas of the API agree on the order.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from tantivy import Filter, Occur, Query, Schema, SchemaBuilder, TextAnalyzerBuilder, Tokenizer

from app.service.search_query import (
    Boost,
    Clauses,
    Column,
    Everything,
    Field,
    Node,
    Phrase,
    QueryProblem,
    Regex,
    Wildcard,
    Word,
)

WORDS = "words"
"""Name of the analyzer of texts: runs of letters and digits, in lower case."""
WHOLE = "whole"
"""Name of the analyzer of ids: all of it, in lower case."""
NUMBER: Final = "number"
"""Field with the number that the index gives to a document."""
FOLDER: Final = "folder"
"""Field that is `1` for folders and `0` for segments."""

ANALYZERS = {
    WORDS: TextAnalyzerBuilder(Tokenizer.simple()).filter(Filter.lowercase()).build(),
    WHOLE: TextAnalyzerBuilder(Tokenizer.raw()).filter(Filter.lowercase()).build(),
}
_ANALYZER_OF: dict[Column, str] = {
    "name": WORDS,
    "description": WORDS,
    "location": WORDS,
    "id": WHOLE,
    "parent": WHOLE,
}
_WEIGHT_OF_NAME = 2.0
_OCCUR = {"should": Occur.Should, "must": Occur.Must, "must_not": Occur.MustNot}
_PIECE = re.compile(r"\\(.)|([*?])|([^\\*?]+)", re.DOTALL)
_CARET = re.compile(r"regex parse error:\n {4}.*\n {4}( *)\^+\nerror: (.*)")
_ANY_CASE = "(?i)"


def build_schema() -> Schema:
    """Return the schema: a field for each column, the number and the kind."""
    builder = SchemaBuilder()
    for column, analyzer in _ANALYZER_OF.items():
        option = "position" if analyzer == WORDS else "basic"
        builder.add_text_field(column, tokenizer_name=analyzer, index_option=option)
    builder.add_text_field(FOLDER, tokenizer_name=WHOLE, index_option="basic")
    builder.add_unsigned_field(NUMBER, indexed=True, fast=True)
    return builder.build()


@dataclass(frozen=True, slots=True)
class Compiler:
    """Makes queries for one schema."""

    schema: Schema

    def query(self, node: Node) -> Query:
        """Return what a tree asks.

        Raises:
            QueryProblem: A regular expression that cannot be used.
        """
        return self._node(node) or Query.empty_query()

    def _node(self, node: Node) -> Query | None:
        """Return None for what has no words, such as a single `&`: it asks nothing."""
        match node:
            case Clauses(clauses):
                return self._clauses(clauses)
            case Boost(inner, factor):
                query = self._node(inner)
                return query and Query.boost_query(query, factor)
            case Everything():
                return _counting(Query.all_query(), 1.0)
            case _:
                return self._anywhere(node)

    def _clauses(self, clauses: tuple[tuple[str, Node], ...]) -> Query | None:
        parts = [
            (_OCCUR[occur], query)
            for occur, node in clauses
            if (query := self._node(node)) is not None
        ]
        if not parts:
            return None
        if all(occur == Occur.MustNot for occur, _ in parts):
            parts.append((Occur.Must, _counting(Query.all_query(), 0.0)))
        return Query.boolean_query(parts)

    def _anywhere(self, leaf: Word | Wildcard | Phrase | Regex) -> Query | None:
        if isinstance(leaf, Word | Phrase) and not any(map(str.isalnum, leaf.text)):
            return None
        found = [
            _counting(query, _WEIGHT_OF_NAME if field.column == "name" else 1.0)
            for field in leaf.fields
            if (query := self._in_field(leaf, field)) is not None
        ]
        return Query.disjunction_max_query(found) if found else None

    def _in_field(self, leaf: Word | Wildcard | Phrase | Regex, field: Field) -> Query | None:
        query = self._in_column(leaf, field.column)
        if query is None or field.folders is None:
            return query
        kind = Query.term_query(self.schema, FOLDER, str(int(field.folders)), "basic")
        return Query.boolean_query([(Occur.Must, query), (Occur.Must, kind)])

    def _in_column(self, leaf: Word | Wildcard | Phrase | Regex, column: Column) -> Query | None:
        match leaf:
            case Wildcard(pattern):
                return Query.regex_query(self.schema, column, _regex_of(pattern))
            case Regex(pattern, _, offset):
                return self._regex(pattern, offset, column)
            case Phrase(text, _, slop):
                return self._words(text, column, slop)
            case Word(text, _, 0):
                return self._words(text, column, 0)
            case Word(text, _, distance):
                return self._fuzzy(text, column, distance)

    def _words(self, text: str, column: Column, slop: int) -> Query | None:
        words = ANALYZERS[_ANALYZER_OF[column]].analyze(text)
        if not words:
            return None
        if len(words) == 1:
            return Query.term_query(self.schema, column, words[0], "basic")
        return Query.phrase_query(self.schema, column, list(words), slop)

    def _fuzzy(self, text: str, column: Column, distance: int) -> Query | None:
        words = ANALYZERS[_ANALYZER_OF[column]].analyze(text)
        near = [Query.fuzzy_term_query(self.schema, column, word, distance) for word in words]
        return Query.boolean_query([(Occur.Must, one) for one in near]) if near else None

    def _regex(self, pattern: str, offset: int, column: Column) -> Query:
        # It has to meet a whole word, so that the anchors, which tantivy refuses, say nothing new.
        bare = pattern.removeprefix("^")
        start = offset + len(pattern) - len(bare)
        if bare.endswith("$") and not bare.endswith("\\$"):
            bare = bare[:-1]
        try:
            return Query.regex_query(self.schema, column, _ANY_CASE + bare)
        except ValueError as error:
            raise _regex_problem(str(error), start, offset) from None


def _counting(query: Query, score: float) -> Query:
    return Query.const_score_query(query, score)


def _regex_of(pattern: str) -> str:
    """Return the regular expression of a wildcard pattern, in lower case as the index is."""
    pieces = []
    for escaped, gap, plain in _PIECE.findall(pattern):
        pieces.append({"*": ".*", "?": "."}[gap] if gap else _literal(escaped or plain))
    return "".join(pieces)


def _literal(text: str) -> str:
    return "".join(
        one if one.isalnum() or one == "_" else f"\\x{{{ord(one):x}}}" for one in text.lower()
    )


def _regex_problem(told: str, start: int, offset: int) -> QueryProblem:
    """Return what tantivy says of a pattern.

    Args:
        told: Its message, which shows the pattern with a caret under the mistake.
        start: Where what it was given begins in the query.
        offset: Where the pattern begins in the query.
    """
    found = _CARET.search(told)
    if found is not None:
        column = max(len(found[1]) - len(_ANY_CASE), 0)
        return QueryProblem(start + column, f"the regular expression is wrong: {found[2]}")
    if "size limit" in told:
        return QueryProblem(offset, "the regular expression is too large", "make it shorter")
    if "Empty match" in told:
        hint = "it has to meet a whole word, so leave `^`, `$` and `\\b` out"
        return QueryProblem(offset, "the regular expression has an anchor inside", hint)
    return QueryProblem(offset, "the regular expression cannot be used here")
