"""`pytest tests/migration --write-schema` writes db/schema.sql anew after a change of SQL."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-schema", action="store_true", help="write db/schema.sql from the migrations")
