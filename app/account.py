"""Signing in and out, and one's own password."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Form, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from hanlu.app.auth import Auth
from hanlu.app.pages import HtmlPages
from hanlu.registry.access import Person, Role
from hanlu.registry.passwords import weakness
from hanlu.registry.people import People
from hanlu.registry.signin import Refused, token_hash

__all__ = ["home_of", "me_router", "safe_next", "session_router"]

MAX_NEXT: Final = 2000
"""Longest address one is sent back to after signing in, characters."""


_REALM: Final = {"WWW-Authenticate": 'Cookie realm="hanlu"'}


def safe_next(address: str) -> str | None:
    r"""Return `address` when it leads to a page of this site, else None.

    Browsers read `//host`, `/\host` and control characters as ways out (OWASP ASVS v5.0.0 3.7.2), so only a path of
    printable characters passes.
    """
    leads_here = address.startswith("/") and not address.startswith(("//", "/\\"))
    return address if leads_here and address.isprintable() and len(address) <= MAX_NEXT else None


def home_of(person: Person) -> str:
    """Return the page a person works on."""
    return "/console" if person.has(Role.OPERATOR) else "/inspect"


def session_router(pages: HtmlPages, auth: Auth) -> APIRouter:
    """Return the routes `/signin` and `/signout`."""
    router = APIRouter()
    anyone = Depends(auth.require())

    @router.get("/signin")
    async def sign_in_page(request: Request, next: str = "", ended: str = "") -> Response:  # noqa: A002 - its name in the URL
        person = await auth.person(request)
        if person is not None:
            return RedirectResponse(safe_next(next) or home_of(person), status_code=303)
        context = {"next": safe_next(next) or "", "login": "", "error": "", "wait_s": 0, "ended": bool(ended)}
        response = await run_in_threadpool(pages.render, request, "signin.html", context)
        if auth.cookie in request.cookies:
            auth.close(response)
        return response

    @router.post("/signin")
    def sign_in(
        request: Request,
        login: Annotated[str, Form()] = "",
        password: Annotated[str, Form()] = "",
        next: Annotated[str, Form()] = "",  # noqa: A002
    ) -> Response:
        outcome = auth.sign_in.attempt(login, password, _address(request))
        target = safe_next(next)
        if isinstance(outcome, Refused):
            status = 401 if outcome.reason == "wrong" else 429
            context = {"next": target or "", "login": login[:64], "ended": False}
            context |= {"error": outcome.reason, "wait_s": outcome.retry_after_s}
            response = pages.render(request, "signin.html", context, status=status)
            response.headers.update(_REALM if status == 401 else {"Retry-After": str(outcome.retry_after_s)})
            return response
        held = request.cookies.get(auth.cookie)
        if held:
            auth.sign_in.end(held)  # a session never changes hands
        person = auth.sign_in.person(outcome.token)
        assert person is not None
        response = RedirectResponse(target or home_of(person), status_code=303)
        auth.open(response, outcome)
        return response

    @router.post("/signout")
    def sign_out(request: Request, person: Person = anyone) -> Response:
        auth.sign_in.end(request.cookies[auth.cookie])
        response = RedirectResponse("/", status_code=303)
        auth.close(response)
        return response

    return router


def me_router(pages: HtmlPages, auth: Auth, people: People) -> APIRouter:
    """Return the route `/me`: who one is here, and one's own password."""
    router = APIRouter()
    anyone = Depends(auth.require())

    @router.get("/me")
    def me(request: Request, person: Person = anyone) -> Response:
        return pages.render(request, "me.html", {"error": "", "wait_s": 0, "done": False})

    @router.post("/me")
    def change_password(
        request: Request,
        person: Person = anyone,
        old: Annotated[str, Form()] = "",
        new: Annotated[str, Form()] = "",
        again: Annotated[str, Form()] = "",
    ) -> Response:
        error: str = weakness(new, person.login) or ("differs" if new != again else "")
        refused = None if error else auth.sign_in.confirm(person, old, _address(request))
        if refused is None and not error:
            people.change_password(person, new, token_hash(request.cookies[auth.cookie]))
            return pages.render(request, "me.html", {"error": "", "wait_s": 0, "done": True})
        if refused is not None:
            error = refused.reason
        wait_s = refused.retry_after_s if refused else 0
        context = {"error": error, "wait_s": wait_s, "done": False}
        return pages.render(request, "me.html", context, status=429 if wait_s else 422)

    return router


def _address(request: Request) -> str:
    """Return the network address a request came from (behind a trusted proxy the one it names)."""
    return request.client.host if request.client else ""
