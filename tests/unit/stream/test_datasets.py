"""Where exports may write, and what readers find there."""

import json

import pytest

from app.adapters.datasets.locations import Location, names_for, parse_locations
from app.adapters.datasets.store import FileDatasets
from app.domain.errors import ConfigurationError, UserError
from app.domain.exports import ExportRow, ExportTask
from app.domain.model import Tenant

GIVEN = {
    "members": {"url": "s3://bucket/members", "options": {"key": "k", "secret": "hidden"}},
    "local": "/var/lib/members",
    "mine": {"url": "file:///data", "tenants": ["o@AdobeOrg/prod"]},
}


def test_locations_are_read():
    found = parse_locations(json.dumps(GIVEN))

    assert found["local"] == Location("/var/lib/members")
    assert found["members"].options == {"key": "k", "secret": "hidden"}
    assert "hidden" not in repr(found)
    assert names_for(found, Tenant("o@AdobeOrg", "prod")) == ["members", "local", "mine"]
    assert names_for(found, Tenant("o@AdobeOrg", "dev")) == ["members", "local"]
    assert parse_locations("") == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"a": hidden', "no JSON"),
        ("[]", "not an object"),
        ('{"a b": "/x"}', "'a b'"),
        ('{"a": 5}', "url, options and tenants"),
        ('{"a": {"url": "/x", "secret": "hidden"}}', "nothing else"),
        ('{"a": {"url": ""}}', "a text as url"),
        ('{"a": {"url": "/x", "options": ["hidden"]}}', "an object as options"),
        ('{"a": {"url": "nosuch://x"}}', "'nosuch'"),
        ('{"a": {"url": "sftp://x/y", "options": {"password": "hidden"}}}', "whichever server"),
        ('{"a": {"url": "abfs://x/y"}}', "a package that is not installed"),
        ('{"a": {"url": "s3://user:hidden@x/y"}}', "credentials in the url"),
        ('{"a": {"url": "/x", "tenants": ["o"]}}', "<organisation>/<sandbox>"),
    ],
)
def test_what_is_wrong_is_said_without_secrets(text, told):
    with pytest.raises(ConfigurationError) as raised:
        parse_locations(text)

    assert told in raised.value.message
    assert "hidden" not in raised.value.message


TASK = ExportTask("b-1", dataset_id="d")


def row(number):
    document = {
        "profileId": f"p-{number}",
        "partition": 0,
        "number": number,
        "part": 1,
        "parts": 1,
        "inputOffset": 7,
        "segments": [],
        "profile": {"age": number},
    }
    return ExportRow(("b-1",), document)


def staged(datasets, *numbers):
    writer = datasets.writer(TASK, 0)
    writer.add([row(number) for number in numbers])
    return writer.close()


def test_publishing_goes_on_where_somebody_stopped_and_may_be_repeated(tmp_path):
    datasets = FileDatasets({"d": Location(str(tmp_path))})
    files = staged(datasets, 1, 2)
    # An attempt that nobody reported.
    staged(datasets, 1)
    (one,) = files
    target = tmp_path / "b-1"
    target.mkdir()
    (target / one.name).write_bytes(b"half")
    assert not (target / "_manifest.json").exists()

    for _ in range(2):
        datasets.publish(TASK, files, {"jobId": "7"})

    assert sorted(path.name for path in target.iterdir()) == ["_manifest.json", one.name]
    assert (target / one.name).stat().st_size == one.bytes
    manifest = json.loads((target / "_manifest.json").read_text())
    assert (manifest["jobId"], manifest["rows"]) == ("7", 2)
    assert [path.name for path in tmp_path.iterdir()] == ["b-1"]


def test_what_is_abandoned_is_gone_and_takes_nothing_more(tmp_path):
    datasets = FileDatasets({"d": Location(str(tmp_path))})
    writer = datasets.writer(TASK, 0)
    writer.add([row(1)])
    writer.abandon()
    writer.add([row(2)])

    assert writer.close() == []
    assert list(tmp_path.rglob("*.parquet")) == []
    datasets.discard("d", "b-1")
    datasets.discard("d", "b-1")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_data_set_names_those_that_there_are(tmp_path):
    datasets = FileDatasets({"other": Location(str(tmp_path))})

    with pytest.raises(UserError, match="SEG_DATASETS names other"):
        datasets.writer(TASK, 0)
