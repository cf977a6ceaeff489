"""Settings, read from environment variables `SEG_*`: the only reader of the environment.

Invariants: an unknown `SEG_*` variable is an error, so that a misspelt one is never ignored
(`SEG_TEST_*` belongs to the tests); a secret is in no `repr`; a secret can be read from a file,
named by the variable with `_FILE` added.
"""

from app.config.reading import child_environment, is_set, read_settings, to_environment
from app.config.settings import AT_LEAST_ONCE, EXACTLY_ONCE, Setting, Settings, setting_table

__all__ = [
    "AT_LEAST_ONCE",
    "EXACTLY_ONCE",
    "Setting",
    "Settings",
    "child_environment",
    "is_set",
    "read_settings",
    "setting_table",
    "to_environment",
]
