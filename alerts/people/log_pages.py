"""The log of messages: state, every attempt, and what the channel said."""

from __future__ import annotations

from itertools import groupby
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from psycopg.rows import dict_row, scalar_row
from starlette.responses import Response

from hanlu.alerts.people.office import Office
from hanlu.alerts.people.read import list_messages
from hanlu.db.pool import Connection
from hanlu.db.queries import load_queries
from hanlu.registry.access import Person, Role

__all__ = ["add_log_pages", "count_untold"]

PER_PAGE = 40
_QUERIES = load_queries("hanlu.alerts.people")


def add_log_pages(routes: APIRouter, office: Office) -> None:
    """Add the page."""
    operator = Depends(office.web.require(Role.OPERATOR))

    @routes.get("/console/people/log")
    def messages(
        request: Request,
        person: Person = operator,
        state: Annotated[str, Query(pattern="^(|waiting|sending|sent|failed|dropped)$")] = "",
        receiver: Annotated[str, Query(max_length=40)] = "",
        before: Annotated[int | None, Query(ge=1)] = None,
    ) -> Response:
        with office.view(person) as (view, frame), view.connection.cursor(row_factory=dict_row) as cursor:
            found = list_messages(
                view.connection, person.scope, state=state or None, receiver=receiver or None, before=before,
                limit=PER_PAGE + 1,
            )  # fmt: skip
            shown = found[:PER_PAGE]
            ids = {"notification_ids": [each["notification_id"] for each in shown]}
            attempts = cursor.execute(_QUERIES["page_attempts"], ids).fetchall()
            in_order = sorted(attempts, key=lambda each: each["notification_id"])
            context = {
                "messages": shown,
                "attempts": {
                    key: list(group) for key, group in groupby(in_order, lambda each: each["notification_id"])
                },
                "state": state,
                "receiver": receiver,
                "receivers": view.receivers,
                "older": shown[-1]["notification_id"] if len(found) > PER_PAGE else None,
            }
        return office.desk.render(request, "alerts/people_log.html", frame | context)


def count_untold(connection: Connection, scope: str) -> int:
    """Return how many alarms of a subtree call right now and nobody was told for want of a name."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        found: int | None = cursor.execute(_QUERIES["page_untold"], {"scope": scope}).fetchone()
    return found or 0
