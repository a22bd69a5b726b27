"""The doors a gateway knocks at before anybody knows it: enrolling by token, renewing its key and password.

JSON in and out (core/wire/enrolment.py). Open to everybody by need; what guards them is the token of 158 bits, the
signature, and a limit of wrong tries per address. A refusal names its reason, which helps only who holds the token.
"""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from hanlu import __version__
from hanlu.core.wire.enrolment import BrokerAccess, Challenge, Enrolled, EnrolRequest, RenewRequest
from hanlu.registry.audit import Audit
from hanlu.registry.config import BrokerPlace
from hanlu.registry.enrolment import Enrolments, Granted, NotGranted
from hanlu.registry.web import RoomWeb

__all__ = ["REFUSALS", "router"]

REFUSALS: Final = {
    "unknown": "there is no such token, or the key is not in force here: ask for a new token",
    "signature": "the signature does not fit the key",
    "expired": "this has expired: ask for a new token",
    "withdrawn": "the token was withdrawn, or replaced by a newer one",
    "spent": "the token was used by another key: if that was not you, have the gateway revoked and ask for a new token",
    "revoked": "this key or gateway was revoked: move the key file away and enrol with a new token",
    "foreign": "this key belongs to another gateway: move the key file away, so that a new one is made",
    "wait": "too many wrong tries from this address: wait",
}
"""What each reason of `NotGranted` tells the person at the gateway."""


def router(web: RoomWeb) -> APIRouter:
    """Return the routes below `/api/enrol`."""
    made = APIRouter(prefix="/api/enrol")
    place: BrokerPlace = web.options["broker"]
    enrolments = Enrolments(
        web.pool,
        web.clock,
        Audit(web.pool, web.clock),
        web.options["door"],
        web.options["enrolment"],
        web.options["signin"],
    )

    def answer(outcome: Granted | NotGranted) -> Response:
        if isinstance(outcome, NotGranted):
            return _refusal(outcome)
        access = BrokerAccess(
            host=place.host,
            port=place.port,
            tls=place.tls,
            ca_pem=place.ca_pem,
            username=outcome.gateway,
            password=outcome.password,
        )
        enrolled = Enrolled(
            gateway=outcome.gateway,
            partition=outcome.partition,
            kid=outcome.kid.hex(),
            broker=access,
            old_key_until_ms=outcome.old_key_until_ms,
            now_ms=web.clock.now_ms(),
            platform=web.public_url,
            software=__version__,
        )
        return JSONResponse(enrolled.model_dump(mode="json"))

    @made.post("")
    def enrol(request: Request, asked: EnrolRequest) -> Response:
        return answer(enrolments.enrol(asked, _address(request)))

    @made.post("/challenge")
    def challenge() -> Challenge:
        return Challenge(challenge=enrolments.challenges.give(), expires_in_s=enrolments.challenges.lifetime_s)

    @made.post("/renew")
    def renew(request: Request, asked: RenewRequest) -> Response:
        return answer(enrolments.renew(asked, _address(request)))

    return made


def _refusal(outcome: NotGranted) -> Response:
    status = 429 if outcome.reason == "wait" else 403
    body = {
        "type": "about:blank",
        "title": "not enrolled",
        "status": status,
        "detail": REFUSALS[outcome.reason],
        "reason": outcome.reason,
    }
    headers = {"Retry-After": str(outcome.retry_after_s)} if outcome.retry_after_s else None
    return JSONResponse(body, status, headers=headers, media_type="application/problem+json")


def _address(request: Request) -> str:
    return request.client.host if request.client else ""
