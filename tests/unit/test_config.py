"""Settings: read from a table, checked with remedies, secrets hidden, documented."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from app.config import Settings, is_set, read_settings, setting_table, to_environment
from app.domain.errors import ConfigurationError

_ROOT = Path(__file__).resolve().parents[2]


def test_without_variables_every_setting_has_its_default():
    assert read_settings({}) == Settings()


def test_an_empty_variable_counts_as_unset():
    assert read_settings({"SEG_PARTITIONS": ""}) == Settings()


def test_values_are_parsed():
    settings = read_settings(
        {
            "SEG_KAFKA_BOOTSTRAP_SERVERS": "a:1, b:2",
            "SEG_REDIS_URL": "rediss://user:word@host:6380/1",
            "SEG_PARTITIONS": "12",
            "SEG_PROCESSING_GUARANTEE": "at_least_once",
        }
    )

    assert settings.kafka_bootstrap_servers == "a:1,b:2"
    assert settings.redis_url == "rediss://user:word@host:6380/1"
    assert settings.partitions == 12
    assert settings.processing_guarantee == "at_least_once"


def test_a_misspelt_variable_names_the_nearest():
    with pytest.raises(ConfigurationError, match=r"no setting SEG_REDIS_ULR.*SEG_REDIS_URL\?"):
        read_settings({"SEG_REDIS_ULR": "redis://x"})


def test_variables_of_the_tests_and_of_others_are_left_alone():
    assert read_settings({"SEG_TEST_DATA_DIR": "/x", "HOME": "/y"}) == Settings()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SEG_PARTITIONS", "0"),
        ("SEG_PARTITIONS", "many"),
        ("SEG_KAFKA_BOOTSTRAP_SERVERS", "localhost"),
        ("SEG_KAFKA_BOOTSTRAP_SERVERS", "localhost:99999"),
        ("SEG_REDIS_KEY_PREFIX", "a{b"),
        ("SEG_TOPIC_PREFIX", "a b"),
        ("SEG_LOG_LEVEL", "loud"),
        ("SEG_CREDENTIALS_FILE", "/does/not/exist"),
        ("SEG_PROCESSING_GUARANTEE", "maybe"),
    ],
)
def test_a_bad_value_is_told_with_variable_value_and_what_is_expected(variable, value):
    with pytest.raises(ConfigurationError) as caught:
        read_settings({variable: value})

    assert f"{variable}={value!r} cannot be used: expected " in caught.value.message


@pytest.mark.parametrize(
    "url", ["http://hunter2", "redis://:hunter2@", "redis://h:hunter2", "redis://u:hunter2@h:99999"]
)
def test_a_bad_secret_is_told_without_its_value(url):
    with pytest.raises(ConfigurationError) as caught:
        read_settings({"SEG_REDIS_URL": url})

    assert "SEG_REDIS_URL" in caught.value.message
    assert "hunter2" not in caught.value.message


def test_all_problems_are_told_at_once():
    with pytest.raises(ConfigurationError) as caught:
        read_settings({"SEG_PARTITIONS": "0", "SEG_LOG_LEVEL": "loud", "SEG_NOTHING": "1"})

    assert len(caught.value.message.splitlines()) == 3


@pytest.mark.parametrize(
    ("given", "remedy"),
    [
        ({"SEG_KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}, "SEG_KAFKA_SASL_USERNAME and"),
        ({"SEG_KAFKA_SASL_USERNAME": "me"}, "SASL_SSL or SASL_PLAINTEXT"),
        ({"SEG_JWT_KEY": "key"}, "SEG_JWT_AUDIENCE"),
        ({"SEG_KAFKA_SSL_CERT_FILE": __file__}, "belong together"),
        ({"SEG_MAX_RECORD_BYTES": "9000000"}, "SEG_BATCH_MAX_BYTES"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(given, remedy):
    with pytest.raises(ConfigurationError, match=remedy):
        read_settings(given)


def test_no_secret_is_in_the_repr():
    given = {
        row.variable: {
            "redis_url": "redis://u:hunter2@h/0",
            "datasets": '{"d": {"url": "s3://b", "options": {"secret": "hunter2"}}}',
        }.get(row.name, "hunter2")
        for row in setting_table()
        if row.is_secret
    }
    given |= {"SEG_JWT_AUDIENCE": "a", "SEG_KAFKA_SASL_USERNAME": "u"}
    settings = read_settings(given | {"SEG_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT"})

    assert "hunter2" not in repr(settings)


def test_a_secret_can_come_from_a_file_but_not_from_both(tmp_path):
    path = tmp_path / "url"
    path.write_text("redis://from-file:1/0\n")

    assert read_settings({"SEG_REDIS_URL_FILE": str(path)}).redis_url == "redis://from-file:1/0"
    with pytest.raises(ConfigurationError, match="both set"):
        read_settings({"SEG_REDIS_URL_FILE": str(path), "SEG_REDIS_URL": "redis://h"})


def test_the_environment_of_a_child_gives_the_same_settings():
    settings = read_settings({"SEG_PARTITIONS": "3", "SEG_REDIS_URL": "redis://u:p@h:1/0"})

    assert read_settings(to_environment(settings)) == settings


def test_a_default_value_that_was_given_is_known_to_be_given():
    assert is_set("redis_url", {"SEG_REDIS_URL": "redis://localhost:6379/0"})
    assert not is_set("redis_url", {})


def test_the_operations_page_lists_every_setting_and_no_other():
    page = (_ROOT / "docs" / "operations.md").read_text()
    rows = dict(re.findall(r"^\| `(SEG_\w+)` \| (.*) \|$", page, re.M))

    wanted = {row.variable: f"{row.shown_default} | {row.doc}" for row in setting_table()}
    assert rows == wanted


def test_every_setting_is_used():
    """A setting that nothing reads would be accepted and ignored."""
    app = _ROOT / "app"
    code = "\n".join(
        path.read_text() for path in app.rglob("*.py") if path.parent != app / "config"
    )
    unread = [
        item.name for item in fields(Settings) if not re.search(rf"settings\.{item.name}\b", code)
    ]
    assert unread == []
