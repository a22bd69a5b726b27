"""Who is asking: the session cookie, the roles a page demands, and the token of changing requests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from hanlu.app.problems import SignInNeeded
from hanlu.core.clock import Clock
from hanlu.core.errors import PermissionDeniedError
from hanlu.registry.access import Person, Role
from hanlu.registry.audit import Audit
from hanlu.registry.signin import Opened, SignIn, csrf_matches

__all__ = ["Auth"]

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_NOTES_A_MINUTE: Final = 30
"""Refusals written to the audit in a minute at most: a flood of forged cookies must not fill the disk."""


class Auth:
    """Finds and demands the signed-in person of a request."""

    def __init__(self, sign_in: SignIn, audit: Audit, clock: Clock, *, secure: bool) -> None:
        """Use the given services.

        Args:
            sign_in: sessions.
            audit: where refusals are noted.
            clock: for the limit of notes.
            secure: we are reached by HTTPS: the cookie goes nowhere else and binds to this host (RFC 6265bis 4.1.3).
        """
        self.sign_in = sign_in
        self._audit = audit
        self._clock = clock
        self._secure = secure
        self._minute, self._notes = -1, 0
        self.cookie = "__Host-hanlu" if secure else "hanlu"

    async def person(self, request: Request) -> Person | None:
        """Return who is signed in, None when nobody is; the page rendered for this request knows it too."""
        if not hasattr(request.state, "person"):
            token = request.cookies.get(self.cookie, "")
            request.state.person = await run_in_threadpool(self._person_of, token) if token else None
        found: Person | None = request.state.person
        return found

    def require(self, *roles: Role) -> Callable[[Request], Awaitable[Person]]:
        """Make a dependency that returns the signed-in person, who has one of `roles` (any, when none is named).

        It raises `SignInNeeded`, or PermissionDeniedError for another role or a missing request token.
        """

        async def signed_in(request: Request) -> Person:
            person = await self.person(request)
            if person is None:
                raise SignInNeeded(ended=self.cookie in request.cookies)
            where = f"{request.method} {request.url.path}"
            if roles and not any(person.has(role) for role in roles):
                await run_in_threadpool(self.note, person.person_id, "registry.access.refuse", where[:200])
                raise PermissionDeniedError("app.role")
            if request.method not in _SAFE and not csrf_matches(await _request_token(request), person.csrf):
                await run_in_threadpool(self.note, person.person_id, "registry.request.forged", where[:200])
                raise PermissionDeniedError("app.token")
            return person

        return signed_in

    def open(self, response: Response, opened: Opened) -> None:
        """Set the cookie of a fresh session."""
        response.set_cookie(
            self.cookie, opened.token, max_age=opened.max_age_s, httponly=True, samesite="lax", secure=self._secure
        )

    def close(self, response: Response) -> None:
        """Take the cookie back."""
        response.delete_cookie(self.cookie, httponly=True, samesite="lax", secure=self._secure)

    def note(self, person_id: int | None, action: str, subject: str) -> None:
        """Write a refusal to the audit, unless there were very many this minute."""
        minute = int(self._clock.monotonic() // 60)
        if minute != self._minute:
            self._minute, self._notes = minute, 0
        self._notes += 1
        if self._notes <= _NOTES_A_MINUTE:
            detail = {"more_unwritten": True} if self._notes == _NOTES_A_MINUTE else {}
            self._audit.write(person_id, action, subject, detail)

    def _person_of(self, token: str) -> Person | None:
        person = self.sign_in.person(token)
        if person is None and self.sign_in.is_forged(token):
            self.note(None, "registry.session.forged", "")
        return person


async def _request_token(request: Request) -> str:
    """Return the token from the header, or from the form; a body of another type carries it in the header only."""
    given = request.headers.get("x-csrf")
    if given is not None:
        return given
    kind = request.headers.get("content-type", "").lower()
    if not kind.startswith(("application/x-www-form-urlencoded", "multipart/form-data")):
        return ""
    field = (await request.form()).get("csrf", "")
    return field if isinstance(field, str) else ""
