"""The EPCIS 2.0 REST binding, as far as field apps and partners need it: capture, jobs, single events, queries.

Below ``/api/epcis``. Captures are answered when they are done, with the job's address as the standard wants it. Errors
are problem documents with the standard's exception types.

Source: EPCIS 2.0 REST binding (openapi): POST /capture, GET /capture/{id}, POST /events, GET /events, GET /events/{id};
RFC 9457 (problem details).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Depends, Request
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from hanlu.core.clock import from_ms
from hanlu.core.errors import NotFoundError, UsageError
from hanlu.db.queries import load_queries
from hanlu.registry.access import Person, Role
from hanlu.registry.web import RoomWeb
from hanlu.trace.capture import Behaviour, Captured, LimitError, capture_document
from hanlu.trace.config import CaptureConfig, CurveConfig
from hanlu.trace.epcis.checker import Problem
from hanlu.trace.epcis.rules import EVENT_TYPES
from hanlu.trace.event_query import EventQuery, events_called, events_page, query_document

__all__ = ["PREFIX", "router"]

_SQL = load_queries("hanlu.trace")

PREFIX: Final = "/api/epcis"
"""Where the binding's paths begin."""

_JSON_TYPES = frozenset({"application/json", "application/ld+json"})
_BEHAVIOURS: Final[dict[str, Behaviour]] = {"rollback": "rollback", "proceed": "proceed"}
_STATUS: Final = {
    "ValidationException": 400,
    "QueryParameterException": 400,
    "NoSuchResourceException": 404,
    "ResourceAlreadyExistsException": 409,
    "CaptureLimitExceededException": 413,
    "UnsupportedMediaTypeException": 415,
}
"""Status of each exception. Source: openapi of the REST binding, responses."""

_MOST_ERRORS = 200


class _ApiError(Exception):
    """A request that is answered with a problem document."""

    def __init__(self, exception: str, detail: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(detail)
        self.exception, self.detail, self.problems = exception, detail, problems


def router(web: RoomWeb) -> APIRouter:
    """Return the routes; `web.options` may carry `capture` (CaptureConfig) and `curve` (CurveConfig)."""
    routes = APIRouter(prefix=PREFIX, tags=["EPCIS 2.0"])
    desk = _Desk(web)
    member = Depends(web.require(Role.OPERATOR, Role.INSPECTOR))

    @routes.post("/capture", status_code=202, summary="Capture an EPCIS document")
    async def capture(request: Request, person: Person = member) -> Response:
        return await _answered(desk, request, lambda body: desk.capture(request, person, body))

    @routes.get("/capture/{capture_id}", summary="What became of a capture")
    def job(capture_id: str, person: Person = member) -> Response:
        return _guarded(lambda: desk.job(capture_id))

    @routes.post("/events", status_code=201, summary="Capture one event")
    async def event(request: Request, person: Person = member) -> Response:
        return await _answered(desk, request, lambda body: desk.event(person, body))

    @routes.get("/events", summary="Query events")
    def events(request: Request, person: Person = member) -> Response:
        return _guarded(lambda: desk.events(request))

    @routes.get("/events/{event_id:path}", summary="An event by its eventID or hash")
    def one(event_id: str, person: Person = member) -> Response:
        return _guarded(lambda: desk.one(event_id))

    return routes


async def _answered(desk: _Desk, request: Request, handle: Any) -> Response:
    """Read the body within its limit, then work on it in a thread."""
    try:
        body = await desk.body(request)
        return await run_in_threadpool(_guarded, lambda: handle(body))
    except _ApiError as error:
        return _problem(error)


def _guarded(handle: Any) -> Response:
    """Run a handler; its errors become problem documents."""
    try:
        response: Response = handle()
    except _ApiError as error:
        return _problem(error)
    except UsageError as error:
        return _problem(_ApiError("QueryParameterException", str(error)))
    except NotFoundError as error:
        return _problem(_ApiError("NoSuchResourceException", str(error)))
    except LimitError as error:
        return _problem(_ApiError("CaptureLimitExceededException", str(error)))
    return response


def _error(exception: str, detail: str) -> dict[str, Any]:
    return {
        "type": f"epcisException:{exception}",
        "title": exception,
        "status": _STATUS[exception],
        "detail": detail,
    }


def _problem(error: _ApiError) -> Response:
    body = _error(error.exception, error.detail)
    if error.problems:
        body["errors"] = [{"path": each.path, "message": each.message} for each in error.problems[:_MOST_ERRORS]]
    return JSONResponse(
        body, _STATUS[error.exception], media_type="application/problem+json", headers={"Cache-Control": "no-store"}
    )


class _Desk:
    """The handlers."""

    def __init__(self, web: RoomWeb) -> None:
        self._web = web
        self._capture: CaptureConfig = web.options.get("capture") or CaptureConfig()
        self._curve: CurveConfig = web.options.get("curve") or CurveConfig()

    async def body(self, request: Request) -> bytes:
        """Return the request's body, read no further than its limit."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in _JSON_TYPES:
            raise _ApiError("UnsupportedMediaTypeException", "send application/json or application/ld+json")
        taken = bytearray()
        async for piece in request.stream():
            taken += piece
            if len(taken) > self._capture.max_body_bytes:
                raise _ApiError(
                    "CaptureLimitExceededException", f"more than {self._capture.max_body_bytes} bytes in one request"
                )
        return bytes(taken)

    def _store(self, person: Person, body: bytes, behaviour: Behaviour) -> Captured:
        with self._web.pool.connection() as connection:
            return capture_document(
                connection,
                body,
                source=f"rest:{person.login}",
                evidence=0,
                now_ms=self._web.clock.now_ms(),
                capture=self._capture,
                curve=self._curve,
                behaviour=behaviour,
            )

    def capture(self, request: Request, person: Person, body: bytes) -> Response:
        """Capture a document and answer with the address of its job."""
        asked = request.headers.get("gs1-capture-error-behaviour", "rollback").lower()
        if asked not in _BEHAVIOURS:
            raise _ApiError("ValidationException", "GS1-Capture-Error-Behaviour is rollback or proceed")
        if _kind(body) is None:
            raise _ApiError("ValidationException", "the body is no JSON object")
        created_ms = self._web.clock.now_ms()
        done = self._store(person, body, _BEHAVIOURS[asked])
        capture_id = secrets.token_urlsafe(16)
        errors = [_error("ValidationException", str(each)) for each in done.problems[:_MOST_ERRORS]]
        values = {
            "capture_id": capture_id,
            "source": f"rest:{person.login}",
            "behaviour": asked,
            "created_at": from_ms(created_ms),
            "finished_at": from_ms(self._web.clock.now_ms()),
            "success": done.success,
            "captured": len(done.hashes),
            "duplicate": len(done.known),
            "errors": Jsonb(errors),
        }
        with self._web.pool.connection() as connection:
            connection.execute(_SQL["capture_job_insert"], values)
        headers = {
            "Location": f"{PREFIX}/capture/{capture_id}",
            "GS1-EPCIS-Capture-Limit": str(self._capture.max_events),
            "GS1-EPCIS-Capture-File-Size-Limit": str(self._capture.max_body_bytes),
        }
        return Response(status_code=202, headers=headers)

    def job(self, capture_id: str) -> Response:
        """Answer what became of a capture."""
        with self._web.pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
            row = cursor.execute(_SQL["capture_job"], {"capture_id": capture_id}).fetchone()
        if row is None:
            raise NotFoundError(f"there is no capture {capture_id}")
        return JSONResponse(
            {
                "captureID": row["capture_id"],
                "createdAt": row["created_at"].isoformat(timespec="milliseconds"),
                "finishedAt": row["finished_at"].isoformat(timespec="milliseconds"),
                "running": False,
                "success": row["success"],
                "captureErrorBehaviour": row["behaviour"],
                "captured": row["captured"],
                "duplicate": row["duplicate"],
                "errors": row["errors"],
            }
        )

    def event(self, person: Person, body: bytes) -> Response:
        """Capture one event and answer with its address, or say that it is there already."""
        if _kind(body) not in EVENT_TYPES:
            raise _ApiError("ValidationException", "the body is one event; documents go to /capture")
        done = self._store(person, body, "rollback")
        if done.problems:
            raise _ApiError("ValidationException", str(done.problems[0]), done.problems)
        if done.known:
            raise _ApiError("ResourceAlreadyExistsException", f"{done.known[0]} is captured already")
        return Response(status_code=201, headers={"Location": f"{PREFIX}/events/{quote(done.hashes[0], safe='')}"})

    def events(self, request: Request) -> Response:
        """Answer a query with one page."""
        pairs = request.query_params.multi_items()
        given: Mapping[str, str] = dict(pairs)
        if len(given) != len(pairs):
            raise UsageError("a parameter is given twice; separate the entries of a list by |")
        query = EventQuery.from_parameters(given)
        with self._web.pool.connection() as connection:
            page = events_page(connection, query)
        headers = {}
        if page.next_token is not None:
            more = urlencode({**given, "nextPageToken": page.next_token})
            headers["Link"] = f'<{PREFIX}/events?{more}>; rel="next"'
        return self._document(page.documents, headers)

    def one(self, event_id: str) -> Response:
        """Answer with one event, and the declaration that takes it back if there is one."""
        with self._web.pool.connection() as connection:
            found = events_called(connection, event_id)
        if not found:
            raise NotFoundError(f"there is no event {event_id}")
        return self._document(found, {})

    def _document(self, documents: Sequence[bytes], headers: Mapping[str, str]) -> Response:
        body = query_document(documents, self._web.clock.now_ms())
        return Response(body, media_type="application/ld+json", headers={**headers, "GS1-EPCIS-Version": "2.0.0"})


def _kind(body: bytes) -> object:
    """Return the type a body claims; None when it is no JSON object."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document.get("type") if isinstance(document, dict) else None
