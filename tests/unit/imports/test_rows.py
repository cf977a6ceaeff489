"""Rows of sources: read in bounded pieces, checked, refused without their values."""

from __future__ import annotations

import datetime
import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.adapters.imports.readers import MAX_LINE_CHARACTERS, format_of, rows_of
from app.domain.external import ImportField
from app.service.import_rows import BadRow, RowCheck
from app.service.import_sources import SourceProblem

ID = ImportField("id", "string", "Email")


def read(data: bytes, path: str = "m.csv", columns: tuple[str, ...] = ("id", "n")) -> list[Any]:
    """Return the rows; texts for bad ones."""
    rows = rows_of(io.BytesIO(data), path, columns)
    return [str(row) if isinstance(row, BadRow) else row for row in rows]


def test_csv_has_a_header_and_bad_lines_do_not_end_it() -> None:
    text = '\ufeffid,n,more\r\na,1,\r\n\r\n"b\nc",2,x\r\nd\r\n"e" f,3,y\r\ng,4,z\n'
    first, second, third, fourth, last = read(text.encode())
    assert first == {"id": "a", "n": "1", "more": ""}
    assert second["id"] == "b\nc"
    assert third == "it has 1 values, the header has 3"
    assert fourth.startswith("it is not CSV")
    assert last["id"] == "g"


@pytest.mark.parametrize(
    ("data", "path", "told"),
    [
        (b"", "m.csv", "is empty"),
        (b"id,x\n", "m.csv", "lacks the columns n"),
        (b"id,n,n\n", "m.csv", "column n twice"),
        (b"id,n\n" + b"a" * (MAX_LINE_CHARACTERS + 1), "m.csv", "a line of more than"),
        (b"a" * (MAX_LINE_CHARACTERS + 1), "m.jsonl", "a line of more than"),
        (b"PAR1", "m.parquet", "no Parquet file"),
        (b"", "m.txt", "no known format"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(data: bytes, path: str, told: str) -> None:
    with pytest.raises(SourceProblem, match=told):
        read(data, path)


def test_json_lines() -> None:
    data = b'{"id": "a", "n": 1}\n\n[]\n{"id"\n{"id": "b"}'
    assert read(data, "m.NDJSON") == [
        {"id": "a", "n": 1},
        "it is no JSON object",
        "it is not JSON: write one object a line",
        {"id": "b"},
    ]


def test_parquet_reads_the_columns_it_needs() -> None:
    table = pa.table({"id": ["a", None], "n": [1, 2], "other": [b"x", b"y"]})
    file = io.BytesIO()
    pq.write_table(table, file)
    assert read(file.getvalue(), "m.parquet") == [{"id": "a", "n": 1}, {"id": None, "n": 2}]
    with pytest.raises(SourceProblem, match="lacks the columns x"):
        read(file.getvalue(), "m.parquet", ("id", "x"))


def test_formats_go_by_the_end_of_the_name() -> None:
    found = {path: format_of(path) for path in ("a/b.CSV", "b.json.gz", "c.parquet.gz", "a.csv/b")}
    assert found == {"a/b.CSV": "csv", "b.json.gz": "json", "c.parquet.gz": None, "a.csv/b": None}


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("string", ["x", 1, 1.5], [True, [], {}]),
        ("number", ["1.5", "-2e3", 4, 0.5], ["x", "nan", "inf", True, [], 10**400]),
        ("integer", ["-7", 2**31 - 1], ["1.5", 2**31, 1.0, False, "x"]),
        ("long", [str(2**40), -(2**63)], [2**63, "x"]),
        ("date", ["2025-05-13", datetime.date(2025, 5, 13)], ["2025-13-01", "20250513", 5]),
        (
            "datetime",
            [
                "2025-05-13T10:00:00Z",
                "2025-05-13T10:00:00+02:00",
                datetime.datetime(2025, 5, 13, tzinfo=datetime.UTC),
            ],
            ["2025-05-13T10:00:00", "soon", 5],
        ),
        ("boolean", ["true", "FALSE", True], ["yes", 1, "1"]),
    ],
)
def test_columns_have_types(kind: Any, good: list[Any], bad: list[Any]) -> None:
    check = RowCheck([ID, ImportField("c", kind)])
    for value in [*good, None, ""]:
        assert check.profile_id({"id": "p", "c": value}) == "p"
    for value in bad:
        with pytest.raises(BadRow, match=f"column c is no {kind}"):
            check.profile_id({"id": "p", "c": value})


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "is empty"),
        ("", "is empty"),
        ("  ", "is empty"),
        (1.5, "text or whole"),
        ("é" * 513, "1026 bytes"),
        ("\udc80", "not Unicode"),
    ],
)
def test_the_identity_names_a_profile(value: Any, told: str) -> None:
    with pytest.raises(BadRow, match=told):
        RowCheck([ID]).profile_id({"id": value})
    assert RowCheck([ID]).profile_id({"id": " 7 "}) == "7"
    assert RowCheck([ImportField("id", "long", "CRM")]).profile_id({"id": 7}) == "7"
