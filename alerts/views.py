"""What the console shows, as values: zones, channels, alarms, gateways, and what is concluded from them.

Filled from rows by `read.py`; nothing here knows the database. All instants are Unix milliseconds UTC. One long file of
short values: a page is read with all of them at hand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from hanlu.alerts.alarm import Event, ProcessState, SuppressionState, calls, process
from hanlu.alerts.wording import SWITCHES, VALUELESS, switch_text
from hanlu.core.curve import Sample, Span

__all__ = [
    "Alarm",
    "ChannelNow",
    "Counts",
    "DeadLetters",
    "Entry",
    "Gateway",
    "Losses",
    "Named",
    "Quiet",
    "Standing",
    "Switch",
    "ZoneNow",
    "on_spans",
]


class Standing(StrEnum):
    """How a zone stands, worst first; the words of the console's badges."""

    UNACKNOWLEDGED = "unacknowledged"
    LATCHED_UNACKNOWLEDGED = "latched_unacknowledged"
    """Back within its limit, neither seen by a person nor reset."""
    ACKNOWLEDGED = "acknowledged"
    RETURNED = "returned"
    LATCHED = "latched"
    """Back within its limit and seen; somebody still has to look at the plant and reset it."""
    OFFLINE = "offline"
    STALE = "stale"
    EMPTY = "empty"
    NORMAL = "normal"


@dataclass(frozen=True, slots=True)
class Named:
    """Something with a code and a name in both languages."""

    code: str
    name_zh: str
    name_en: str

    def name(self, lang: str) -> str:
        """Return the name in `lang`, "zh" or "en"."""
        return self.name_zh if lang == "zh" else self.name_en


@dataclass(frozen=True, slots=True)
class ChannelNow:
    """A channel with its newest reading; fields as in registry.channel_v and telemetry.latest_v."""

    channel_id: int
    metric: str
    unit: str
    period_s: float
    low: float | None
    high: float | None
    limit_profile: str | None
    no_data_s: int
    zone: str
    zone_zh: str
    zone_en: str
    site: str
    site_zh: str
    site_en: str
    site_kind: str
    gateway: str
    device: str
    observed_ms: int | None
    received_ms: int | None
    value: float | None
    online: bool
    replay: bool

    @property
    def is_switch(self) -> bool:
        """Whether the channel says on or off."""
        return self.metric in SWITCHES

    @property
    def beyond_limit(self) -> bool:
        """Whether the newest value lies beyond a limit; an alarm may still wait for its on-delay."""
        if self.value is None:
            return False
        return (self.high is not None and self.value > self.high) or (self.low is not None and self.value < self.low)

    @property
    def gap_ms(self) -> float:
        """Neighbouring readings further apart, in milliseconds, are not joined by a line.

        What would be a no-data alarm is a gap; less is a device that reports by change or was read later at a coarser
        step, as loggers are. Never under two and a half periods.
        """
        return max(2500 * self.period_s, 1000.0 * self.no_data_s)

    def end_ms(self, now_ms: int) -> int:
        """Return where the channel's "now" is: the platform's, or the newest reading while its gateway replays."""
        return self.observed_ms if self.replay and self.observed_ms is not None else now_ms


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm with where it is; fields as in alerts.alarm and alerts.alarm_place_v.

    Attributes:
        channel_id: None for an alarm about goods.
        respond_ms: by when a person has to have acted.
        has_zone_page: there is a page of its zone.
        value: newest reading of its channel, None where there is none.
        why_zh: usual cause by the rule's rationalization; `consequence_…` and `response_…` likewise.
        quiet_reason: why a person shelved it, took it out of service or said the room is empty; None when it is not a
            person who keeps it quiet.
        quiet_until_ms: when that ends by itself.
    """

    alarm_id: int
    channel_id: int | None
    kind: str
    priority: int
    process_state: str
    suppression_state: str
    limit_value: float | None
    peak: float | None
    exceeded_ms: int
    raised_ms: int
    detected_ms: int
    returned_ms: int | None
    acknowledged_ms: int | None
    peak_ms: int | None
    acknowledged_by: str | None
    note: str | None
    replayed: bool
    version: int
    cause: str
    hold_reason: str | None
    explained_by: int | None
    latches: bool
    assignee: str | None
    called_ms: int | None
    respond_ms: int | None
    re_alarm_ms: int | None
    rule_code: str | None
    rule_version: int | None
    path: str
    metric: str
    unit: str
    period_s: float
    low: float | None
    high: float | None
    zone: str
    zone_zh: str
    zone_en: str
    site: str
    site_zh: str
    site_en: str
    has_zone_page: bool
    value: float | None
    observed_ms: int | None
    why_zh: str | None
    why_en: str | None
    consequence_zh: str | None
    consequence_en: str | None
    response_zh: str | None
    response_en: str | None
    quiet_reason: str | None
    quiet_note: str | None
    quiet_actor: str | None
    quiet_until_ms: int | None

    @property
    def calls(self) -> bool:
        """Whether the alarm waits for a person."""
        return calls(ProcessState(self.process_state), SuppressionState(self.suppression_state))

    @property
    def is_open(self) -> bool:
        """Whether it is not over."""
        return self.process_state != ProcessState.NORMAL

    @property
    def is_quiet(self) -> bool:
        """Whether it calls nobody, by design, by a shelf or out of service."""
        return self.suppression_state != SuppressionState.NONE

    @property
    def has_value(self) -> bool:
        """Whether its values tell people something as numbers: not those of a switch, nor of a kind that is a date."""
        return self.kind not in VALUELESS and self.metric not in SWITCHES

    def switch_text(self, lang: str) -> str:
        """Return how a switch stands that is the alarm's reason, in words; "" for others and once it is over."""
        if self.peak is None or self.returned_ms is not None or not self.is_open:
            return ""
        return switch_text(self.metric, self.peak, lang)

    @property
    def standing(self) -> Standing:
        """How the alarm stands, in the console's words."""
        return STANDINGS[ProcessState(self.process_state)]

    @property
    def acknowledgeable(self) -> bool:
        """Whether an acknowledgement would change anything."""
        state = ProcessState(self.process_state)
        return process(state, Event.ACKNOWLEDGE) is not state

    @property
    def resettable(self) -> bool:
        """Whether it waits for a reset."""
        return self.process_state == ProcessState.LATCHED_ACKNOWLEDGED

    def zone_name(self, lang: str) -> str:
        """Return the zone's name, the code of a device that stands in no zone, or what the goods are called."""
        return self.zone_zh if lang == "zh" else self.zone_en

    def site_name(self, lang: str) -> str:
        """Return the site's name."""
        return self.site_zh if lang == "zh" else self.site_en

    def why(self, lang: str) -> str:
        """Return the usual cause by the rule, "" where no rule says."""
        return (self.why_zh if lang == "zh" else self.why_en) or ""

    def consequence(self, lang: str) -> str:
        """Return what happens when nobody acts, by the rule."""
        return (self.consequence_zh if lang == "zh" else self.consequence_en) or ""

    def response(self, lang: str) -> str:
        """Return what to do first, by the rule."""
        return (self.response_zh if lang == "zh" else self.response_en) or ""

    def span(self, now_ms: int) -> Span:
        """Return from when to when the limit was exceeded, until now while it still is."""
        return Span(self.exceeded_ms, self.returned_ms if self.returned_ms is not None else max(now_ms, self.raised_ms))


@dataclass(frozen=True, slots=True)
class Quiet:
    """What a person keeps quiet in a zone, by one act; fields as in alerts.suppression.

    Attributes:
        until_ms: when it ends by itself, None never.
        channel_ids: with `kinds` and `metrics`, the points; kind "*" is every kind.
    """

    zone: str
    zone_zh: str
    zone_en: str
    site: str
    site_zh: str
    site_en: str
    state: str
    reason: str
    note: str
    actor: str
    since_ms: int
    until_ms: int | None
    channel_ids: list[int]
    kinds: list[str]
    metrics: list[str]

    def zone_name(self, lang: str) -> str:
        """Return the zone's name."""
        return self.zone_zh if lang == "zh" else self.zone_en

    def site_name(self, lang: str) -> str:
        """Return the site's name."""
        return self.site_zh if lang == "zh" else self.site_en

    @property
    def points(self) -> list[tuple[int, str]]:
        """Channels with the kind kept quiet."""
        return list(zip(self.channel_ids, self.kinds, strict=True))

    @property
    def whole_zone(self) -> bool:
        """Whether every kind of alarm of its channels is meant."""
        return set(self.kinds) == {"*"}


STANDINGS: Final = {
    ProcessState.UNACKNOWLEDGED: Standing.UNACKNOWLEDGED,
    ProcessState.LATCHED_UNACKNOWLEDGED: Standing.LATCHED_UNACKNOWLEDGED,
    ProcessState.LATCHED_ACKNOWLEDGED: Standing.LATCHED,
    ProcessState.ACKNOWLEDGED: Standing.ACKNOWLEDGED,
    ProcessState.RTN_UNACKNOWLEDGED: Standing.RETURNED,
    ProcessState.NORMAL: Standing.NORMAL,
}
"""What the console calls a process state."""


@dataclass(frozen=True, slots=True)
class ZoneNow:
    """A zone with its channels and open alarms.

    Attributes:
        zone: code and names.
        site: code and names.
        site_kind: as in registry.site.
        channels: at least one; the one that stands for the zone first.
        alarms: not over, worst first.
        spark: coarse curve of the first channel.
        standing: how it stands.
        pending: a value is beyond its limit, but not yet for as long as the alarm's on-delay: said beside "normal" or
            "returned", which alone would be untrue.
        quiet: what people keep quiet there.
        back_ms: when a defrost with its recovery should be over, by the room's own history; None when there is none.
    """

    zone: Named
    site: Named
    site_kind: str
    channels: tuple[ChannelNow, ...]
    alarms: tuple[Alarm, ...]
    spark: tuple[Sample, ...]
    standing: Standing
    pending: bool
    quiet: tuple[Quiet, ...] = ()
    back_ms: int | None = None

    @property
    def holds(self) -> tuple[Alarm, ...]:
        """Alarms that are true and call nobody by design."""
        return tuple(each for each in self.alarms if each.suppression_state == SuppressionState.SUPPRESSED_BY_DESIGN)

    @property
    def held(self) -> bool:
        """Whether what is beyond its limit has an alarm already that calls nobody by design: no delay is waited for."""
        beyond = {each.channel_id for each in self.channels if each.beyond_limit}
        return self.pending and beyond <= {each.channel_id for each in self.holds}

    @property
    def main(self) -> ChannelNow:
        """The channel that stands for the zone."""
        return self.channels[0]

    @property
    def shared(self) -> frozenset[str]:
        """Metrics that several of its devices measure: their values are shown with the device's code."""
        seen = Counter(channel.metric for channel in self.channels)
        return frozenset(metric for metric, times in seen.items() if times > 1)


@dataclass(frozen=True, slots=True)
class Counts:
    """What stands at the top of the console: alarms, links, the last word of any gateway, the account.

    Attributes:
        waiting: alarms that ask for a person, also by priority.
        standing: alarms whose condition is true and that nobody keeps quiet.
        quiet: open alarms that call nobody.
    """

    waiting: int
    waiting_1: int
    waiting_2: int
    waiting_3: int
    standing: int
    quiet: int
    gateways: int
    online: int
    heard_ms: int | None
    produced: int
    stored: int
    duplicate: int
    lost: int
    dead: int
    outstanding: int
    dead_letters: int


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway with link, account and gaps; `online` is None before its first word."""

    gateway_id: int
    code: str
    site: str
    site_zh: str
    site_en: str
    online: bool | None
    replay: bool
    since_ms: int | None
    seen_ms: int | None
    produced: int
    stored: int
    duplicate: int
    lost: int
    dead: int
    outstanding: int
    redelivered: int
    gap_ranges: int
    gap_messages: int
    gap_since_ms: int | None

    def site_name(self, lang: str) -> str:
        """Return the site's name."""
        return self.site_zh if lang == "zh" else self.site_en


@dataclass(frozen=True, slots=True)
class Losses:
    """Readings a gateway declared lost for one reason."""

    gateway: str
    reason: str
    reading_count: int
    newest_ms: int | None


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """Messages of one gateway refused for one reason; `gateway` is None when no known one sent them."""

    gateway: str | None
    reason: str
    messages: int
    reading_count: int
    newest_ms: int
    detail: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of an alarm's journal; fields as in alerts.journal."""

    version: int
    at_ms: int
    recorded_ms: int
    event: str
    from_state: str
    to_state: str
    actor: str
    value: float | None
    note: str


@dataclass(frozen=True, slots=True)
class Switch:
    """A row of `zone_switches`: from `at_ms` the channel was on or off; the reading before was at `before_ms`."""

    at_ms: int
    before_ms: int | None
    is_on: bool
    after_gap: bool
    is_last: bool


def on_spans(rows: Iterable[Switch], period_ms: int) -> Iterable[Span]:
    """Yield the spans in which a switch was on, from the readings where it changed, began, stopped or paused.

    Args:
        rows: ascending in time.
        period_ms: a reading speaks for this long when none follows it.
    """
    since: int | None = None
    for row in rows:
        if since is not None and row.after_gap:
            yield Span(since, (row.before_ms if row.before_ms is not None else since) + period_ms)
            since = None
        if since is None and row.is_on:
            since = row.at_ms
        elif since is not None and not row.is_on:
            yield Span(since, row.at_ms)
            since = None
        if since is not None and row.is_last:
            yield Span(since, row.at_ms + period_ms)
