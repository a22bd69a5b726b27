"""What a broker asks: may this client sign in, may it publish or subscribe there.

For EMQX 5: its HTTP authenticator and authorizer post JSON and read `{"result": "allow" | "deny"}`. An answer of
another status, or none, counts there as no opinion, so whatever cannot be understood is answered by a plain deny.
Asked with a shared secret, from the addresses of the settings only (this machine's by default).
Source: EMQX 5 documentation, Access Control: Use HTTP Service (authentication; authorization).
"""

from __future__ import annotations

import hmac
from ipaddress import ip_address
from typing import Any, Final, cast, get_args

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from hanlu.core.clock import Clock, from_ms
from hanlu.db.pool import Pool, translated
from hanlu.db.queries import load_queries
from hanlu.registry.broker_rules import Action, client_id_fits, gateway_may, password_matches, platform_may
from hanlu.registry.config import BrokerQuestions
from hanlu.registry.web import RoomWeb

__all__ = ["BrokerAnswers", "router"]

MAX_FIELD: Final = 1_000
"""Longest field looked at, characters; a topic of ours has 100 at most."""

_QUERIES = load_queries("hanlu.registry")


class BrokerAnswers:
    """Answers by the register as it is at this moment: a revoked gateway is refused from the next question on."""

    def __init__(self, pool: Pool, clock: Clock, questions: BrokerQuestions) -> None:
        """Use `pool`, whose connections act as `hanlu_registry`."""
        self._pool, self._clock, self._questions = pool, clock, questions

    def may_sign_in(self, user: str, password: str, client_id: str) -> bool:
        """Tell whether the password is the user's, and the client id not somebody else's."""
        if user == self._questions.platform_user:
            return password_matches(self._questions.platform_hash, password)
        with translated(), self._pool.connection() as connection:
            row = connection.execute(_QUERIES["broker_login"], {"code": user}).fetchone()
        _, stored, previous, previous_until = row or (None, None, None, None)
        right = password_matches(stored, password)
        if not right and previous_until is not None and previous_until > from_ms(self._clock.now_ms()):
            right = password_matches(previous, password)
        return right and client_id_fits(user, client_id)

    def may(self, user: str, action: Action, topic: str) -> bool:
        """Tell whether a signed-in user may publish to, or subscribe to, a topic."""
        if user == self._questions.platform_user:
            return platform_may(action, topic)
        with translated(), self._pool.connection() as connection:
            row = connection.execute(_QUERIES["partition_in_use"], {"code": user}).fetchone()
        return row is not None and gateway_may(user, row[0], action, topic)


def router(web: RoomWeb) -> APIRouter:
    """Return the routes below `/broker`."""
    questions: BrokerQuestions = web.options["questions"]
    answers = BrokerAnswers(web.pool, web.clock, questions)
    made = APIRouter(prefix="/broker", dependencies=[Depends(_guard(questions))], include_in_schema=False)

    @made.post("/emqx/authn")
    async def authn(request: Request) -> Response:
        asked = await _fields(request, "username", "password")
        if asked is None:
            return _answer(allowed=False)
        user, password = asked["username"], asked["password"]
        return _answer(allowed=await run_in_threadpool(answers.may_sign_in, user, password, asked.get("clientid", "")))

    @made.post("/emqx/authz")
    async def authz(request: Request) -> Response:
        asked = await _fields(request, "username", "action", "topic")
        if asked is None or asked["action"] not in get_args(Action):
            return _answer(allowed=False)
        action = cast("Action", asked["action"])
        return _answer(allowed=await run_in_threadpool(answers.may, asked["username"], action, asked["topic"]))

    return made


def _guard(questions: BrokerQuestions) -> Any:
    expected = None if questions.secret is None else f"Bearer {questions.secret}".encode()

    def asked_by_the_broker(request: Request) -> None:
        """Refuse whoever does not show the secret, and whoever asks from elsewhere, in the same words."""
        given = request.headers.get("authorization", "").encode()
        knows = expected is not None and hmac.compare_digest(given, expected)
        if not (knows and _is_near(request, questions)):
            raise HTTPException(401)

    return asked_by_the_broker


def _is_near(request: Request, questions: BrokerQuestions) -> bool:
    try:
        address = ip_address(request.client.host if request.client else "")
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return any(mapped in network for network in questions.networks)


async def _fields(request: Request, *needed: str) -> dict[str, str] | None:
    """Return the printable text fields of a JSON object, None when it is none or lacks a needed one."""
    try:
        body = await request.json()
    except ValueError:
        return None
    if not isinstance(body, dict):
        return None
    texts = {k: v for k, v in body.items() if isinstance(v, str) and len(v) <= MAX_FIELD and v.isprintable()}
    return texts if all(texts.get(name) for name in needed) else None


def _answer(*, allowed: bool) -> Response:
    return JSONResponse({"result": "allow" if allowed else "deny"} | ({"is_superuser": False} if allowed else {}))
