"""The history of readings over HTTP: curves, pages, newest values and files.

Everything is limited to the person's subtree; what lies outside of it is not there. Times are Unix milliseconds UTC in
answers, and either these or ISO 8601 with an offset in questions. Options of `RoomWeb`: none; its pool acts as
`hanlu_reader`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response, StreamingResponse

from hanlu.core.errors import TransientError, UsageError
from hanlu.db.pool import translated
from hanlu.ingest.history import ask
from hanlu.ingest.history.answers import LatestAnswer, ReadingsAnswer
from hanlu.ingest.history.export import Format, export
from hanlu.ingest.history.plan import Resolution, mark, span
from hanlu.ingest.history.read import Channel, Read
from hanlu.registry.access import Person, Role
from hanlu.registry.web import RoomWeb

__all__ = ["EXPORTS_AT_ONCE", "MOST_EXPORTED_CHANNELS", "router"]

EXPORTS_AT_ONCE: Final = 2
"""Files written at the same time by one process; each keeps a connection of the pool busy."""

MOST_EXPORTED_CHANNELS: Final = 20_000
"""Channels of one file at most; a county has some 600."""

Channels = Annotated[
    list[str],
    Query(
        max_length=50,
        description="number of a channel, or its gateway/device/metric; up to 50, each as a parameter of its own",
        examples=[["gw-1/room-1/air_temperature"]],
    ),
]
Instant = Annotated[
    str | None,
    Query(max_length=40, description="ISO 8601 with offset, e.g. 2026-03-01T08:00:00+08:00, or Unix milliseconds"),
]
Begin = Annotated[Instant, Query(alias="from")]
End = Annotated[Instant, Query(alias="to")]
Code = Annotated[str | None, Query(pattern=r"^[^\x00]{1,80}$", description="code")]
Fineness = Annotated[
    Resolution | None,
    Query(description="raw, hour or day (of China time); without it the finest that is quick for the span"),
]


def router(web: RoomWeb) -> APIRouter:
    """Return the routes, below `/api`."""
    routes = APIRouter(prefix="/api", tags=["readings"])
    _add_readings(routes, web)
    _add_latest(routes, web)
    _add_export(routes, web)
    return routes


def _add_readings(routes: APIRouter, web: RoomWeb) -> None:
    member = Depends(web.require(Role.OPERATOR, Role.INSPECTOR))

    @routes.get("/readings", response_model=ReadingsAnswer, summary="What channels measured in a span")
    def readings(
        channel: Channels,
        person: Person = member,
        begin: Begin = None,
        end: End = None,
        resolution: Fineness = None,
        points: Annotated[
            int | None,
            Query(
                ge=1,
                le=10_000,
                description="for a picture: about so many readings, hours or days of each channel, extremes kept",
            ),
        ] = None,
        after: Annotated[str | None, Query(max_length=40, description="`next` of the page before")] = None,
        limit: Annotated[int, Query(ge=1, le=50_000, description="readings of one page")] = 10_000,
    ) -> Response:
        """Curves and readings of one or more channels.

        With `points` the answer is a picture: readings thinned to the first, least, greatest and last of every stretch,
        or hours or days put together, whatever is quick for the span; the least and the greatest value measured are
        always among them. Without `points` and with `resolution=raw` every reading comes, page by page: give `next` as
        `after` until it is null. `from` is included, `to` is not; without them it is the last day.
        """
        asked = span(begin, end, web.clock.now_ms())
        start = None if after is None else mark(after)
        if start is not None and (points is not None or resolution is not Resolution.RAW):
            raise UsageError("`after` goes with resolution=raw and without `points`")
        with _reading(web, person) as read:
            channels = read.named(channel)
            if points is None and resolution is Resolution.RAW:
                answer = ask.readings(read, channels, asked, start, limit)
            else:
                answer = ask.picture(read, channels, asked, resolution, points)
        return _json(answer)


def _add_latest(routes: APIRouter, web: RoomWeb) -> None:
    member = Depends(web.require(Role.OPERATOR, Role.INSPECTOR))

    @routes.get("/latest", response_model=LatestAnswer, summary="The newest reading of channels")
    def newest(
        person: Person = member,
        site: Code = None,
        zone: Code = None,
        channel: Channels = [],  # noqa: B006 - FastAPI copies it
        after: Annotated[int, Query(ge=0, lt=2**31, description="`next` of the page before")] = 0,
        limit: Annotated[int, Query(ge=1, le=5_000, description="channels of one page")] = 1_000,
    ) -> Response:
        """The newest reading by observation time: of channels named, of a site, of a zone, or of all one may see."""
        with _reading(web, person) as read:
            if channel:
                if site or zone:
                    raise UsageError("name channels, or a site or zone, not both")
                channels, following = read.named(channel), None
            else:
                found = read.channels(site=site, zone=zone, after=after, limit=limit + 1)
                channels = found[:limit]
                following = channels[-1].channel_id if len(found) > limit else None
            answer = ask.latest(read, channels, web.clock.now_ms(), following)
        return _json(answer)


def _add_export(routes: APIRouter, web: RoomWeb) -> None:
    member = Depends(web.require(Role.OPERATOR, Role.INSPECTOR))
    slots = threading.BoundedSemaphore(EXPORTS_AT_ONCE)
    content = {each.media_type: {"schema": {"type": "string", "format": "binary"}} for each in Format}

    @routes.get(
        "/readings/export",
        response_class=StreamingResponse,
        responses={200: {"content": content, "description": "the file, as it is written"}},
        summary="Readings as a file",
    )
    def file(
        kind: Annotated[Format, Query(alias="format", description="csv (RFC 4180) or parquet")],
        person: Person = member,
        channel: Channels = [],  # noqa: B006 - FastAPI copies it
        site: Code = None,
        zone: Code = None,
        begin: Begin = None,
        end: End = None,
        resolution: Annotated[Resolution, Query(description="raw, hour or day (of China time)")] = Resolution.RAW,
        bom: Annotated[bool, Query(description="CSV: begin with a byte order mark, for Excel")] = False,
    ) -> StreamingResponse:
        """Everything channels, a site or a zone measured in a span, as a download of any length.

        Rows are in order of channel and time. `observed_at` is UTC, `china_time` the same instant by China's clocks.
        `from` is included, `to` is not; whole hours or days where these are asked for.
        """
        asked = span(begin, end, web.clock.now_ms())
        with _reading(web, person) as read:
            channels = _chosen(read, channel, site, zone)
        slot = _Slot(slots)
        subject = ", ".join(channel) or (f"site {site}" if site else f"zone {zone}")
        detail = {"from_ms": asked.from_ms, "to_ms": asked.to_ms, "format": kind.value, "channels": len(channels)}
        web.audit(person.person_id, "ingest.readings.export", subject[:200], detail)

        def body() -> Iterator[bytes]:
            with slot, _reading(web, person) as read:
                yield from export(read, channels, asked, resolution, kind, bom=bom)

        name = f"hanlu-readings-{asked.from_ms}-{asked.to_ms}.{kind.value}"
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
        return StreamingResponse(body(), media_type=kind.media_type, headers=headers)


def _chosen(read: Read, names: Sequence[str], site: str | None, zone: str | None) -> list[Channel]:
    """Return the channels of a file.

    Raises:
        UsageError: none are named or all, or there are too many.
        NotFoundError: a channel named is not there.
    """
    if sum((bool(names), site is not None, zone is not None)) != 1:
        raise UsageError("say what to export: channels, a site, or a zone")
    if names:
        return read.named(names)
    channels = read.channels(site=site, zone=zone, limit=MOST_EXPORTED_CHANNELS + 1)
    if len(channels) > MOST_EXPORTED_CHANNELS:
        raise UsageError(f"that is more than {MOST_EXPORTED_CHANNELS:,} channels: export it in parts")
    return channels


class _Slot:
    """A place among the files written now; given back when left, or when nobody began to read the file."""

    def __init__(self, slots: threading.BoundedSemaphore) -> None:
        if not slots.acquire(blocking=False):
            raise TransientError("other files are being written; try again in a while")
        self._slots: threading.BoundedSemaphore | None = slots

    def __enter__(self) -> None:
        """The place is taken already."""

    def __exit__(self, *_: object) -> None:
        self.__del__()

    def __del__(self) -> None:
        slots, self._slots = getattr(self, "_slots", None), None
        if slots is not None:
            slots.release()


@contextmanager
def _reading(web: RoomWeb, person: Person) -> Iterator[Read]:
    with translated(), web.pool.connection() as connection:
        # Every statement sees what is on record when it runs; none of them can write.
        connection.autocommit = True
        try:
            yield Read(connection, person.scope)
        finally:
            connection.autocommit = False


def _json(answer: ReadingsAnswer | LatestAnswer) -> Response:
    return Response(
        answer.model_dump_json(exclude_unset=True), media_type="application/json", headers={"Cache-Control": "no-store"}
    )
