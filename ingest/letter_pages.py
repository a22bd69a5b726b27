"""Pages over the dead letters: the list with filters and counts, one letter with its bytes, replay and close.

Needs the role operator, and shows the person's subtree only; letters that name no known gateway are for those who see
the whole tree. The router's pool acts as hanlu_ingest. Option of `RoomWeb`: `database_url`, through which a replay
opens a connection of its own.
"""

from __future__ import annotations

from contextlib import closing
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, Query, Request
from starlette.responses import RedirectResponse, Response

from hanlu.core.errors import NotFoundError, UsageError
from hanlu.core.rejected import Reason
from hanlu.db.pool import translated
from hanlu.ingest.directory import read_snapshot
from hanlu.ingest.keeper_config import KeeperConfig
from hanlu.ingest.letter_read import (
    preview,
    read_body,
    read_codes,
    read_counts,
    read_letter,
    read_letters,
    read_replays,
)
from hanlu.ingest.letters import Replayer
from hanlu.registry.access import Person, Role
from hanlu.registry.web import RoomWeb

__all__ = ["router"]

LETTERS_PER_PAGE: Final = 50
COUNTS_SHOWN: Final = 100
REPLAYED_AT_ONCE: Final = 200
"""Letters one press of the button tries; a longer list asks to press again, or for `hanlu letters replay`."""

Filter = Annotated[str, Query(max_length=60)]
State = Annotated[str, Query(pattern="^(open|resolved|all)$")]
_OPEN: Final = {"open": True, "resolved": False, "all": None}
_REASONS: Final = tuple(reason.value for reason in Reason)


def router(web: RoomWeb) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(prefix="/console/letters", include_in_schema=False)
    _add_pages(routes, web)
    _add_actions(routes, web)
    return routes


def _add_pages(routes: APIRouter, web: RoomWeb) -> None:
    operator = Depends(web.require(Role.OPERATOR))

    @routes.get("")
    def letters(
        request: Request,
        person: Person = operator,
        gateway: Filter = "",
        reason: Filter = "",
        state: State = "open",
        before: Annotated[int | None, Query(ge=1, le=2**62)] = None,
    ) -> Response:
        with translated(), web.pool.connection() as connection:
            codes = read_codes(connection, person.scope)
            found = read_letters(
                connection, LETTERS_PER_PAGE + 1, gateway=gateway or None, reason=reason or None,
                open_only=_OPEN[state], before=before, codes=codes,
            )  # fmt: skip
            counts = read_counts(connection, COUNTS_SHOWN, codes)
        context = {
            "letters": found[:LETTERS_PER_PAGE],
            "more": found[LETTERS_PER_PAGE - 1].dead_letter_id if len(found) > LETTERS_PER_PAGE else None,
            "counts": counts,
            "chosen": {"gateway": gateway, "reason": reason, "state": state},
            "reasons": _REASONS,
            "at_once": REPLAYED_AT_ONCE,
        }
        return _render(web, request, "ingest/letters.html", context)

    @routes.get("/{letter}")
    def letter(request: Request, letter: int, person: Person = operator, outcome: Filter = "") -> Response:
        with translated(), web.pool.connection() as connection:
            found = read_letter(connection, letter, read_codes(connection, person.scope))
            if found is None:
                raise NotFoundError(f"there is no dead letter {letter}")
            body, replays = read_body(connection, letter), read_replays(connection, letter)
        context = {"letter": found, "shown": preview(body), "replays": replays, "tried": outcome, "reasons": _REASONS}
        return _render(web, request, "ingest/letter.html", context)


def _add_actions(routes: APIRouter, web: RoomWeb) -> None:
    operator = Depends(web.require(Role.OPERATOR))

    @routes.post("/replay")
    def replay_many(
        person: Person = operator,
        gateway: Annotated[str, Form(max_length=60)] = "",
        reason: Annotated[str, Form(max_length=60)] = "",
    ) -> Response:
        if not gateway:
            raise UsageError("choose a gateway whose letters are to be replayed")
        with translated(), web.pool.connection() as connection:
            found = read_letters(
                connection, REPLAYED_AT_ONCE, gateway=gateway, reason=reason or None, open_only=True,
                codes=read_codes(connection, person.scope),
            )  # fmt: skip
        _replay(web, person, [each.dead_letter_id for each in found])
        return RedirectResponse(
            f"/console/letters?{urlencode({'gateway': gateway, 'reason': reason, 'state': 'all'})}", status_code=303
        )

    @routes.post("/{letter}/replay")
    def replay_one(letter: int, person: Person = operator) -> Response:
        _demand(web, person, letter)
        outcomes = _replay(web, person, [letter])
        return RedirectResponse(f"/console/letters/{letter}?outcome={outcomes[0] or 'not_open'}", status_code=303)

    @routes.post("/{letter}/close")
    def close_one(letter: int, person: Person = operator) -> Response:
        _demand(web, person, letter)
        with closing(_replayer(web)) as replayer:
            done = replayer.close_letter(letter)
        if done:
            web.audit(person.person_id, "ingest.letter.close", f"dead letter {letter}", {})
        return RedirectResponse(f"/console/letters/{letter}", status_code=303)


def _demand(web: RoomWeb, person: Person, letter: int) -> None:
    with translated(), web.pool.connection() as connection:
        if read_letter(connection, letter, read_codes(connection, person.scope)) is None:
            raise NotFoundError(f"there is no dead letter {letter}")


def _replay(web: RoomWeb, person: Person, letters: list[int]) -> list[str | None]:
    """Try letters again with the registry as it is now, and note in the audit who said so."""
    with closing(_replayer(web)) as replayer:
        snapshot = read_snapshot(replayer.connection)
        outcomes = [replayer.replay(each, snapshot, web.clock.now_ms(), person.login) for each in letters]
    for each, outcome in zip(letters, outcomes, strict=True):
        web.audit(person.person_id, "ingest.letter.replay", f"dead letter {each}", {"outcome": outcome or "not_open"})
    return outcomes


def _replayer(web: RoomWeb) -> Replayer:
    return Replayer(web.options["database_url"], KeeperConfig().unapproved_channels)


def _render(web: RoomWeb, request: Request, template: str, context: dict[str, Any]) -> Response:
    return web.pages.render(request, template, context)
