"""The platform's account of a replaying gateway, and what it says about the file that was played."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from psycopg.rows import class_row

from hanlu.core.errors import NotFoundError
from hanlu.db.pool import Pool, translated
from hanlu.db.queries import load_queries
from hanlu.firmware_sim.replay.plan import Plan
from hanlu.firmware_sim.replay.play import Summary

__all__ = ["Account", "Outcome", "as_json", "read_account", "shortcomings", "told"]

_QUERIES = load_queries("hanlu.app")


@dataclass(frozen=True, slots=True)
class Account:
    """What became of everything a gateway ever produced, readings.

    Attributes:
        produced: as the gateway claims, in its newest message that arrived.
        stored: on record through it.
        duplicate: on record already.
        lost: declared lost, with a reason.
        dead: refused, kept as dead letters.
        gaps: ranges of messages that have not arrived.
    """

    produced: int = 0
    stored: int = 0
    duplicate: int = 0
    lost: int = 0
    dead: int = 0
    gaps: int = 0

    @property
    def outstanding(self) -> int:
        """Readings produced of which nothing is known."""
        return self.produced - self.stored - self.duplicate - self.lost - self.dead

    def since(self, before: Account) -> Account:
        """Return what came after `before`; gaps as they are now."""
        return Account(
            self.produced - before.produced,
            self.stored - before.stored,
            self.duplicate - before.duplicate,
            self.lost - before.lost,
            self.dead - before.dead,
            self.gaps,
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a replay went.

    Attributes:
        plan: what was to be played.
        sent: what the gateway took.
        pending: messages the gateway has no receipt for; None when it did not say.
        before: the gateway's account before.
        after: and after.
        seconds: from the first line to the last receipt.
    """

    plan: Plan
    sent: Summary
    pending: int | None
    before: Account
    after: Account
    seconds: float

    @property
    def gained(self) -> Account:
        """What this replay added to the account."""
        return self.after.since(self.before)


def read_account(pool: Pool, gateway: str) -> Account:
    """Return the account of a gateway, from a pool that acts as `hanlu_registry`.

    Raises:
        NotFoundError: there is no such gateway.
        TransientError: the database is away.
    """
    with translated(), pool.connection() as connection, connection.cursor(row_factory=class_row(Account)) as rows:
        found = rows.execute(_QUERIES["replay_account"], {"gateway": gateway}).fetchone()
    if found is None:
        raise NotFoundError(f"gateway {gateway} is not registered")
    return found


def shortcomings(outcome: Outcome) -> list[str]:
    """Return what is missing for every cell of the file to be accounted for, in words; nothing when all is well."""
    plan, sent, after, gained = outcome.plan, outcome.sent, outcome.after, outcome.gained
    found = []
    if refused := sent.refused.total():
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(sent.refused.items()))
        found.append(f"the gateway refused {refused:,} cells: {reasons}")
    if sent.rows < plan.rows and not refused:
        found.append(f"{plan.rows - sent.rows:,} of {plan.rows:,} rows were not played")
    if outcome.pending is None:
        found.append("the gateway did not say whether everything has its receipt")
    elif outcome.pending:
        found.append(f"{outcome.pending:,} messages in the gateway's spool have no receipt")
    if after.gaps:
        found.append(f"{after.gaps:,} ranges of messages have not arrived at the platform")
    if after.outstanding:
        found.append(f"the fate of {after.outstanding:,} readings is not known")
    if gained.dead:
        found.append(f"the platform refused {gained.dead:,} readings: their bytes and the reasons are its dead letters")
    if not found and gained.produced < plan.cells:
        found.append(f"the platform accounts for {gained.produced:,} of the file's {plan.cells:,} cells")
    return found


def told(outcome: Outcome) -> list[str]:
    """Return the summary for the terminal."""
    plan, sent, gained, after = outcome.plan, outcome.sent, outcome.gained, outcome.after
    invalid = ", ".join(f"{count:,} {reason.value}" for reason, count in sorted(sent.invalid.items()))
    lines = [
        f"file      {plan.rows:,} rows, {plan.cells:,} cells: {plan.values:,} values, {plan.invalid.total():,} invalid",
        f"sent      {sent.rows:,} rows: {sent.values:,} values; declared lost: {invalid or 'none'}"
        f" ({sent.sent_again:,} lines sent again)",
        f"platform  {_equation(gained)} by this replay, {outcome.seconds:.1f} s",
        f"          {_equation(after)} by this gateway in all",
    ]
    missing = shortcomings(outcome)
    return lines + ([f"MISSING: {each}" for each in missing] or ["OK: every cell of the file is accounted for"])


def as_json(outcome: Outcome, gateway: str) -> dict[str, Any]:
    """Return the summary for programs."""
    sent = outcome.sent
    return {
        "gateway": gateway,
        "file": {
            "name": outcome.plan.path.name,
            "sha256": outcome.plan.sha256,
            "rows": outcome.plan.rows,
            "cells": outcome.plan.cells,
            "values": outcome.plan.values,
            "invalid": {reason.value: count for reason, count in sorted(outcome.plan.invalid.items())},
        },
        "sent": {
            "rows": sent.rows,
            "values": sent.values,
            "invalid": {reason.value: count for reason, count in sorted(sent.invalid.items())},
            "lines": sent.lines,
            "sent_again": sent.sent_again,
            "refused": dict(sorted(sent.refused.items())),
        },
        "pending": outcome.pending,
        "this_replay": _account_json(outcome.gained),
        "in_all": _account_json(outcome.after),
        "seconds": round(outcome.seconds, 3),
        "missing": shortcomings(outcome),
    }


def _account_json(account: Account) -> dict[str, int]:
    return asdict(account) | {"outstanding": account.outstanding}


def _equation(account: Account) -> str:
    parts: Sequence[str] = (
        f"stored {account.stored:,}",
        f"duplicate {account.duplicate:,}",
        f"lost {account.lost:,}",
        f"dead {account.dead:,}",
    )
    more = f" + outstanding {account.outstanding:,}" if account.outstanding else ""
    return f"produced {account.produced:,} = {' + '.join(parts)}{more}"
