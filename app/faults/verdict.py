"""What a round shows: the values sent held against the values on record. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Account", "Verdict", "judge"]


@dataclass(frozen=True, slots=True)
class Account:
    """What the platform says of one gateway since the beginning.

    Attributes:
        produced: readings the gateway claims.
        stored: counted as stored.
        duplicate: came again.
        lost: declared lost.
        dead: refused.
        rows: readings of its channels that are really on record.
        gaps: ranges of messages missing.
    """

    produced: int = 0
    stored: int = 0
    duplicate: int = 0
    lost: int = 0
    dead: int = 0
    rows: int = 0
    gaps: int = 0

    @property
    def outstanding(self) -> int:
        """Readings produced and not accounted for."""
        return self.produced - self.stored - self.duplicate - self.lost - self.dead


@dataclass(frozen=True, slots=True)
class Verdict:
    """One round, or several together.

    Attributes:
        sent: readings devices measured.
        stored: of them on record.
        declared: declared lost, with a reason.
        duplicate: came more than once and were recognised.
        lost: neither on record nor declared.
        twice: counted as stored more often than there are rows.
        unexplained: on record though never sent, another value than sent, an account that does not balance, a gap that
            stays, a reading declared lost that is there.
        alarms_due: excursions.
        alarms_wrong: excursions without exactly one alarm that began and ended when they did.
        remarks: words for a person about what is wrong.
    """

    sent: int = 0
    stored: int = 0
    declared: int = 0
    duplicate: int = 0
    lost: int = 0
    twice: int = 0
    unexplained: int = 0
    alarms_due: int = 0
    alarms_wrong: int = 0
    remarks: tuple[str, ...] = field(default=())

    @property
    def good(self) -> bool:
        """Whether nothing is lost, twice, unexplained, and every alarm is right."""
        return not (self.lost or self.twice or self.unexplained or self.alarms_wrong)

    def __add__(self, other: Verdict) -> Verdict:
        """Return both together."""
        return Verdict(
            self.sent + other.sent,
            self.stored + other.stored,
            self.declared + other.declared,
            self.duplicate + other.duplicate,
            self.lost + other.lost,
            self.twice + other.twice,
            self.unexplained + other.unexplained,
            self.alarms_due + other.alarms_due,
            self.alarms_wrong + other.alarms_wrong,
            self.remarks + other.remarks,
        )


def judge(sent: Mapping[int, float], found: Mapping[int, float], before: Account, after: Account) -> Verdict:
    """Hold one device's round against the record.

    Args:
        sent: value by instant, Unix milliseconds.
        found: the same, from the database.
        before: account of its gateway before the round.
        after: account after everything was drained; only this device spoke in between.
    """
    absent = [ms for ms in sent if ms not in found]
    foreign = [ms for ms, value in found.items() if sent.get(ms) != value]
    declared = after.lost - before.lost
    twice = (after.stored - after.rows) - (before.stored - before.rows)
    remarks = [
        f"{words}: {count}"
        for words, count in (
            ("on record, but not as sent", len(foreign)),
            ("readings outstanding", after.outstanding),
            ("gaps left", after.gaps),
            ("dead letters of good readings", after.dead - before.dead),
            ("declared lost and yet there, or never sent", max(0, declared - len(absent))),
        )
        if count
    ]
    return Verdict(
        sent=len(sent),
        stored=len(sent) - len(absent),
        declared=declared,
        duplicate=after.duplicate - before.duplicate,
        lost=max(0, len(absent) - declared),
        twice=max(0, twice),
        unexplained=len(foreign)
        + abs(after.outstanding)
        + after.gaps
        + abs(after.dead - before.dead)
        + max(0, declared - len(absent))
        + max(0, -twice),
        remarks=tuple(remarks),
    )
