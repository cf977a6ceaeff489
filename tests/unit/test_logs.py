"""No secret reaches the log."""

from __future__ import annotations

import pytest

from app.adapters.logs import redact, redact_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://user:hunter2@host:1/0", "redis://user:[hidden]@host:1/0"),
        ("at rediss://:hunter2@host, gone", "at rediss://:[hidden]@host, gone"),
        ("Authorization: Bearer abc.def-1", "Authorization: Bearer [hidden]"),
        ("http://host:8080/path", "http://host:8080/path"),
    ],
)
def test_passwords_in_urls_and_bearer_tokens_are_hidden(text, shown):
    assert redact_text(text) == shown


@pytest.mark.parametrize("name", ["password", "sasl_password", "token", "apiKey", "x-api-key"])
def test_values_under_secret_names_are_hidden_at_any_depth(name):
    event = redact(None, "info", {"event": "hello", "given": [{name: "hunter2"}], name: "hunter2"})

    assert "hunter2" not in str(event)
    assert event["event"] == "hello"
