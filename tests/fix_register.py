"""A database with the demo county in its register, a fresh copy for each test, and the services over it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from hanlu.core.clock import ManualClock
from hanlu.db.migrate import migrate
from hanlu.db.pool import Pool, open_pool
from hanlu.registry.access import Person, Role
from hanlu.registry.audit import Audit
from hanlu.registry.config import SignInSettings
from hanlu.registry.passwords import Passwords
from hanlu.registry.people import People
from hanlu.registry.signin import Opened, SignIn
from hanlu.registry.store import Registry

if TYPE_CHECKING:
    from fix_services import PostgresServer

START_MS = 1_790_000_000_000
"""When the tests' clock starts: 2026-09-21."""

QUICK = {"time_cost": 1, "memory_kib": 64, "lanes": 1}
"""Password hashing as cheap as it gets: these tests are about what is done with the answer."""


@dataclass(frozen=True, slots=True)
class Template:
    """A database to copy, with the first people's passwords.

    Attributes:
        admin_url: of a database on the same server from which copies are made.
        name: of the database.
        passwords: sign-in name -> password.
        keys: folder with the gateways' keys.
    """

    admin_url: str
    name: str
    passwords: dict[str, str]
    keys: Path

    def key_file(self, gateway: str) -> Path:
        """Return the file of a gateway's key."""
        return self.keys / f"{gateway}.pem"


@dataclass(frozen=True, slots=True)
class Register:
    """One test's own copy and the services over it."""

    url: str
    pool: Pool
    clock: ManualClock
    passwords: dict[str, str]
    registry: Registry
    audit: Audit
    people: People
    sign_in: SignIn

    def enter(self, login: str, address: str = "192.0.2.1") -> Opened:
        """Sign one of the first people in."""
        opened = self.sign_in.attempt(login, self.passwords[login], address)
        assert isinstance(opened, Opened)
        return opened

    def person(self, login: str) -> Person:
        """Sign one of the first people in and return them."""
        person = self.sign_in.person(self.enter(login).token)
        assert person is not None
        return person

    def all(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a query as the installing user."""
        with psycopg.connect(self.url) as connection:
            return connection.execute(statement, values).fetchall()

    def actions(self) -> list[str]:
        """Return the actions in the audit, oldest first."""
        return [action for (action,) in self.all("SELECT action FROM registry.audit ORDER BY audit_id")]


@pytest.fixture(scope="session")
def register_template(plain_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Template:
    """The demo county, seeded once a session."""
    from hanlu.app.demo import seed
    from hanlu.firmware_sim.yanling import demo_county

    name = f"register_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(plain_server.url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    url = make_conninfo(plain_server.url, dbname=name)
    migrate(url)
    folder = tmp_path_factory.mktemp("register")
    pool = open_pool(url, "hanlu_registry", name="tests", max_size=2)
    try:
        made = seed(pool, lambda code: folder / f"{code}.pem", demo_county(), Passwords(**QUICK))
    finally:
        pool.close()
    return Template(plain_server.url, name, {each.login: each.password for each in made}, folder)


@pytest.fixture
def register_url(register_template: Template) -> Iterator[str]:
    """URL of a fresh copy."""
    name = f"copy_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(register_template.admin_url, autocommit=True) as admin:
        copy = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        admin.execute(copy.format(sql.Identifier(name), sql.Identifier(register_template.name)))
        yield make_conninfo(register_template.admin_url, dbname=name)
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def register(register_template: Template, register_url: str) -> Iterator[Register]:
    """A fresh copy with its services, on a clock the test moves."""
    pool = open_pool(register_url, "hanlu_registry", name="tests", max_size=4)
    clock = ManualClock(START_MS)
    passwords, audit = Passwords(**QUICK), Audit(pool, clock)
    yield Register(
        url=register_url,
        pool=pool,
        clock=clock,
        passwords=register_template.passwords,
        registry=Registry(pool),
        audit=audit,
        people=People(pool, clock, passwords, audit),
        sign_in=SignIn(pool, clock, SignInSettings(), passwords, audit),
    )
    pool.close()


def administrator_of(path: str) -> Person:
    """Return an administrator of a subtree who is nobody in the database but may ask."""
    return Person(0, "somebody", "Somebody", frozenset({Role.ADMIN}), path, csrf="")
