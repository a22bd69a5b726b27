"""How the alarm list is arranged: which alarms are a line, what stands under another one, what is a flood.

An operator reads lines, not alarms. Earlier occurrences of a point stand under its newest one, alarms that another one
explains stand under it, and a site that cries in a flood is one line that opens. Nothing is left out by that: whatever
is open stands on the list once, at the place of its worst part.

Pure functions over slim rows, so that ten thousand open alarms are arranged before any of them is read in full.

Source: ANSI/ISA-18.2-2016 5.4 and EEMUA 191 (flood: more than ten alarms in ten minutes); facts on the operator's list.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Protocol

from hanlu.alerts.alarm import ProcessState, SuppressionState, calls

__all__ = ["FLOOD_ALARMS", "FLOOD_MS", "Line", "Placed", "Slim", "Tab", "Wanted", "arrange", "order_key", "tally"]

FLOOD_ALARMS: Final = 10
"""More alarms of one site than this within `FLOOD_MS` are a flood."""
FLOOD_MS: Final = 10 * 60_000

_RANKS: Final[Mapping[str, int]] = {
    ProcessState.UNACKNOWLEDGED: 0,
    ProcessState.LATCHED_UNACKNOWLEDGED: 1,
    ProcessState.RTN_UNACKNOWLEDGED: 1,
    ProcessState.ACKNOWLEDGED: 2,
    ProcessState.LATCHED_ACKNOWLEDGED: 3,
    ProcessState.NORMAL: 4,
}
"""Order of the list: who must look first; within a rank by priority, then the newest."""
_NEWEST_FIRST: Final = 10**15


class Tab(StrEnum):
    """The list's tabs: what calls, what is kept quiet and by whom, and everything on record."""

    OPEN = "open"
    HELD = "held"
    SHELVED = "shelved"
    OUT = "out"
    ALL = "all"


_TABS: Final[Mapping[str, Tab]] = {
    SuppressionState.NONE: Tab.OPEN,
    SuppressionState.SUPPRESSED_BY_DESIGN: Tab.HELD,
    SuppressionState.SHELVED: Tab.SHELVED,
    SuppressionState.OUT_OF_SERVICE: Tab.OUT,
}
_CALLING: Final = frozenset(
    (state.value, suppression.value)
    for state in ProcessState
    for suppression in SuppressionState
    if calls(state, suppression)
)
"""States that wait for a person: looked up ten thousand times a page, hence not asked each time."""


@dataclass(frozen=True, slots=True)
class Slim:
    """What an open alarm is arranged by; `point` names what it is about, the same for all its occurrences."""

    alarm_id: int
    channel_id: int | None
    point: str
    kind: str
    priority: int
    process_state: str
    suppression_state: str
    explained_by: int | None
    raised_ms: int
    site: str
    site_zh: str
    site_en: str

    @property
    def tab(self) -> Tab:
        """Where it stands on the list."""
        return _TABS[self.suppression_state]

    @property
    def calls(self) -> bool:
        """Whether it waits for a person."""
        return (self.process_state, self.suppression_state) in _CALLING

    @property
    def order(self) -> tuple[int, int, int]:
        """Its place on the list, smaller first."""
        return _RANKS[self.process_state], self.priority, -self.raised_ms


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the list.

    Attributes:
        head: the alarm it shows; of a flood the first in order.
        order: the place of its worst part.
        older: earlier occurrences of the same point that are still open, the newest first.
        explained: open alarms that the head explains.
        flood: the lines of a flood, in order; empty for a line of its own.
    """

    head: Slim
    order: tuple[int, int, int]
    older: tuple[Slim, ...] = ()
    explained: tuple[Slim, ...] = ()
    flood: tuple[Line, ...] = ()

    def __iter__(self) -> Iterator[Slim]:
        """Yield every alarm of the line."""
        if self.flood:
            for each in self.flood:
                yield from each
            return
        yield self.head
        yield from self.older
        yield from self.explained


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person asked to see; None and "" mean everything.

    Attributes:
        tab: one of the list's tabs.
        site: code of a site, or a part of its name.
        priority: 1, 2 or 3.
        process: a process state.
        kind: of alarm.
        flat: floods are not collapsed.
    """

    tab: Tab = Tab.OPEN
    site: str = ""
    priority: int | None = None
    process: str = ""
    kind: str = ""
    flat: bool = False

    def admits(self, alarm: Slim) -> bool:
        """Tell whether an alarm is asked for, its tab left aside."""
        return (
            (not self.site or _named(alarm, self.site))
            and self.priority in (None, alarm.priority)
            and self.process in ("", alarm.process_state)
            and self.kind in ("", alarm.kind)
        )


class Placed(Protocol):
    """What an alarm's place on the list depends on."""

    @property
    def process_state(self) -> str:
        """One of the process states."""

    @property
    def priority(self) -> int:
        """1 critical, 2 high, 3 low."""

    @property
    def raised_ms(self) -> int:
        """When it was raised."""


def order_key(alarm: Placed) -> str:
    """Return the alarm's place as text that sorts alike: the browser puts a new row where it belongs."""
    rank = _RANKS[alarm.process_state]
    return f"{rank}{alarm.priority}{_NEWEST_FIRST - alarm.raised_ms:016d}"


def arrange(alarms: Sequence[Slim], wanted: Wanted) -> list[Line]:
    """Return the lines of a tab in the list's order.

    Args:
        alarms: every open alarm of the person's subtree; what a filter leaves out still stands under a line that it
            explains nothing for, so they are all needed.
        wanted: which of them.
    """
    known = {each.alarm_id for each in alarms}
    spoken_for: dict[int, list[Slim]] = defaultdict(list)
    own: dict[str, list[Slim]] = defaultdict(list)
    for each in alarms:
        if each.explained_by is not None and each.explained_by in known:
            spoken_for[each.explained_by].append(each)
        if each.tab is wanted.tab and wanted.admits(each):
            own[each.point].append(each)
    lines = []
    for occurrences in own.values():
        occurrences.sort(key=lambda each: (-each.raised_ms, -each.alarm_id))
        head, older = occurrences[0], tuple(occurrences[1:])
        explained = sorted((child for each in occurrences for child in spoken_for[each.alarm_id]), key=_place)
        lines.append(Line(head, min(each.order for each in occurrences), older, tuple(explained)))
    lines.sort(key=lambda line: (line.order, -line.head.alarm_id))
    if wanted.flat or wanted.tab is not Tab.OPEN:
        return lines
    return list(_collapsed(lines))


def tally(alarms: Iterable[Slim], wanted: Wanted) -> tuple[Counter[Tab], Counter[str]]:
    """Return how many open alarms each tab has under the filter, and each site in the tab without the site filter."""
    tabs: Counter[Tab] = Counter()
    sites: Counter[str] = Counter()
    anywhere = replace(wanted, site="")
    for each in alarms:
        if wanted.admits(each):
            tabs[each.tab] += 1
        if each.tab is wanted.tab and anywhere.admits(each):
            sites[each.site] += 1
    return tabs, sites


def _place(alarm: Slim) -> tuple[tuple[int, int, int], int]:
    return alarm.order, -alarm.alarm_id


def _named(alarm: Slim, site: str) -> bool:
    return alarm.site == site or site.lower() in f"{alarm.site_zh} {alarm.site_en}".lower()


def _collapsed(lines: Sequence[Line]) -> Iterator[Line]:
    """Yield the lines with those of a flood made one, at the place of the flood's first."""
    drowned = _in_floods(lines)
    floods: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        if line.head.alarm_id in drowned:
            floods[line.head.site].append(line)
    told: set[str] = set()
    for line in lines:
        if line.head.alarm_id not in drowned:
            yield line
        elif line.head.site not in told:
            told.add(line.head.site)
            yield Line(line.head, line.order, flood=tuple(floods[line.head.site]))


def _in_floods(lines: Sequence[Line]) -> set[int]:
    """Return the heads that stand in some window of `FLOOD_MS` with more than `FLOOD_ALARMS` of their site.

    Only what calls floods: once somebody has acknowledged it, the list is to be read line by line.
    """
    by_site: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        if any(each.calls for each in line):
            by_site[line.head.site].append(line)
    drowned: set[int] = set()
    for site in by_site.values():
        site.sort(key=lambda line: line.head.raised_ms)
        first = 0
        for last, line in enumerate(site):
            while line.head.raised_ms - site[first].head.raised_ms > FLOOD_MS:
                first += 1
            if last - first + 1 > FLOOD_ALARMS:
                drowned.update(each.head.alarm_id for each in site[first : last + 1])
    return drowned
