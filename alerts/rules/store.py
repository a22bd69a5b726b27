"""The table of rules: append only, a new version for every change; the newest version of a code is in force.

Every write takes one lock, so that versions never collide and two processes that start at once seed once. Whoever works
by the rules listens to `hanlu_rule` and reads them anew.
"""

from __future__ import annotations

import logging
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any, Final

from psycopg.rows import dict_row, scalar_row
from psycopg.types.json import Jsonb
from pydantic import ValidationError

from hanlu.alerts.rules.assign import ChannelFacts, Versioned
from hanlu.alerts.rules.model import Rule
from hanlu.alerts.rules.survey import Names
from hanlu.core.errors import ConflictError, NotFoundError
from hanlu.core.observe import log
from hanlu.db.pool import Connection
from hanlu.db.queries import load_queries

__all__ = [
    "QUERIES",
    "SHIPPED_BY",
    "StoredVersion",
    "Versioned",
    "current",
    "history",
    "read_facts",
    "read_names",
    "read_reach",
    "rules_in_force",
    "seed_defaults",
    "sees_everything",
    "shipped_rules",
    "withdraw",
    "write_rule",
]

_LOGGER = logging.getLogger(__name__)
QUERIES = load_queries("hanlu.alerts.rules")

SHIPPED_BY: Final = "hanlu"
"""Author of the rules that come with Hanlu; no person has this login in the table of rules."""
_LOCK_KEY: Final = 0x48_52_55_4C_45


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """One version of a rule.

    Attributes:
        code: of the rule.
        version: counts from 1.
        rule: what it says; None when this version of Hanlu cannot read it.
        withdrawn: it is not in force.
        author: login, or `hanlu`.
        note: why.
        recorded_ms: when it was written, Unix milliseconds.
        trouble: why it cannot be read, "" when it can.
    """

    code: str
    version: int
    rule: Rule | None
    withdrawn: bool
    author: str
    note: str
    recorded_ms: int
    trouble: str = ""


@cache
def shipped_rules() -> tuple[Rule, ...]:
    """Return the rules that come with Hanlu, by code.

    Raises:
        ValidationError: one of them is wrong; the file is ours, so a test finds it first.
    """
    text = files("hanlu.alerts.rules").joinpath("defaults.toml").read_text(encoding="utf-8")
    return tuple(
        sorted((Rule.model_validate(each) for each in tomllib.loads(text)["rule"]), key=lambda rule: rule.code)
    )


def rules_in_force(connection: Connection) -> list[Versioned]:
    """Return the rules in force, by code.

    One that this version of Hanlu cannot read is left out with an error in the log: the others must go on working.
    """
    found: list[Versioned] = []
    for each in current(connection):
        if each.withdrawn:
            continue
        if each.rule is None:
            log(
                _LOGGER, logging.ERROR, "alerts.rule.unreadable", f"rule {each.code} cannot be read: not in force",
                code=each.code, version=each.version, detail=each.trouble,
            )  # fmt: skip
            continue
        found.append(Versioned(each.rule, each.version))
    return found


def current(connection: Connection, code: str | None = None) -> list[StoredVersion]:
    """Return the newest version of every code, or of one (then a list of one or none), withdrawn ones too."""
    return _versions(connection, "rules_current", code)


def history(connection: Connection, code: str) -> list[StoredVersion]:
    """Return every version of a code, the newest first; none for a code nobody knows."""
    return _versions(connection, "rules_history", code)


def write_rule(connection: Connection, rule: Rule, *, seen: int, author: str, note: str = "") -> int:
    """Write a new version of a rule, or a new rule, in the caller's transaction.

    Args:
        connection: acting as hanlu_alerts.
        rule: what it says from now on.
        seen: the version the author saw, 0 for a rule that is to be new.
        author: login of the person.
        note: why, for the history.

    Returns:
        The version written; `seen` itself when the rule says what it said before.

    Raises:
        ConflictError: somebody else has written a version meanwhile, or the code is taken.
    """
    newest = _locked(connection, rule.code)
    version = 0 if newest is None else newest.version
    if version != seen and not (seen == 0 and newest is not None and newest.withdrawn):
        raise ConflictError(_conflict(rule.code, seen, newest))
    if newest is not None and not newest.withdrawn and newest.rule == rule:
        return version
    _write(connection, rule.code, version + 1, rule.model_dump(mode="json"), author=author, note=note)
    return version + 1


def withdraw(connection: Connection, code: str, *, seen: int, author: str, note: str = "") -> int:
    """Take a rule out of force, in the caller's transaction; return the version that says so.

    Raises:
        NotFoundError: there is no such rule.
        ConflictError: somebody else has written a version meanwhile.
    """
    newest = _locked(connection, code)
    if newest is None:
        raise NotFoundError(f"there is no rule {code}")
    if newest.version != seen:
        raise ConflictError(_conflict(code, seen, newest))
    if newest.withdrawn:
        return newest.version
    document = QUERIES["rules_current"]
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(document, {"code": code}).fetchone()
    assert row is not None
    _write(connection, code, seen + 1, row["document"], author=author, note=note, withdrawn=True)
    return seen + 1


def seed_defaults(connection: Connection, rules: Iterable[Rule] | None = None) -> int:
    """Write the shipped rules that are new or changed; return how many versions that took.

    A code whose newest version is a person's is left alone, whatever is shipped. Rules that are shipped no more are
    withdrawn. Doing it again changes nothing; of two processes that start at once the second waits and finds it done.

    Args:
        connection: acting as hanlu_alerts.
        rules: instead of the shipped ones.
    """
    wanted = {rule.code: rule for rule in (shipped_rules() if rules is None else rules)}
    written = 0
    with connection.transaction():
        connection.execute(QUERIES["rules_lock"], {"key": _LOCK_KEY})
        known = {each.code: each for each in current(connection)}
        for code, rule in wanted.items():
            newest = known.get(code)
            if (
                newest is not None
                and (newest.author != SHIPPED_BY or newest.rule == rule)
                and not (newest.author == SHIPPED_BY and newest.withdrawn)
            ):
                continue
            version = 1 if newest is None else newest.version + 1
            _write(connection, code, version, rule.model_dump(mode="json"), author=SHIPPED_BY)
            written += 1
        for code, newest in known.items():
            if code not in wanted and newest.author == SHIPPED_BY and not newest.withdrawn and newest.rule is not None:
                _write(
                    connection, code, newest.version + 1, newest.rule.model_dump(mode="json"),
                    author=SHIPPED_BY, note="no longer shipped", withdrawn=True,
                )  # fmt: skip
                written += 1
    return written


def read_facts(connection: Connection, scope: str = "/", channel: str | None = None) -> list[ChannelFacts]:
    """Return what rules may look at of the channels below an organisation, by channel_id.

    Args:
        connection: of any room that may read the registry.
        scope: path of the node, `/` for everything.
        channel: only this one, `gateway/device/metric`.
    """
    with connection.cursor() as cursor:
        codes = {str(key): code for key, code in cursor.execute(QUERIES["rules_organisations"])}
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(QUERIES["rules_facts"], {"scope": scope, "channel": channel}).fetchall()
    trees: dict[str, tuple[str, ...]] = {}
    found = []
    for row in rows:
        path = row["organisation_path"]
        if path not in trees:
            trees[path] = tuple(codes[part] for part in path.strip("/").split("/") if part in codes)
        found.append(ChannelFacts(**row, organisations=trees[path]))
    return found


def read_names(connection: Connection, channels: Iterable[ChannelFacts] = ()) -> Names:
    """Return every name the registry knows; channels' own names as given."""
    with connection.cursor() as cursor:
        found = {sort: frozenset(names or ()) for sort, names in cursor.execute(QUERIES["rules_names"])}
    return Names(**found, channels=frozenset(each.channel for each in channels))


def read_reach(connection: Connection, scope: str, channels: Iterable[ChannelFacts]) -> Names:
    """Return the names below one node of the tree; profiles, metrics and device kinds are everybody's."""
    channels = list(channels)
    with connection.cursor() as cursor:
        found = cursor.execute(QUERIES["rules_reach"], {"scope": scope}).fetchall()
    every = read_names(connection, channels)
    return replace(every, **{sort: frozenset(names or ()) for sort, names in found})


def sees_everything(connection: Connection, scope: str) -> bool:
    """Tell whether no node of the tree lies outside `scope`: who sees that much may change what holds for all."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return bool(cursor.execute(QUERIES["rules_sees_everything"], {"scope": scope}).fetchone())


def _versions(connection: Connection, query: str, code: str | None) -> list[StoredVersion]:
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(QUERIES[query], {"code": code}).fetchall()
    return [_stored(row) for row in rows]


def _stored(row: dict[str, Any]) -> StoredVersion:
    document = row.pop("document")
    try:
        return StoredVersion(rule=Rule.model_validate(document), **row)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        return StoredVersion(rule=None, trouble=f"{where}: {first['msg']}", **row)


def _locked(connection: Connection, code: str) -> StoredVersion | None:
    """Take the writers' lock and return the newest version of a code."""
    connection.execute(QUERIES["rules_lock"], {"key": _LOCK_KEY})
    return next(iter(current(connection, code)), None)


def _conflict(code: str, seen: int, newest: StoredVersion | None) -> str:
    if newest is None:
        return f"there is no rule {code}; write it as a new one"
    if seen == 0:
        return f"there is already a rule {code} (version {newest.version}); choose another code or edit that one"
    return f"rule {code} is at version {newest.version} by {newest.author}, not {seen} any more; look at it again"


def _write(
    connection: Connection,
    code: str,
    version: int,
    document: dict[str, Any],
    *,
    author: str,
    note: str = "",
    withdrawn: bool = False,
) -> None:
    connection.execute(
        QUERIES["rules_write"],
        {
            "code": code,
            "version": version,
            "document": Jsonb(document),
            "withdrawn": withdrawn,
            "author": author,
            "note": note,
        },
    )
    connection.execute(QUERIES["rules_notify"], {"code": code})
