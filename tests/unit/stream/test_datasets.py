"""Where exports may write, as the setting says it."""

import json

import pytest

from app.adapters.datasets.locations import Location, names_for, parse_locations
from app.domain.errors import ConfigurationError
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
        ('{"a": {"url": "s3://user:hidden@x/y"}}', "credentials in the url"),
        ('{"a": {"url": "/x", "tenants": ["o"]}}', "<organisation>/<sandbox>"),
    ],
)
def test_what_is_wrong_is_said_without_secrets(text, told):
    with pytest.raises(ConfigurationError) as raised:
        parse_locations(text)

    assert told in raised.value.message
    assert "hidden" not in raised.value.message
