from __future__ import annotations

import re
from pathlib import Path

from app.adapters.http.definitions import MAX_LIMIT
from app.adapters.http.errors import GATEWAY, STATUS, long_code
from app.config import setting_table

PAGE = (Path(__file__).parents[3] / "docs" / "api.md").read_text()
# Raised with a code of their own wherever a client can meet them.
GENERIC = {"invalid", "conflict"}


def test_the_page_names_every_code_and_no_other() -> None:
    listed = set(re.findall(r"`((?:SEG-[A-Z-]+|UP[A-Z]+-\d+|1009\d\d)-\d{3})`", PAGE))
    real = {long_code(code) for code in STATUS if code not in GENERIC}
    assert listed == real
    assert all(f"`{code}`" in PAGE for code in GATEWAY)


def test_the_page_names_real_settings() -> None:
    known = {setting.variable for setting in setting_table()}
    assert set(re.findall(r"SEG_[A-Z_]+", PAGE)) <= known


def test_the_page_tells_the_real_limit() -> None:
    assert f"`limit` 1 to {MAX_LIMIT:,}" in PAGE
