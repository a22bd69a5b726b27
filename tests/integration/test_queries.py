"""Every named query of every room is understood by both kinds of server, and is used."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from fix_ingest import fresh_platform
from fix_services import PostgresServer

from hanlu.db.queries import load_queries

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDERS = sorted(
    path.parent.relative_to(REPOSITORY)
    for pattern in ("*/queries.sql", "*/*/queries.sql")
    for path in REPOSITORY.glob(pattern)
    if path.parts[len(REPOSITORY.parts)] != "build"
)
ROOMS = [".".join(folder.parts) for folder in FOLDERS]
"""Rooms, and folders of theirs with queries of their own."""

NAMES = [(room, name) for room in ROOMS for name in load_queries(f"hanlu.{room}")]
_PLACE = re.compile(r"%\((\w+)\)[sbt]")


@pytest.fixture(scope="module")
def connection(postgres_server: PostgresServer) -> Iterator[psycopg.Connection]:
    with fresh_platform(postgres_server.url) as platform, psycopg.connect(platform.url, autocommit=True) as connection:
        yield connection


def _numbered(statement: str) -> str:
    """Return the statement with places by number, as PREPARE wants them."""
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        if match[1] not in names:
            names.append(match[1])
        return f"${names.index(match[1]) + 1}"

    return _PLACE.sub(number, statement).replace("%%", "%")


@pytest.mark.postgres
@pytest.mark.parametrize(("room", "name"), NAMES, ids=[f"{room}:{name}" for room, name in NAMES])
def test_query_is_understood_by_the_server(connection: psycopg.Connection, room: str, name: str) -> None:
    statement = load_queries(f"hanlu.{room}")[name]
    word = statement.split(maxsplit=1)[0]
    if word == "COPY":  # COPY and LOCK cannot be prepared; without rows and undone they ask the same questions
        with connection.cursor() as cursor, cursor.copy(statement):
            pass
    elif word == "LOCK":
        with connection.transaction(force_rollback=True):
            connection.execute(statement)
    else:
        connection.execute(f"PREPARE query AS {_numbered(statement)}".encode())
        connection.execute("DEALLOCATE query")


@pytest.mark.parametrize("room", ROOMS)
def test_every_query_is_used_by_its_room(room: str) -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / room.replace(".", "/")).rglob("*.py"))
    composed = tuple(re.findall(r'f"([a-z_]+_)\{', code))  # f"walk_{direction}"
    unused = [name for name in load_queries(f"hanlu.{room}") if f'"{name}"' not in code]
    assert [name for name in unused if not name.startswith(composed)] == []


@pytest.mark.parametrize("room", ROOMS)
def test_every_query_asked_for_exists(room: str) -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / room.replace(".", "/")).rglob("*.py"))
    asked = set(re.findall(r'[qQ]uer(?:y|ies)\["(\w+)"\]', code))
    assert asked <= set(load_queries(f"hanlu.{room}"))
