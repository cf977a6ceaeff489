"""Every published expression parses, prints and checks; every malformed one is refused."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from app.pql.checker import check
from app.pql.errors import PqlError
from app.pql.parser import parse
from app.pql.printer import to_text

_LATER = {
    "a lambda is not evaluated yet",
    "let is not evaluated yet",
    "the method map is not evaluated yet",
    "the method topN is not evaluated yet",
    "the method bottomN is not evaluated yet",
    "the method groupBy is not evaluated yet",
}


def _lines(path: Path) -> list[list[str]]:
    found = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines() if line]
    assert found, f"{path} is empty"
    return found


def test_every_line_of_the_corpus_prints_to_the_tree_it_came_from(shared_data: Path) -> None:
    lines = _lines(shared_data / "pql-corpus.tsv")

    changed = [text for text, *_ in lines if repr(parse(to_text(parse(text)))) != repr(parse(text))]

    assert changed == []


def test_every_line_of_the_corpus_checks_but_for_what_is_not_evaluated_yet(
    shared_data: Path,
) -> None:
    lines = _lines(shared_data / "pql-corpus.tsv")
    checked = {
        text: check(parse(text)) for text, source, *_ in lines if "journey-optimizer" not in source
    }

    unusable = {text: found.problems for text, found in checked.items() if found.problems}

    codes = Counter(problem.code for problems in unusable.values() for problem in problems)
    assert set(codes) == {"not-supported-yet"}
    assert {one.message for problems in unusable.values() for one in problems} == _LATER
    assert len(unusable) == 9


def test_malformed_lines_are_refused(shared_data: Path) -> None:
    lines = _lines(shared_data / "pql-invalid.tsv")

    accepted = [reason for text, _, reason in lines if not _is_refused(text)]

    # A single-quoted string is read leniently (open point 17 of the PQL reference).
    assert accepted == ["single-quoted string literal"]


def _is_refused(text: str) -> bool:
    try:
        return bool(check(parse(text)).problems)
    except PqlError as error:
        return bool(error.problems)
