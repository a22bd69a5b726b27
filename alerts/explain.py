"""Which alarm explains which: where the mains or a gateway is lost, one alarm calls and speaks for the others.

Two tables, and what is not in them calls by itself:

* **Power** lost in a zone explains what follows from it in that zone; lost where the channel stands in no zone (a mains
  contact at the site, a gateway's own), in the whole site. What says that the goods themselves suffer (`high_high`,
  `dose`, `out_of_range`) is never silenced, nor is a gateway that falls silent: without it nobody would see that.
* **A gateway** that falls silent explains the silence and the missing messages of everything behind it, nothing else:
  an alarm that stood before is as true as it was. Which silences are one is told by when each was last heard, so
  `silence.py` decides it; here stands only what a silent gateway explains beside them.

When the alarm that explains has returned, what it explained has a grace to return too; what still stands then calls.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from hanlu.alerts.kind import Kind
from hanlu.alerts.occurrence import Subject

__all__ = ["GRACE_MS", "Place", "Standing", "explains", "may_explain", "parent_of"]

GRACE_MS: Final = {Kind.POWER: 15 * 60_000, Kind.NO_DATA: 2 * 60_000}
"""How long after the parent's return a child may take to return as well, milliseconds: a room has to be cooled down
again; what a gateway was asked comes within two of its minutes."""

_BY_POWER: Final = frozenset(
    {
        Kind.HIGH,
        Kind.RATE,
        Kind.TIME_TO_LIMIT,
        Kind.NO_DATA,
        Kind.COMPRESSOR,
        Kind.DEFROST_LONG,
        Kind.DEFROST_OFTEN,
        Kind.DEFROST_RECOVERY,
    }
)


class Place(NamedTuple):
    """Where a channel is.

    Attributes:
        site: code.
        zone: code, None for a device that stands in no zone.
        gateway: code.
        health: it is what the gateway says of itself.
    """

    site: str
    zone: str | None
    gateway: str
    health: bool = False


class Standing(NamedTuple):
    """A standing alarm with its place."""

    subject: Subject
    place: Place


def may_explain(standing: Standing) -> bool:
    """Tell whether an alarm may explain others than silences: mains that are lost, and silent gateways."""
    kind = standing.subject.kind
    return kind is Kind.POWER or (kind is Kind.NO_DATA and standing.place.health)


def explains(parent: Standing, child: Standing) -> bool:
    """Tell whether `parent`, which stands and speaks for itself, explains `child`."""
    over, under, kind = parent.place, child.place, child.subject.kind
    if parent.subject == child.subject:
        return False
    if parent.subject.kind is Kind.NO_DATA:
        return over.health and over.gateway == under.gateway and kind is Kind.GAP
    if parent.subject.kind is not Kind.POWER or over.site != under.site or under.health:
        return False
    if over.zone is None:
        # The site's mains explain a room's; of two that speak for the site neither explains the other.
        return kind in _BY_POWER or (kind is Kind.POWER and under.zone is not None)
    return over.zone == under.zone and kind in _BY_POWER


def parent_of(child: Standing, standing: Iterable[Standing]) -> Standing | None:
    """Return what explains `child`: of several the one with the longest reach, then the smallest key; None for nothing.

    Nothing that is explained itself explains: the caller passes only what speaks for itself.
    """
    found = [each for each in standing if explains(each, child)]
    return min(found, key=lambda each: (each.place.zone or "", each.subject.channel_id or 0), default=None)
