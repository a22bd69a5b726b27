"""People: adding them, listing them, their passwords. Signing in is signin.py's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from psycopg.rows import dict_row

from hanlu.core.clock import Clock, from_ms
from hanlu.core.errors import ConflictError, NotFoundError, PermissionDeniedError, UsageError
from hanlu.db.pool import Connection, Pool, translated
from hanlu.db.queries import load_queries
from hanlu.registry.access import Person, Role
from hanlu.registry.audit import Audit
from hanlu.registry.passwords import Passwords, random_password
from hanlu.registry.records import PersonRow

__all__ = ["Credential", "NewPerson", "People"]

LOGIN_PATTERN: Final = r"[a-z0-9._@-]{2,64}"
"""Shape of a sign-in name."""

MAX_NAME: Final = 80
"""Most characters of a display name."""

_QUERIES = load_queries("hanlu.registry")


@dataclass(frozen=True, slots=True)
class Credential:
    """A fresh password, to be shown once and kept nowhere.

    Attributes:
        login: sign-in name.
        password: in clear.
        roles: what the person is here for.
    """

    login: str
    password: str
    roles: frozenset[Role]


@dataclass(frozen=True, slots=True)
class NewPerson:
    """Somebody to be added.

    Attributes:
        login: sign-in name, `LOGIN_PATTERN`.
        display_name: 1 to `MAX_NAME` characters.
        roles: at least one.
        organisation: code of the node the person is scoped to.
    """

    login: str
    display_name: str
    roles: frozenset[Role]
    organisation: str


class People:
    """Who may sign in. Whoever administers sees and changes people of their own subtree only."""

    def __init__(self, pool: Pool, clock: Clock, passwords: Passwords, audit: Audit) -> None:
        """Use `pool`, whose connections act as `hanlu_registry`."""
        self._pool = pool
        self._clock = clock
        self._passwords = passwords
        self._audit = audit

    def exist(self) -> bool:
        """Tell whether anybody is registered yet; if not, this is the first start."""
        with translated(), self._pool.connection() as connection:
            row = connection.execute(_QUERIES["any_person"]).fetchone()
        return bool(row and row[0])

    def list(self, scope: str) -> tuple[PersonRow, ...]:
        """Return the people scoped at or below `scope`, by sign-in name."""
        with translated(), self._pool.connection() as connection, connection.cursor(row_factory=dict_row) as rows:
            return tuple(_person_row(each) for each in rows.execute(_QUERIES["people"], {"scope": scope}))

    def add(self, by: Person, new: NewPerson) -> Credential:
        """Add a person with a random password.

        Raises:
            UsageError: a value does not fit.
            NotFoundError: there is no such organisation in the scope of `by`.
            ConflictError: the sign-in name is taken.
        """
        password = random_password()
        password_hash = self._passwords.hash(password)
        with translated(), self._pool.connection() as connection:
            self._add(connection, by, new, password_hash)
        return Credential(new.login, password, new.roles)

    def add_first(self, all_new: Sequence[NewPerson]) -> tuple[Credential, ...]:
        """Add the first people, all or none; nothing happens where anybody is registered already.

        Raises:
            UsageError: a value does not fit.
            NotFoundError: there is no such organisation.
        """
        if self.exist():
            return ()
        made = [(new, random_password()) for new in all_new]
        hashes = [self._passwords.hash(password) for _, password in made]
        with translated(), self._pool.connection() as connection:
            connection.execute(_QUERIES["lock_people"])
            row = connection.execute(_QUERIES["any_person"]).fetchone()
            if row and row[0]:
                return ()  # another start was faster
            for (new, _), password_hash in zip(made, hashes, strict=True):
                self._add(connection, None, new, password_hash)
        return tuple(Credential(new.login, password, new.roles) for new, password in made)

    def _add(self, connection: Connection, by: Person | None, new: NewPerson, password_hash: str) -> None:
        if not re.fullmatch(LOGIN_PATTERN, new.login):
            raise UsageError("a sign-in name has 2 to 64 of: a-z 0-9 . _ @ -")
        if not new.roles or not 0 < len(new.display_name.strip()) <= MAX_NAME:
            raise UsageError(f"a person has a name of at most {MAX_NAME} characters and at least one role")
        node = connection.execute(_QUERIES["organisation_key"], {"code": new.organisation}).fetchone()
        if node is None or (by is not None and not by.sees(node[2])):
            raise NotFoundError(f"organisation {new.organisation} is not registered")
        values = {
            "organisation_id": node[0],
            "login": new.login,
            "display_name": new.display_name.strip(),
            "roles": sorted(new.roles),
            "password_hash": password_hash,
        }
        if connection.execute(_QUERIES["add_person"], values).fetchone() is None:
            raise ConflictError(f"the sign-in name {new.login} is taken")
        detail = {"roles": sorted(new.roles), "organisation": new.organisation}
        self._audit.write_on(connection, by.person_id if by else None, "registry.person.add", new.login, detail)

    def set_disabled(self, by: Person, person_id: int, disabled: bool) -> None:
        """Bar a person from signing in and end their sessions, or let them in again.

        Raises:
            NotFoundError: nobody of that key in the scope of `by`.
            PermissionDeniedError: nobody bars themselves, lest no administrator is left.
        """
        if by.person_id == person_id:
            raise PermissionDeniedError("nobody can bar themselves")
        at = from_ms(self._clock.now_ms()) if disabled else None
        with translated(), self._pool.connection() as connection:
            person = self._in_scope(connection, by, person_id)
            connection.execute(_QUERIES["set_disabled"], {"person_id": person_id, "disabled_at": at})
            if disabled:
                self._end_sessions(connection, person_id)
            action = "registry.person.disable" if disabled else "registry.person.enable"
            self._audit.write_on(connection, by.person_id, action, person.login, {})

    def reset_password(self, by: Person, person_id: int) -> Credential:
        """Give a person of the scope of `by` a new random password and end their sessions."""
        password = random_password()
        new_hash = self._passwords.hash(password)
        with translated(), self._pool.connection() as connection:
            person = self._in_scope(connection, by, person_id)
            self._replace_password(connection, person_id, new_hash)
            self._audit.write_on(connection, by.person_id, "registry.person.reset", person.login, {})
        return Credential(person.login, password, person.roles)

    def reset_password_at_the_machine(self, login: str) -> Credential:
        """Give a person a new random password without anybody signed in: for who sits at the machine itself.

        Raises:
            NotFoundError: nobody has this sign-in name.
        """
        password = random_password()
        new_hash = self._passwords.hash(password)
        with translated(), self._pool.connection() as connection:
            row = connection.execute(_QUERIES["person_by_login"], {"login": login}).fetchone()
            if row is None:
                raise NotFoundError(f"nobody has the sign-in name {login}")
            person_id, roles = row
            self._replace_password(connection, person_id, new_hash)
            self._audit.write_on(connection, None, "registry.person.reset", login, {"at_the_machine": True})
        return Credential(login, password, frozenset(Role(each) for each in roles))

    def change_password(self, person: Person, new: str, keep_token_sha256: bytes) -> None:
        """Change one's own password; other sessions of the person end, the one of `keep_token_sha256` stays.

        The old one must have been confirmed (`SignIn.confirm`) and the new one judged (`passwords.weakness`).
        """
        new_hash = self._passwords.hash(new)
        with translated(), self._pool.connection() as connection:
            self._replace_password(connection, person.person_id, new_hash, keep_token_sha256)
            self._audit.write_on(connection, person.person_id, "registry.person.password", person.login, {})

    def _replace_password(
        self, connection: Connection, person_id: int, new_hash: str, keep_token_sha256: bytes | None = None
    ) -> None:
        connection.execute(_QUERIES["force_password_hash"], {"person_id": person_id, "new_hash": new_hash})
        self._end_sessions(connection, person_id, keep_token_sha256)

    def _end_sessions(self, connection: Connection, person_id: int, but: bytes | None = None) -> None:
        values = {"person_id": person_id, "but_token_sha256": but, "now": from_ms(self._clock.now_ms())}
        connection.execute(_QUERIES["end_sessions_of"], values)

    def _in_scope(self, connection: Connection, by: Person, person_id: int) -> PersonRow:
        with connection.cursor(row_factory=dict_row) as rows:
            row = rows.execute(_QUERIES["person_by_id"], {"person_id": person_id}).fetchone()
        if row is None or not by.sees(row["path"]):
            raise NotFoundError("there is no such person here")
        return _person_row(row)


def _person_row(row: dict[str, Any]) -> PersonRow:
    return PersonRow(**(row | {"roles": frozenset(Role(each) for each in row["roles"])}))
