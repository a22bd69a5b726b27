"""The gateway pages of administrators: the list, adding one, its token, its password, its end.

A token or password is in the answer that made it and nowhere else.
"""

from __future__ import annotations

import base64
import shlex
from collections.abc import Callable
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import RedirectResponse, Response

from hanlu.core.clock import from_ms
from hanlu.core.errors import ConflictError, NotFoundError, UsageError
from hanlu.registry.access import Person, Role
from hanlu.registry.approval import Approvals
from hanlu.registry.audit import Audit
from hanlu.registry.config import BrokerPlace
from hanlu.registry.gateways import TOKEN_HOURS, Gateways, Token
from hanlu.registry.store import Registry
from hanlu.registry.web import RoomWeb

__all__ = ["enrol_command", "router"]

_NOT_ADDED: Final = {UsageError: ("unfit", 422), NotFoundError: ("site", 422), ConflictError: ("taken", 409)}
"""Why a gateway was not added: the word of the page, and the status."""


def enrol_command(server: str, token: str) -> str:
    """Return the line that is typed at the gateway."""
    return f"sudo hanlu enrol --server {shlex.quote(server)} --token {shlex.quote(token)}"


def router(web: RoomWeb) -> APIRouter:
    """Return the routes below `/admin/gateways`."""
    made = APIRouter(prefix="/admin/gateways", include_in_schema=False)
    audit = Audit(web.pool, web.clock)
    gateways = Gateways(web.pool, web.clock, audit, web.options["door"], web.options["enrolment"])
    registry, approvals = Registry(web.pool), Approvals(web.pool, web.clock, audit)
    place: BrokerPlace = web.options["broker"]
    qr: Callable[[str], bytes] = web.options["qr"]
    admin = Depends(web.require(Role.ADMIN))

    def listing_page(request: Request, by: Person, *, error: str = "", code: str = "", status: int = 200) -> Response:
        waiting = [each for each in approvals.waiting(by.scope) if not each.ignored]
        context = {
            "gateways": gateways.list(by.scope),
            "sites": registry.sites(by.scope),
            "waiting": len(waiting),
            "error": error,
            "typed": code,
        }
        return web.pages.render(request, "registry/gateways.html", context, status=status)

    def page(request: Request, by: Person, code: str, *, status: int = 200, **more: Any) -> Response:
        gateway = gateways.one(by.scope, code)
        waiting = [each for each in approvals.waiting(by.scope, code) if not each.ignored]
        context = {
            "gateway": gateway,
            "keys": gateways.keys(gateway),
            "channels": gateways.channels(gateway),
            "waiting": len(waiting),
            "place": place,
            "now": from_ms(web.clock.now_ms()),
            "hours": TOKEN_HOURS,
            "usual_hours": web.options["enrolment"].token_hours,
            "token": None,
            "command": "",
            "picture": "",
            "password": "",
            "error": "",
            "plain_http": web.public_url.startswith("http://"),
        }
        return web.pages.render(request, "registry/gateway.html", context | more, status=status)

    def token_page(request: Request, by: Person, token: Token) -> Response:
        command = enrol_command(web.public_url, token.token)
        picture = "data:image/svg+xml;base64," + base64.b64encode(qr(command)).decode()
        return page(request, by, token.gateway, token=token, command=command, picture=picture)

    @made.get("")
    def listing(request: Request, by: Person = admin) -> Response:
        return listing_page(request, by)

    @made.post("")
    def add(
        request: Request,
        code: Annotated[str, Form()] = "",
        site: Annotated[str, Form()] = "",
        by: Person = admin,
    ) -> Response:
        code = code.strip().lower()
        try:
            gateways.add(by, code, site)
        except (UsageError, NotFoundError, ConflictError) as error:
            word, status = _NOT_ADDED[type(error)]
            return listing_page(request, by, error=word, code=code[:80], status=status)
        return token_page(request, by, gateways.token(by, code))

    @made.get("/{code}")
    def one(request: Request, code: str, by: Person = admin) -> Response:
        return page(request, by, code)

    @made.post("/{code}/token")
    def make_token(request: Request, code: str, hours: Annotated[int, Form()], by: Person = admin) -> Response:
        return token_page(request, by, gateways.token(by, code, hours))

    @made.post("/{code}/password")
    def new_password(request: Request, code: str, by: Person = admin) -> Response:
        return page(request, by, code, password=gateways.new_password(by, code))

    @made.post("/{code}/revoke")
    def revoke(request: Request, code: str, again: Annotated[str, Form()] = "", by: Person = admin) -> Response:
        if again.strip().lower() != code:
            return page(request, by, code, error="again", status=422)
        gateways.revoke(by, code)
        return RedirectResponse(f"/admin/gateways/{code}", status_code=303)

    return made
