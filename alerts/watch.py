"""What the engine knows and concludes, without any I/O: readings go in, alarms to raise and to return come out.

`Watch` holds the channels with their limits, a rule state per channel and limit, and when each channel was last heard.
The engine feeds it a page of arrivals, writes what `drain` returns in one transaction, and forgets the whole object
when that fails: it is loaded anew from the database, on the same way as at start.

Which readings count for live alarms:

* of a replaying gateway, every one, in event time, as if that time were now; the alarm is marked as replayed;
* otherwise those of the live lane, and of the backlog only what is no older than a gap the rule would bridge anyway;
* never one older than the newest judged. Such late readings may still correct the peak of an alarm they fall into.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from hanlu.alerts.alarm import Event
from hanlu.alerts.judge.limit import QUIET, Limit, RuleState, silent_at, step
from hanlu.alerts.kind import Kind

__all__ = ["Arrival", "Change", "Channel", "Key", "Late", "Outcome", "Watch"]

LIMIT_WITHDRAWN = "limit_withdrawn"
"""Note of a return that happened because nobody watches this limit any more."""


class Key(NamedTuple):
    """A rule's identity: one kind of alarm of one channel."""

    channel_id: int
    kind: Kind


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel as the engine sees it.

    Attributes:
        channel_id: key in the registry.
        limits: high and low limit in force, none when it is only recorded.
        no_data_ms: longest silence allowed, milliseconds; None when its silence alarms nobody.
        priority: of the no-data alarm.
        replaying: its gateway declared a replay clock at birth.
    """

    channel_id: int
    limits: tuple[Limit, ...]
    no_data_ms: int | None
    priority: int
    replaying: bool


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message of telemetry.arrival_feed.

    Attributes:
        txid: writing transaction, decimal.
        arrival_id: key; with `txid` the position in the feed.
        lane: live, backlog, event or birth.
        replayed: recorded data played again.
        recorded_ms: when the platform stored it, Unix milliseconds.
        channel_ids: of the readings newly stored.
        observed_ms: parallel, Unix milliseconds.
        values: parallel.
    """

    txid: str
    arrival_id: int
    lane: str
    replayed: bool
    recorded_ms: int
    channel_ids: list[int]
    observed_ms: list[int]
    values: list[float]


@dataclass(frozen=True, slots=True)
class Change:
    """An alarm to raise or to return; fields as in alerts.alarm and alerts.journal."""

    key: Key
    event: Event
    at_ms: int
    value: float | None
    start_ms: int
    peak: float | None
    peak_ms: int | None
    limit_value: float | None
    priority: int
    replayed: bool
    note: str = ""


class Late(NamedTuple):
    """A late reading beyond a limit: it corrects the peak of an alarm that covers its time."""

    key: Key
    observed_ms: int
    value: float


@dataclass(slots=True)
class Outcome:
    """What a page of readings, or the passing of time, has brought.

    Attributes:
        changes: alarms to raise and return, in order.
        states: rule states to keep, by rule.
        late: readings that may correct a peak.
    """

    changes: list[Change] = field(default_factory=list)
    states: dict[Key, RuleState] = field(default_factory=dict)
    late: list[Late] = field(default_factory=list)


class Watch:
    """The engine's memory."""

    def __init__(
        self,
        states: Mapping[Key, RuleState],
        silent: Iterable[int],
        heard_ms: Mapping[int, int],
        watched_from_ms: int,
        holed: Iterable[int] = (),
    ) -> None:
        """Start from what the database holds.

        Args:
            states: rule states.
            silent: channels whose no-data alarm stands.
            heard_ms: when each channel was last heard, Unix milliseconds.
            watched_from_ms: the platform's time now.
            holed: channels whose gap alarm stands.
        """
        self._channels: dict[int, Channel] = {}
        self._states = dict(states)
        self._silent = set(silent)
        self._holed = set(holed)
        self._heard = dict(heard_ms)
        self._watched_from = watched_from_ms
        self._outcome = Outcome()

    def knows(self, arrivals: Iterable[Arrival]) -> bool:
        """Tell whether the registry has told us every channel the arrivals speak of."""
        known = self._channels.keys()
        return all(known >= set(arrival.channel_ids) for arrival in arrivals)

    def use(self, channels: Iterable[Channel], now_ms: int) -> None:
        """Take over the registry's channels and limits; alarms of withdrawn limits return at `now_ms`."""
        before, self._channels = self._channels, {each.channel_id: each for each in channels}
        for channel_id in list(self._silent):
            if not _listens(self._channels.get(channel_id)):
                self._hear_again(channel_id, now_ms, LIMIT_WITHDRAWN)
                # Listened to again, its silence counts from here: told twice, one silence would be one alarm twice.
                self._heard[channel_id] = now_ms
        for key, state in self._states.items():
            if state.start_ms is None:
                continue
            limit = self._limit(self._channels, key)
            if limit is None and state.raised:
                self._outcome.changes.append(_withdrawn(key, state, now_ms))
            # What was pending under another limit proves nothing about this one.
            if limit is None or (not state.raised and before and limit != self._limit(before, key)):
                self._states[key] = self._outcome.states[key] = RuleState(state.newest_ms)

    def take(self, arrival: Arrival) -> None:
        """Judge the readings of one arrival."""
        channels, recorded = self._channels, arrival.recorded_ms
        live = arrival.replayed or arrival.lane == "live"
        for channel_id, at, value in zip(arrival.channel_ids, arrival.observed_ms, arrival.values, strict=True):
            channel = channels.get(channel_id)
            if channel is not None and channel.no_data_ms is not None:
                if live or recorded - at <= channel.no_data_ms:
                    self._hear(channel, recorded)
                for limit in channel.limits:
                    self._judge(Key(channel_id, limit.kind), limit, arrival.replayed, live, recorded, at, value)

    def tick(self, now_ms: int) -> None:
        """Look for channels that have fallen silent by `now_ms`; call it only when the feed is read to its end."""
        for channel_id, heard in self._heard.items():
            channel = self._channels.get(channel_id)
            if channel is None or channel.no_data_ms is None or channel.replaying or channel_id in self._silent:
                continue
            due = silent_at(heard, self._watched_from, channel.no_data_ms, now_ms)
            if due is not None:
                self._silent.add(channel_id)
                key = Key(channel_id, Kind.NO_DATA)
                self._outcome.changes.append(
                    Change(key, Event.RAISE, due, None, heard, None, None, None, channel.priority, False)
                )

    def look_at_gaps(self, since_ms: Mapping[int, int], now_ms: int) -> None:
        """Raise an alarm for every gateway that has had a gap for too long, and let those return that have none.

        Args:
            since_ms: gateways with such gaps, by their health channel: since when, Unix milliseconds.
            now_ms: the platform's time.
        """
        for channel_id in since_ms.keys() - self._holed:
            since = since_ms[channel_id]
            change = Change(Key(channel_id, Kind.GAP), Event.RAISE, now_ms, None, since, None, None, None, 2, False)
            self._outcome.changes.append(change)
        for channel_id in self._holed - since_ms.keys():
            key = Key(channel_id, Kind.GAP)
            self._outcome.changes.append(Change(key, Event.RETURN, now_ms, None, now_ms, None, None, None, 2, False))
        self._holed = set(since_ms)

    def drain(self) -> Outcome:
        """Return what has come together since the last call."""
        outcome, self._outcome = self._outcome, Outcome()
        return outcome

    def _judge(
        self, key: Key, limit: Limit, replayed: bool, live: bool, recorded_ms: int, at_ms: int, value: float
    ) -> None:
        state = self._states.get(key, QUIET)
        stale = not live and recorded_ms - at_ms > limit.gap_ms
        if stale or (state.newest_ms is not None and at_ms <= state.newest_ms):
            if value > limit.value if key.kind is Kind.HIGH else value < limit.value:
                self._outcome.late.append(Late(key, at_ms, value))
            return
        after, transition = step(state, limit, at_ms, value)
        self._states[key] = self._outcome.states[key] = after
        if transition is not None:
            self._outcome.changes.append(
                Change(
                    key,
                    transition.event,
                    transition.at_ms,
                    transition.value,
                    transition.start_ms,
                    transition.peak,
                    transition.peak_ms,
                    limit.value,
                    limit.priority,
                    replayed,
                )
            )

    def _hear(self, channel: Channel, recorded_ms: int) -> None:
        if channel.replaying:
            return
        channel_id = channel.channel_id
        self._heard[channel_id] = max(recorded_ms, self._heard.get(channel_id, recorded_ms))
        if channel_id in self._silent:
            self._hear_again(channel_id, recorded_ms, "")

    def _hear_again(self, channel_id: int, at_ms: int, note: str) -> None:
        self._silent.discard(channel_id)
        key = Key(channel_id, Kind.NO_DATA)
        self._outcome.changes.append(Change(key, Event.RETURN, at_ms, None, at_ms, None, None, None, 3, False, note))

    @staticmethod
    def _limit(channels: Mapping[int, Channel], key: Key) -> Limit | None:
        channel = channels.get(key.channel_id)
        return next((each for each in channel.limits if each.kind is key.kind), None) if channel else None


def _listens(channel: Channel | None) -> bool:
    return channel is not None and channel.no_data_ms is not None and not channel.replaying


def _withdrawn(key: Key, state: RuleState, now_ms: int) -> Change:
    start = state.start_ms if state.start_ms is not None else now_ms
    return Change(key, Event.RETURN, now_ms, None, start, state.peak, state.peak_ms, None, 3, False, LIMIT_WITHDRAWN)
