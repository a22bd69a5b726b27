"""Handover notes: what one shift tells the next about a site, signed by who leaves and by who takes over.

Nothing signed is ever changed: a correction is a new note that names the old one, and a note has at most one. The facts
(what stood open) are taken at the moment of signing and kept with the note, so that it can be read years later, when
the alarms are over and the rooms have other names. The tables hold both promises (unique keys, no right to update).

Source: GB 31605-2020 (cold stores: handover records); ISA-18.2 11.7 (shelved and out-of-service alarms are reviewed at
every change of shift).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from psycopg import errors
from psycopg.rows import class_row, scalar_row
from psycopg.types.json import Jsonb
from pydantic import BaseModel, ConfigDict

from hanlu.alerts.shift.read import Place, ShiftRead
from hanlu.core.clock import from_ms
from hanlu.core.errors import ConflictError, NotFoundError, UsageError
from hanlu.db.pool import Connection
from hanlu.db.queries import load_queries

__all__ = [
    "BODY_LENGTH",
    "REMARK_LENGTH",
    "AlarmFact",
    "Facts",
    "GatewayFact",
    "Note",
    "PointFact",
    "Site",
    "facts_of",
    "find_note",
    "find_site",
    "notes",
    "sign",
    "sites",
    "take_over",
]

BODY_LENGTH: Final = 4000
"""Most characters of a note; as alerts.handover."""
REMARK_LENGTH: Final = 500
"""Most characters beside the second signature; as alerts.handover_taken."""
LISTED: Final = 100
"""Most alarms, and points, kept with a note; how many more there were is told."""
EXPIRES_SOON_MS: Final = 12 * 3_600_000
"""A shelf that ends within a shift is pointed out."""

_QUERIES = load_queries("hanlu.alerts.shift")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AlarmFact(_Frozen):
    """An alarm that was not over; instants are Unix milliseconds UTC."""

    alarm_id: int
    kind: str
    priority: int
    process_state: str
    suppression_state: str
    raised_ms: int
    zone_zh: str
    zone_en: str
    metric: str

    def zone_name(self, lang: str) -> str:
        """Return the zone's name."""
        return self.zone_zh if lang == "zh" else self.zone_en


class PointFact(_Frozen):
    """A point somebody had suppressed."""

    channel_id: int
    kind: str
    state: str
    reason: str
    note: str
    actor: str
    expires_ms: int | None
    zone_zh: str
    zone_en: str
    metric: str

    def zone_name(self, lang: str) -> str:
        """Return the zone's name."""
        return self.zone_zh if lang == "zh" else self.zone_en


class GatewayFact(_Frozen):
    """A gateway that was not heard; `seen_ms` is its last word, None when there never was one."""

    code: str
    seen_ms: int | None


class Facts(_Frozen):
    """What stood open at `at_ms`; the totals also count what the lists leave out."""

    at_ms: int
    alarms: tuple[AlarmFact, ...]
    alarms_total: int
    points: tuple[PointFact, ...]
    points_total: int
    offline: tuple[GatewayFact, ...]

    def expires_soon(self, point: PointFact) -> bool:
        """Tell whether a point's suppression ends within a shift of `at_ms`."""
        return point.expires_ms is not None and point.expires_ms - self.at_ms < EXPIRES_SOON_MS


@dataclass(frozen=True, slots=True)
class Site:
    """A site one can hand over."""

    site_id: int
    code: str
    name_zh: str
    name_en: str

    def name(self, lang: str) -> str:
        """Return the name in `lang`."""
        return self.name_zh if lang == "zh" else self.name_en


@dataclass(frozen=True, slots=True)
class Note:
    """A note with its signatures; `facts` as stored, `open` as values."""

    handover_id: int
    site: str
    site_zh: str
    site_en: str
    body: str
    facts: dict[str, Any]
    signed_by: str
    signed_ms: int
    corrects: int | None
    corrected_by: int | None
    taken_by: str | None
    remark: str | None
    taken_ms: int | None

    @property
    def open(self) -> Facts:
        """What stood open when it was signed."""
        return Facts.model_validate(self.facts)

    def site_name(self, lang: str) -> str:
        """Return the site's name."""
        return self.site_zh if lang == "zh" else self.site_en


def sites(connection: Connection, scope: str, limit: int) -> list[tuple[str, str, str]]:
    """Return (code, Chinese name, English name) of the sites of a subtree, the first `limit`."""
    return connection.execute(_QUERIES["handover_sites"], {"scope": scope, "limit": limit}).fetchall()


def find_site(connection: Connection, scope: str, code: str) -> Site:
    """Return a site of the subtree.

    Raises:
        NotFoundError: there is none of that code.
    """
    with connection.cursor(row_factory=class_row(Site)) as cursor:
        found = cursor.execute(_QUERIES["handover_site"], {"scope": scope, "site": code}).fetchone()
    if found is None:
        raise NotFoundError(f"there is no site {code!r}")
    return found


def facts_of(connection: Connection, site: Site, at_ms: int) -> Facts:
    """Return what stands open at a site now.

    Args:
        connection: acting as hanlu_alerts.
        site: which; the caller has checked that the person may see it.
        at_ms: the platform's time, Unix milliseconds.
    """
    read = ShiftRead(connection, Place("/", 0, site.code, site.name_zh, site.name_en))
    loud_first = sorted(read.now(at_ms).open, key=lambda each: each.suppression_state != "NONE")
    ids = [each.alarm_id for each in loud_first]
    points = read.quiet_points()
    with connection.cursor(row_factory=class_row(GatewayFact)) as cursor:
        offline = cursor.execute(_QUERIES["handover_offline"], {"site": site.code}).fetchall()
    return Facts(
        at_ms=at_ms,
        alarms=tuple(
            AlarmFact(**{name: getattr(line, name) for name in AlarmFact.model_fields})
            for line in read.lines(ids[:LISTED])
        ),
        alarms_total=len(ids),
        points=tuple(
            PointFact(**{name: getattr(each, name) for name in PointFact.model_fields}) for each in points[:LISTED]
        ),
        points_total=len(points),
        offline=tuple(offline),
    )


def sign(connection: Connection, site: Site, body: str, actor: str, at_ms: int, *, corrects: int | None = None) -> int:
    """Sign a note, in a transaction of its own, and return its number.

    Args:
        connection: acting as hanlu_alerts.
        site: the caller has checked that the person may see it.
        body: what to tell, 1 to `BODY_LENGTH` characters besides blanks.
        actor: the person's login.
        at_ms: the platform's time, Unix milliseconds.
        corrects: number of the note it corrects, of the same site.

    Raises:
        UsageError: nothing is told, or too much.
        NotFoundError: the site has no such note to correct.
        ConflictError: that note has been corrected already.
    """
    body = body.strip().replace("\r\n", "\n")
    if not body:
        raise UsageError("a handover note says something: write a line, or that there is nothing to tell")
    if "\0" in body:
        raise UsageError("a handover note holds no NUL character")
    if len(body) > BODY_LENGTH:
        raise UsageError(f"a handover note has at most {BODY_LENGTH} characters, this one {len(body)}")
    with connection.transaction(), connection.cursor(row_factory=scalar_row) as cursor:
        facts = facts_of(connection, site, at_ms)
        try:
            cursor.execute(
                _QUERIES["handover_add"],
                {"site_id": site.site_id, "corrects": corrects, "body": body, "facts": Jsonb(facts.model_dump()),
                 "actor": actor, "at": from_ms(at_ms)},
            )  # fmt: skip
        except errors.UniqueViolation:
            raise ConflictError("the note has been corrected already") from None
        except errors.ForeignKeyViolation:
            raise NotFoundError(f"the site has no note {corrects}") from None
        return int(cursor.fetchone() or 0)


def take_over(connection: Connection, note: Note, actor: str, remark: str, at_ms: int) -> None:
    """Sign a note a second time, in a transaction of its own.

    Raises:
        UsageError: the remark is too long.
        ConflictError: the person signed it first, or somebody has taken over already.
    """
    remark = remark.strip()
    if len(remark) > REMARK_LENGTH:
        raise UsageError(f"a remark has at most {REMARK_LENGTH} characters, this one {len(remark)}")
    if note.signed_by == actor:
        raise ConflictError("nobody takes over from themselves")
    with connection.transaction():
        done = connection.execute(
            _QUERIES["handover_take"],
            {"handover_id": note.handover_id, "actor": actor, "at": from_ms(at_ms), "remark": remark},
        ).fetchone()
    if done is None:
        raise ConflictError("somebody has taken over already")


def notes(
    connection: Connection,
    scope: str,
    *,
    site: str | None = None,
    words: str | None = None,
    limit: int,
    offset: int = 0,
) -> list[Note]:
    """Return notes of a subtree, the newest first.

    Args:
        connection: acting as hanlu_alerts.
        scope: path of the subtree.
        site: code of the one site, None for all.
        words: that stand in the text, a name or what was open.
        limit: most notes.
        offset: notes to skip.
    """
    return _notes(connection, scope, handover_id=None, site=site, words=words, limit=limit, offset=offset)


def find_note(connection: Connection, scope: str, handover_id: int) -> Note:
    """Return one note of a subtree.

    Raises:
        NotFoundError: there is none of that number.
    """
    found = _notes(connection, scope, handover_id=handover_id, site=None, words=None, limit=1, offset=0)
    if not found:
        raise NotFoundError(f"there is no handover note {handover_id}")
    return found[0]


def _notes(connection: Connection, scope: str, **parameters: object) -> list[Note]:
    with connection.cursor(row_factory=class_row(Note)) as cursor:
        return cursor.execute(_QUERIES["handover_notes"], {"scope": scope, **parameters}).fetchall()
