"""Every named query of the room is prepared against the migrated database, and every one is used."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest
from fix_register import Register

from hanlu.db.queries import load_queries

pytestmark = pytest.mark.postgres

ROOT = Path(__file__).resolve().parents[3]


def numbered(statement: str) -> str:
    """Return the statement with $1, $2 … in place of names."""
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", statement)))
    text = re.sub(r"%\((\w+)\)s", lambda match: f"${names.index(match[1]) + 1}", statement)
    return text.replace("%%", "%")


@pytest.mark.parametrize("room", ["registry", "app"])
def test_every_query_stands_against_the_schema(register: Register, room: str):
    queries = load_queries(f"hanlu.{room}")
    with psycopg.connect(register.url) as connection:
        for name, statement in queries.items():
            if statement.startswith("LOCK"):
                continue  # has no plan
            connection.execute(f"PREPARE {name} AS {numbered(statement)}".encode())
            connection.execute(f"DEALLOCATE {name}".encode())


@pytest.mark.parametrize("room", ["registry", "app"])
def test_every_query_is_used(room: str):
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / room).glob("*.py"))
    assert [name for name in load_queries(f"hanlu.{room}") if f'"{name}"' not in code] == []
