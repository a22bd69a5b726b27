"""What the engine knows and concludes, without any I/O: readings go in, changes of alarms come out.

`Watch` holds the rooms with their memory, which alarms stand, and when each channel was last heard. The engine feeds it
a page of arrivals, writes what `drain` returns in one transaction, and forgets the whole object when that fails: it is
loaded anew from the database, on the same way as at start.

Which readings count for live alarms:

* of a replaying gateway, every one, in event time, as if that time were now; the alarm is marked as replayed;
* otherwise those of the live lane, and of the backlog only what is no older than a gap the rule would bridge anyway;
  what is raised by live readings that are older than such a gap and come many times faster than they were measured (a
  device hands in what it has logged, a broker what it has kept) is held, until the channel has reached the present;
  old readings at the pace of life are today's, under a clock that is behind, and call;
* never one older than the newest judged. Such late readings may still correct the record of an alarm they fall into.

A clock that has stepped back would make every reading late for as long as it stepped. So when a channel's live readings
have been older than its newest for longer than its gap, and ascend among themselves, they are taken to follow the
newest one, and are judged in the time the channel had before (`Kept.step_ms`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hanlu.alerts.explain import Place, Standing, may_explain
from hanlu.alerts.judge.contract import Move, Verdict
from hanlu.alerts.judge.judges import JUDGES
from hanlu.alerts.judge.room import Assigned, Memory, Room
from hanlu.alerts.kind import LIMIT_KINDS, UPWARD, Hold, Kind
from hanlu.alerts.occurrence import Subject
from hanlu.alerts.outcome import (
    JUDGED_ANEW,
    LIMIT_WITHDRAWN,
    UNIT_CHANGED,
    Arrival,
    Change,
    Kept,
    Late,
    Outcome,
    Peak,
)
from hanlu.alerts.plan import Channel
from hanlu.alerts.silence import Listened, Silence

__all__ = ["Watch"]

_PACE = 4
"""Observations that go on so many times faster than the platform's clock are logged ones being handed in."""
_TOGETHER_MS = 1_000
"""Messages so close together say nothing of a pace, milliseconds."""


@dataclass(slots=True, eq=False)
class _Seat:
    """A channel in its room."""

    channel: Channel
    room: Room
    listened: bool
    gap_ms: int
    matters: bool
    step_ms: int = 0
    behind: tuple[int, int] | None = None
    """Since when (platform time) its live readings are older than the newest, and the newest of those."""
    logged: tuple[int, int] | None = None
    """Platform time and observation of its last reading that was older than its gap, while such come."""


def _hands_in_the_past(seat: _Seat, at_ms: int, recorded_ms: int) -> bool:
    """Tell whether a live reading is out of what was logged or kept, and note it for the next one.

    The first old one is taken for the past, since nothing yet tells a wrong clock from a full logger.
    """
    if recorded_ms - at_ms <= seat.gap_ms:
        seat.logged = None
        return False
    before, seat.logged = seat.logged, (recorded_ms, at_ms)
    return before is None or at_ms - before[1] > _PACE * max(recorded_ms - before[0], _TOGETHER_MS)


class Watch:
    """The engine's memory."""

    def __init__(
        self,
        kept: Mapping[int, Kept],
        standing: Mapping[Subject, Peak | None],
        silence: Silence,
        late: Iterable[Subject] = (),
    ) -> None:
        """Start from what the database holds.

        Args:
            kept: the channels' memory.
            standing: the alarms that stand, with their worst values.
            silence: who was heard when.
            late: those of them that are held because their channel had not reached the present.
        """
        self._kept = dict(kept)
        self._seats: dict[int, _Seat] = {}
        self._rooms: dict[str, Room] = {}
        self._timely: list[tuple[str, Room]] = []
        self._standing: dict[Subject, Peak | None] = dict(standing)
        self._peaked: dict[int, list[Subject]] = defaultdict(list)
        self._at_site: dict[str, set[Subject]] = defaultdict(set)
        self._parents_at: dict[str, set[Subject]] = defaultdict(set)
        self._silence = silence
        self._late_held: dict[int, set[Subject]] = defaultdict(set)
        self._outcome = Outcome()
        for subject in late:
            if subject.channel_id is not None:
                self._late_held[subject.channel_id].add(subject)
        for subject in standing:
            self._note_standing(subject)

    def knows(self, arrivals: Iterable[Arrival]) -> bool:
        """Tell whether the registry has told us every channel the arrivals speak of."""
        known = self._seats.keys()
        return all(known >= set(arrival.channel_ids) for arrival in arrivals)

    def channels(self) -> Iterable[Channel]:
        """Return the channels in force."""
        return (seat.channel for seat in self._seats.values())

    def place(self, channel_id: int | None) -> Place | None:
        """Return where a channel is; None for one that is not there any more."""
        seat = self._seats.get(channel_id) if channel_id is not None else None
        return None if seat is None else seat.channel.place

    def at_site(self, site: str) -> list[Standing]:
        """Return the alarms that stand at a site, those of the page in hand among them."""
        return self._placed(self._at_site.get(site, ()))

    def parents_at(self, site: str) -> list[Standing]:
        """Return those that may explain others; few, however many stand."""
        return self._placed(self._parents_at.get(site, ()))

    def _placed(self, subjects: Iterable[Subject]) -> list[Standing]:
        found = ((each, self.place(each.channel_id)) for each in subjects)
        return [Standing(each, place) for each, place in found if place is not None]

    def stands(self, subject: Subject) -> bool:
        """Tell whether an alarm of this subject stands."""
        return subject in self._standing

    def use(self, channels: Iterable[Channel], now_ms: int) -> None:
        """Take over the channels and rules in force; alarms of rules withdrawn return at `now_ms`."""
        fresh = {each.plan.channel_id: each for each in channels}
        first = not self._seats
        for seat_id, seat in self._seats.items():
            self._kept[seat_id] = Kept(seat.room.memory[seat_id], seat.channel.plan.unit, seat.step_ms)
        for channel_id, channel in fresh.items():
            self._adapt(channel_id, channel, now_ms, first)
        self._return_withdrawn(fresh, now_ms)
        self._seat(fresh)
        left, began = self._silence.use(
            [
                Listened(
                    channel_id, each.place.gateway, each.place.health, rule.parameters.after_s * 1000, each.period_ms
                )
                for channel_id, each in fresh.items()
                if not each.replaying and (rule := each.timed.get(Kind.NO_DATA)) is not None
            ],
            now_ms,
        )
        for channel_id in left:
            self._give_back(Subject(channel_id, Kind.NO_DATA), now_ms, LIMIT_WITHDRAWN)
        self._outcome.waited |= began

    def take(self, arrival: Arrival) -> None:
        """Judge the readings of one arrival."""
        seats, recorded = self._seats, arrival.recorded_ms
        live = arrival.replayed or arrival.lane == "live"
        for channel_id, at_ms, value in zip(arrival.channel_ids, arrival.observed_ms, arrival.values, strict=True):
            seat = seats.get(channel_id)
            if seat is None:
                continue
            fresh = live or recorded - at_ms <= seat.gap_ms
            if seat.listened and fresh and self._silence.hear(channel_id, seat.channel.place.gateway, recorded):
                self._give_back(Subject(channel_id, Kind.NO_DATA), recorded)
            if seat.matters:
                self._judge(seat, channel_id, at_ms, value, recorded, fresh, arrival)

    def tick(self, now_ms: int) -> None:
        """Look for silent channels, and for what time alone decides; call it when the feed is read to its end."""
        for due in self._silence.due(now_ms):
            rule = self._seats[due.channel_id].channel.timed[Kind.NO_DATA]
            self._raise(
                Change(
                    Subject(due.channel_id, Kind.NO_DATA), Move.RAISE, due.at_ms, due.heard_ms, rule, parent=due.parent
                )
            )
        for gateway, room in self._timely:
            due_ms = room.due_ms
            # Of a gateway that is not heard nobody knows whether it is still so.
            if due_ms is not None and due_ms <= (known_ms := min(now_ms, self._silence.gateway_heard(gateway))):
                for channel_id, rule, verdict in room.overdue(known_ms):
                    seat = self._seats[channel_id]
                    # What was due long ago comes out of a log that is still being handed in.
                    late = seat.logged is not None or now_ms - verdict.at_ms > seat.gap_ms
                    self._conclude(seat, rule, verdict, late=late)
                    self._remember(channel_id)

    def compare(self, kind: Kind, found: Mapping[Subject, Change], now_ms: int) -> None:
        """Raise what the clock's look has `found` of one kind and does not stand yet; let return what it did not find.

        Args:
            kind: gap, calibration, stock, reserve or expiry.
            found: all there is of it now, as raises.
            now_ms: the platform's time, Unix milliseconds.
        """
        for subject, change in found.items():
            if subject not in self._standing:
                self._raise(change)
        for subject in [each for each in self._standing if each.kind is kind and each not in found]:
            self._give_back(subject, now_ms)

    def drain(self) -> Outcome:
        """Return what has come together since the last call."""
        outcome, self._outcome = self._outcome, Outcome()
        return outcome

    def _judge(
        self, seat: _Seat, channel_id: int, at_ms: int, value: float, recorded_ms: int, fresh: bool, arrival: Arrival
    ) -> None:
        memory = seat.room.memory[channel_id]
        newest_ms = memory.newest_ms
        at_ms += seat.step_ms
        if newest_ms is not None and at_ms <= newest_ms:
            if (
                arrival.lane != "live"
                or arrival.replayed
                or not self._stepped_back(seat, newest_ms, at_ms, recorded_ms)
            ):
                self._late(seat, channel_id, at_ms - seat.step_ms, value)
                return
            at_ms = newest_ms + 1
        elif not fresh:
            self._late(seat, channel_id, at_ms - seat.step_ms, value)
            return
        elif seat.behind is not None:
            seat.behind = None
        if seat.step_ms and not arrival.replayed and at_ms - seat.step_ms > (newest_ms or 0):
            at_ms, seat.step_ms = at_ms - seat.step_ms, 0  # set right again
        late = not arrival.replayed and _hands_in_the_past(seat, at_ms, recorded_ms)
        if not late and channel_id in self._late_held:
            self._release_late(channel_id, at_ms, value)
        taken = seat.room.take(channel_id, at_ms, value)
        if seat.room.failures:
            self._tell_failures(seat.room, at_ms)
        self._outcome.kept[channel_id] = Kept(memory, seat.channel.plan.unit, seat.step_ms)
        for rule, verdict in taken.verdicts:
            self._conclude(seat, rule, verdict, arrival.replayed, late)
        for other_id, rule, verdict in taken.elsewhere:
            self._conclude(self._seats[other_id], rule, verdict, arrival.replayed, late)
            self._remember(other_id)
        if channel_id in self._peaked:
            self._note_peaks(channel_id, at_ms, value)

    def _stepped_back(self, seat: _Seat, newest_ms: int, at_ms: int, recorded_ms: int) -> bool:
        """Tell whether a live reading older than the newest shows that the channel's clock has stepped back."""
        if seat.behind is None:
            seat.behind = (recorded_ms, at_ms)
            return False
        since_ms, last_ms = seat.behind
        if at_ms <= last_ms:
            return False
        seat.behind = (since_ms, at_ms)
        if recorded_ms - since_ms <= seat.gap_ms:
            return False
        seat.behind = None
        seat.step_ms += newest_ms + 1 - at_ms
        return True

    def _late(self, seat: _Seat, channel_id: int, at_ms: int, value: float) -> None:
        for rule in seat.channel.plan.rules:
            judge = JUDGES[rule.kind]
            if judge.late is not None and judge.late(rule.parameters, value):
                self._outcome.late.append(Late(Subject(channel_id, rule.kind), at_ms, value))

    def _conclude(
        self, seat: _Seat, rule: Assigned, verdict: Verdict, replayed: bool = False, late: bool = False
    ) -> None:
        """Turn a verdict into a change of the alarm, as far as it fits what stands."""
        subject = Subject(seat.channel.plan.channel_id, verdict.kind)
        if late:
            verdict = _held_late(verdict)
        self._note_late(subject, verdict.hold is Hold.LATE)
        change = Change(
            subject, verdict.move, verdict.at_ms, verdict.start_ms, rule, verdict.value, verdict.peak, verdict.peak_ms,
            verdict.hold, verdict.cause, replayed, unit=seat.channel.plan.unit,
        )  # fmt: skip
        if verdict.move is Move.RETURN:
            if subject in self._standing:
                self._forget(subject)
                self._outcome.changes.append(change)
        elif verdict.move is Move.RAISE and subject not in self._standing:
            self._raise(change)
        elif subject in self._standing:
            self._outcome.changes.append(change)

    def _raise(self, change: Change) -> None:
        peak = None if change.peak is None or change.peak_ms is None else Peak(change.peak, change.peak_ms)
        self._standing[change.subject] = peak
        self._note_standing(change.subject)
        self._outcome.changes.append(change)

    def _tell_failures(self, room: Room, at_ms: int) -> None:
        """Hand on which judges failed; what they had raised returns, since nobody follows it any more."""
        for channel_id, rule, _ in room.failures:
            self._give_back(Subject(channel_id, rule.kind), at_ms, JUDGED_ANEW)
        self._outcome.failures += room.failures
        room.failures.clear()

    def _note_late(self, subject: Subject, held: bool) -> None:
        channel_id = subject.channel_id
        if channel_id is None:
            return
        if held:
            self._late_held[channel_id].add(subject)
        elif channel_id in self._late_held:
            self._late_held[channel_id].discard(subject)
            if not self._late_held[channel_id]:
                del self._late_held[channel_id]

    def _release_late(self, channel_id: int, at_ms: int, value: float) -> None:
        """Let call what was raised in the past and stands in the present."""
        for subject in sorted(self._late_held.pop(channel_id)):
            if subject in self._standing:
                self._outcome.changes.append(Change(subject, Move.RELEASE, at_ms, at_ms, value=value))

    def _give_back(self, subject: Subject, at_ms: int, note: str = "") -> None:
        if subject in self._standing:
            self._forget(subject)
            self._outcome.changes.append(Change(subject, Move.RETURN, at_ms, at_ms, note=note))

    def _note_standing(self, subject: Subject) -> None:
        if subject.channel_id is None:
            return
        if subject.kind in LIMIT_KINDS:
            self._peaked[subject.channel_id].append(subject)
        self._note_place(subject)

    def _note_place(self, subject: Subject) -> None:
        place = self.place(subject.channel_id)
        if place is not None:
            self._at_site[place.site].add(subject)
            if may_explain(Standing(subject, place)):
                self._parents_at[place.site].add(subject)

    def _forget(self, subject: Subject) -> None:
        del self._standing[subject]
        self._note_late(subject, held=False)
        self._outcome.peaks.pop(subject, None)
        if subject.channel_id is None:
            return
        if subject.kind in LIMIT_KINDS:
            self._peaked[subject.channel_id].remove(subject)
            if not self._peaked[subject.channel_id]:
                del self._peaked[subject.channel_id]
        place = self.place(subject.channel_id)
        if place is not None:
            self._at_site[place.site].discard(subject)
            self._parents_at[place.site].discard(subject)

    def _note_peaks(self, channel_id: int, at_ms: int, value: float) -> None:
        for subject in self._peaked[channel_id]:
            known = self._standing[subject]
            worse = known is None or (value > known.value if subject.kind in UPWARD else value < known.value)
            if worse:
                self._standing[subject] = self._outcome.peaks[subject] = Peak(value, at_ms)

    def _remember(self, channel_id: int) -> None:
        seat = self._seats[channel_id]
        self._outcome.kept[channel_id] = Kept(seat.room.memory[channel_id], seat.channel.plan.unit, seat.step_ms)

    def _adapt(self, channel_id: int, channel: Channel, now_ms: int, first: bool) -> None:
        """Let what is remembered of a channel fit the rules in force."""
        kept = self._kept.get(channel_id)
        seat = self._seats.get(channel_id)
        if seat is not None and seat.channel.plan == channel.plan:
            return
        memory = Memory() if kept is None else kept.memory
        touched = False
        if kept is not None and kept.unit != channel.plan.unit:
            # What was measured in another unit tells nothing about this one.
            memory, touched = Memory(), True
            self._kept[channel_id] = Kept(memory, channel.plan.unit)
            self._end_judged(channel_id, now_ms, UNIT_CHANGED)
        before = {} if seat is None else {each.kind: each for each in seat.channel.plan.rules}
        after = {each.kind: each for each in channel.plan.rules}
        for kind in list(memory.states):
            stands = Subject(channel_id, kind) in self._standing
            # What was pending under another rule proves nothing about this one.
            changed = not first and not stands and before.get(kind) != after.get(kind)
            if kind not in after or changed:
                del memory.states[kind]
                touched = True
        if first:
            for kind in after.keys() - memory.states.keys():
                self._give_back(Subject(channel_id, kind), now_ms, JUDGED_ANEW)
        if touched:
            self._outcome.kept[channel_id] = Kept(memory, channel.plan.unit, 0 if kept is None else kept.step_ms)

    def _end_judged(self, channel_id: int, now_ms: int, note: str) -> None:
        for kind in JUDGES:
            self._give_back(Subject(channel_id, kind), now_ms, note)

    def _return_withdrawn(self, fresh: Mapping[int, Channel], now_ms: int) -> None:
        for subject in list(self._standing):
            if subject.channel_id is None or subject.kind is Kind.NO_DATA:
                continue
            channel = fresh.get(subject.channel_id)
            if channel is None or channel.rule(subject.kind) is None:
                self._give_back(subject, now_ms, LIMIT_WITHDRAWN)

    def _seat(self, fresh: Mapping[int, Channel]) -> None:
        """Put the channels into their rooms; a room whose channels are what they were stays as it is."""
        by_room: dict[str, list[Channel]] = defaultdict(list)
        for channel in fresh.values():
            by_room[channel.room].append(channel)
        before, self._rooms = self._rooms, {}
        old, self._seats = self._seats, {}
        self._timely = []
        for name, channels in by_room.items():
            plans = [each.plan for each in channels]
            room = before.get(name)
            if room is None or list(room.channels.values()) != plans:
                room = Room(
                    plans,
                    {
                        each.channel_id: self._kept[each.channel_id].memory
                        for each in plans
                        if each.channel_id in self._kept
                    },
                )
            self._rooms[name] = room
            if any(JUDGES[rule.kind].due is not None for each in plans for rule in each.rules):
                self._timely += [] if channels[0].replaying else [(channels[0].place.gateway, room)]
            # A channel nothing is concluded from still tells its room's judges something, when they ask.
            matters = any(each.matters for each in channels)
            for channel in channels:
                channel_id = channel.plan.channel_id
                previous, kept = old.get(channel_id), self._kept.get(channel_id)
                self._seats[channel_id] = _Seat(
                    channel,
                    room,
                    Kind.NO_DATA in channel.timed and not channel.replaying,
                    channel.plan.gap_ms,
                    matters,
                    0 if kept is None else kept.step_ms,
                    None if previous is None else previous.behind,
                )
        self._at_site.clear()
        self._parents_at.clear()
        for subject in self._standing:
            self._note_place(subject)


def _held_late(verdict: Verdict) -> Verdict:
    """Return what a verdict about the past does: it may raise and return, but calls nobody."""
    if verdict.move is Move.RELEASE:
        return verdict._replace(move=Move.HOLD, hold=Hold.LATE)
    if verdict.move is Move.RAISE and verdict.hold is None:
        return verdict._replace(hold=Hold.LATE)
    return verdict
