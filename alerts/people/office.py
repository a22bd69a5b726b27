"""What the pages of people share: the directory seen from a person's subtree, who may change it, and forms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from fastapi import Request
from psycopg.rows import class_row, dict_row
from pydantic import ValidationError

from hanlu.alerts.desk import Desk
from hanlu.alerts.people.config import NotifyConfig
from hanlu.alerts.people.directory import Directory, read_directory
from hanlu.alerts.people.fault import Fault, FormError, form_error
from hanlu.alerts.people.model import Receiver
from hanlu.core.errors import ConflictError, NotFoundError, UsageError
from hanlu.db.pool import Connection, translated
from hanlu.db.queries import load_queries
from hanlu.registry.access import Person, Role
from hanlu.registry.web import RoomWeb

__all__ = ["Form", "Node", "Office", "View", "form_of", "sentence"]

_QUERIES = load_queries("hanlu.alerts.people")
_ROOT_SLASHES: Final = 2


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the organisation tree."""

    organisation_id: int
    code: str
    name_zh: str
    name_en: str
    path: str

    def name(self, lang: str) -> str:
        """Return its name."""
        return self.name_zh if lang == "zh" else self.name_en


@dataclass(frozen=True, slots=True)
class View:
    """What a person sees.

    Attributes:
        connection: acting as hanlu_alerts, in a transaction that ends with the view.
        person: who looks.
        nodes: the person's subtree.
        above: the nodes above it, whose policies go on where the subtree's end.
        directory: everything; pages show what `mine` lets through.
        versions: (subject, code) -> version, and whose.
        now_ms: the platform's time.
    """

    connection: Connection
    person: Person
    nodes: tuple[Node, ...]
    above: tuple[Node, ...]
    directory: Directory
    versions: Mapping[tuple[str, str], tuple[int, int]]
    now_ms: int

    def mine(self, organisation_id: int) -> bool:
        """Tell whether a node lies in the person's subtree."""
        return any(each.organisation_id == organisation_id for each in self.nodes)

    @property
    def receivers(self) -> list[Receiver]:
        """Return the receivers of the subtree."""
        return [each for each in self.directory.receivers.values() if self.mine(each.organisation_id)]

    def node(self, code: str) -> Node:
        """Return a node of the subtree; NotFoundError for any other."""
        for each in self.nodes:
            if each.code == code:
                return each
        raise NotFoundError(f"there is no organisation {code}")

    def node_by_id(self, organisation_id: int) -> Node | None:
        """Return a node of the subtree or above it."""
        return next((each for each in (*self.nodes, *self.above) if each.organisation_id == organisation_id), None)

    def version(self, subject: str, code: str) -> int:
        """Return the version of a rota or policy, 0 when there is none."""
        return self.versions.get((subject, code), (0, 0))[0]

    def owner(self, subject: str, code: str) -> int | None:
        """Return the organisation a rota or policy belongs to."""
        found = self.versions.get((subject, code))
        return found[1] if found else None

    def may_manage(self) -> bool:
        """Tell whether the person may change receivers, rotas and policies of the subtree."""
        return self.person.has(Role.ADMIN)

    def may_manage_calendar(self) -> bool:
        """Tell whether the person may change holidays, which hold for all."""
        return self.person.has(Role.ADMIN) and self.person.scope.count("/") == _ROOT_SLASHES


class Office:
    """Opens views and reads settings."""

    def __init__(self, web: RoomWeb, desk: Desk) -> None:
        """Use the pool and clock of `web`, the frame of `desk`."""
        self.web = web
        self.desk = desk
        found = web.options.get("notify")
        self.config = found if isinstance(found, NotifyConfig) else NotifyConfig()

    @contextmanager
    def view(self, person: Person) -> Iterator[tuple[View, dict[str, Any]]]:
        """Yield what a person sees, and the frame of a page."""
        with self.desk.reading(person) as (_, now_ms, frame), self.connection() as connection:
            scope = {"scope": person.scope}
            with connection.cursor(row_factory=class_row(Node)) as cursor:
                nodes = tuple(cursor.execute(_QUERIES["page_organisations"], scope).fetchall())
                above = tuple(cursor.execute(_QUERIES["page_above"], scope).fetchall())
            with connection.cursor(row_factory=dict_row) as rows:
                versions = {
                    (row["subject"], row["code"]): (row["version"], row["organisation_id"])
                    for row in rows.execute(_QUERIES["page_versions"])
                }
            directory = read_directory(connection, now_ms)
            yield View(connection, person, nodes, above, directory, versions, now_ms), frame

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Yield a connection acting as hanlu_alerts; what was written is kept when the block ends well."""
        with translated(), self.web.pool.connection() as connection:
            yield connection

    def audit(self, person: Person, action: str, subject: str, **detail: Any) -> None:
        """Write the audit."""
        self.web.audit(person.person_id, f"alerts.{action}", subject, detail)


Form = Mapping[str, tuple[str, ...]]
"""Field -> its values."""


async def form_of(request: Request) -> Form:
    """Return the text fields of a form; a dependency, so that pages themselves stay ordinary functions."""
    form = await request.form()
    fields: dict[str, list[str]] = {}
    for name, value in form.multi_items():
        if isinstance(value, str):
            fields.setdefault(name, []).append(value.strip())
    return {name: tuple(values) for name, values in fields.items()}


def one(form: Form, name: str, default: str = "") -> str:
    """Return the first value of a field."""
    return form.get(name, (default,))[0]


def codes(form: Form, name: str) -> tuple[str, ...]:
    """Return the words of a field, separated by commas, blanks or new lines."""
    text = one(form, name)
    for mark in ",，、;；\n\r\t":
        text = text.replace(mark, " ")
    return tuple(text.split())


def sentence(error: UsageError | ConflictError | ValidationError, lang: str) -> str:
    """Return what is wrong with a form, in one line, in "zh" or "en"."""
    if isinstance(error, ConflictError):
        return Fault("people.fault.changed").text(lang)
    if isinstance(error, ValidationError):
        error = form_error(error)
    return error.text(lang) if isinstance(error, FormError) else str(error)
