"""Links that acknowledge: of one use, for one message's alarms, without signing in.

A mail scanner that opens every link must not acknowledge, so opening shows a page with a button, and only the button
does. Of an alarm the page shows its headline and nothing else; who acknowledged is not told. A link is bound to the
calls its message was about: an alarm that has called again since is not acknowledged by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg.rows import dict_row

from hanlu.alerts.alarm import Event, ProcessState, process
from hanlu.alerts.operate import acknowledge_many
from hanlu.alerts.people.endpoint import token_hash
from hanlu.alerts.people.facts import AlarmFacts
from hanlu.alerts.people.planner import read_facts
from hanlu.alerts.wording import words
from hanlu.core.clock import from_ms
from hanlu.db.pool import Connection
from hanlu.db.queries import load_queries

__all__ = ["Opened", "open_link", "use_link"]

_QUERIES = load_queries("hanlu.alerts.people")


@dataclass(frozen=True, slots=True)
class Opened:
    """A link as it stands.

    Attributes:
        state: `open`, `used` (by this very link), `expired`, `done` (nothing is left to acknowledge), `unknown`, or
            just `acknowledged`.
        alarms: those the link would acknowledge; after its use those it did.
        lang: the receiver's language.
    """

    state: str
    alarms: tuple[AlarmFacts, ...] = ()
    lang: str = "zh"


def open_link(connection: Connection, token: str, now_ms: int) -> Opened:
    """Look at a link; nothing is changed."""
    row = _row(connection, token)
    if row is None:
        return Opened("unknown")
    if row["used_ms"] is not None:
        return Opened("used", lang=row["lang"])
    if row["expires_ms"] <= now_ms:
        return Opened("expired", lang=row["lang"])
    waiting = _waiting(connection, row)
    return Opened("open" if waiting else "done", waiting, row["lang"])


def use_link(connection: Connection, token: str, now_ms: int) -> Opened:
    """Acknowledge by a link, once: burning it and acknowledging are one transaction.

    The actor is the sign-in name of the person behind the receiver, or `receiver:<code>` for a group.
    """
    with connection.transaction():
        row = _row(connection, token)
        if row is None:
            return Opened("unknown")
        values = {"token_sha256": token_hash(token), "now": from_ms(now_ms)}
        if connection.execute(_QUERIES["link_burn"], values).fetchone() is None:
            return Opened(
                "used" if row["used_ms"] is not None or row["expires_ms"] > now_ms else "expired", lang=row["lang"]
            )
        waiting = _waiting(connection, row)
        if not waiting:
            return Opened("done", lang=row["lang"])
        actor = row["login"] or f"receiver:{row['receiver']}"
        note = words(row["lang"])("people.link.note").format(receiver=row["receiver"])
        result = acknowledge_many(connection, [(each.alarm_id, None) for each in waiting], actor, note, now_ms)
        done = tuple(each for each in waiting if each.alarm_id in result.done)
        return Opened("acknowledged" if done else "done", done, row["lang"])


def _row(connection: Connection, token: str) -> dict[str, Any] | None:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_QUERIES["link_of"], {"token_sha256": token_hash(token)}).fetchone()


def _waiting(connection: Connection, row: dict[str, Any]) -> tuple[AlarmFacts, ...]:
    """Return the alarms of a link that still wait for the very call it was about."""
    facts = read_facts(connection, row["alarm_ids"])
    found = []
    for alarm_id, version in zip(row["alarm_ids"], row["versions"], strict=True):
        alarm = facts.get(alarm_id)
        if alarm is None or alarm.called_version > version:
            continue
        state = ProcessState(alarm.process_state)
        if process(state, Event.ACKNOWLEDGE) is not state:
            found.append(alarm)
    return tuple(sorted(found, key=lambda each: (each.priority, each.alarm_id)))
