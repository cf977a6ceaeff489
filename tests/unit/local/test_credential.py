"""The credential of a local stack is made once, kept private, and given away only hashed."""

from __future__ import annotations

import hashlib
import json
import stat

import pytest

from app.adapters.local.credential import ORG_ID, load_or_create
from app.domain.errors import ConfigurationError


def test_a_data_folder_keeps_its_credential(tmp_path):
    first = load_or_create(tmp_path, "", "prod")

    assert load_or_create(tmp_path, "", "prod") == first
    assert first.org_id == ORG_ID
    assert first.token not in repr(first)
    assert stat.S_IMODE((tmp_path / "local-credential.json").stat().st_mode) == 0o600


def test_another_organisation_keeps_the_token(tmp_path):
    first = load_or_create(tmp_path, "", "prod")

    second = load_or_create(tmp_path, "other@AdobeOrg", "dev")

    assert second.token == first.token
    assert (second.org_id, second.sandbox_name) == ("other@AdobeOrg", "dev")


def test_the_api_is_given_only_the_hash_of_the_token(tmp_path):
    credential = load_or_create(tmp_path, "", "prod")
    path = tmp_path / "credentials.json"

    credential.write_credentials_file(path)

    assert credential.token not in path.read_text()
    [entry] = json.loads(path.read_text())["credentials"]
    assert entry["tokenSha256"] == hashlib.sha256(credential.token.encode()).hexdigest()
    assert entry["sandboxes"] == ["prod"]


def test_a_spoilt_credential_is_refused_with_its_remedy(tmp_path):
    (tmp_path / "local-credential.json").write_text("{}")

    with pytest.raises(ConfigurationError, match="remove it to get a new one"):
        load_or_create(tmp_path, "", "prod")
