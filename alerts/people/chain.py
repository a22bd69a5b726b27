"""The notification chain: small stages, each a pure function over values, each of which may drop a line with a reason.

A line says that one receiver is to be told of one alarm. Stages at planning time: past (is it news), address (is there
anybody), quieten (what nobody is called for), mute, quiet hours, group. Stages at sending time: still true,
deduplicate. What follows, the rate, sending and trying again, is limits.py's and the sender's. A stage neither invents
lines nor loses them: each comes out kept, or dropped with its reason (`run` asserts it).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from hanlu.alerts.alarm import ProcessState, SuppressionState, calls
from hanlu.alerts.people.config import NotifyConfig
from hanlu.alerts.people.escalation import Policy
from hanlu.alerts.people.facts import AlarmFacts
from hanlu.alerts.people.model import Receiver

__all__ = [
    "Batch",
    "Dropped",
    "Line",
    "Mute",
    "Sent",
    "Stage",
    "address",
    "content_of",
    "deduplicate",
    "group",
    "mute",
    "past",
    "quiet_hours",
    "quieten",
    "run",
    "still_true",
]


@dataclass(frozen=True, slots=True)
class Line:
    """One receiver is to be told of one alarm.

    Attributes:
        alarm: as it stands now.
        version: of the call the line belongs to.
        purpose: `call`, `return` or `digest`.
        step: of the escalation, from 0.
        target: code of the receiver, `rota:<code>` or `-`.
        receiver: None when the target is nobody.
        due_ms: when the message may go, Unix milliseconds.
        group_key: what it shares a message with.
    """

    alarm: AlarmFacts
    version: int
    purpose: str
    step: int
    target: str
    receiver: Receiver | None
    due_ms: int
    group_key: str = ""


@dataclass(frozen=True, slots=True)
class Dropped:
    """A line nobody is told, and why: a code, after a colon a detail."""

    line: Line
    reason: str


@dataclass(frozen=True, slots=True)
class Batch:
    """What goes through the chain."""

    lines: tuple[Line, ...] = ()
    dropped: tuple[Dropped, ...] = ()

    def judged(self, judge: Callable[[Line], Line | str]) -> Batch:
        """Return the batch with every line replaced by the line that `judge` returns, or dropped for its reason."""
        kept: list[Line] = []
        dropped = list(self.dropped)
        for line in self.lines:
            verdict = judge(line)
            if isinstance(verdict, str):
                dropped.append(Dropped(line, verdict))
            else:
                kept.append(verdict)
        return Batch(tuple(kept), tuple(dropped))


Stage = Callable[[Batch], Batch]


@dataclass(frozen=True, slots=True)
class Mute:
    """A time in which nobody is told of some alarms.

    Attributes:
        mute_id: key.
        organisation_id: alarms below this node.
        site_id: one site only; None all.
        priorities: of the alarms.
        begins_ms: begin.
        ends_ms: end, not in it.
    """

    mute_id: int
    organisation_id: int
    site_id: int | None
    priorities: tuple[int, ...]
    begins_ms: int
    ends_ms: int

    def covers(self, alarm: AlarmFacts, at_ms: int) -> bool:
        """Tell whether it holds for an alarm at an instant."""
        return (
            self.begins_ms <= at_ms < self.ends_ms
            and alarm.priority in self.priorities
            and self.organisation_id in alarm.nodes
            and self.site_id in {None, alarm.site_id}
        )


def run(stages: Iterable[Stage], batch: Batch) -> Batch:
    """Run a batch through the stages in order."""
    total = len(batch.lines) + len(batch.dropped)
    for stage in stages:
        batch = stage(batch)
        assert len(batch.lines) + len(batch.dropped) == total, "a stage lost a line"
        assert all(each.reason for each in batch.dropped), "a line was dropped without a reason"
    return batch


def past(alarm_ids: frozenset[int]) -> Stage:
    """Make the stage that drops first calls for alarms that went back to normal long ago."""

    def stage(batch: Batch) -> Batch:
        return batch.judged(lambda line: "past" if line.alarm.alarm_id in alarm_ids else line)

    return stage


def address(batch: Batch) -> Batch:
    """Drop what names nobody that can be told."""

    def judge(line: Line) -> Line | str:
        if line.receiver is None:
            if line.target == "-":
                return "nobody_named"
            return "nobody_on_call" if line.target.startswith("rota:") else "unknown_receiver"
        return line if line.receiver.enabled else "receiver_off"

    return batch.judged(judge)


def quieten(batch: Batch) -> Batch:
    """Drop what nobody is called for: history played back, and what another alarm speaks for."""

    def judge(line: Line) -> Line | str:
        if line.alarm.replayed:
            return "replayed"
        if line.alarm.explained_by is not None:
            return f"explained:{line.alarm.explained_by}"
        return line

    return batch.judged(judge)


def mute(mutes: Sequence[Mute], now_ms: int) -> Stage:
    """Make the stage that drops what is muted now."""

    def stage(batch: Batch) -> Batch:
        def judge(line: Line) -> Line | str:
            found = next((each for each in mutes if each.covers(line.alarm, now_ms)), None)
            return line if found is None else f"muted:{found.mute_id}"

        return batch.judged(judge)

    return stage


def quiet_hours(policies: Mapping[int, Policy], now_ms: int) -> Stage:
    """Make the stage that keeps what can wait for the morning, as a digest; a return that can wait is not worth one."""

    def stage(batch: Batch) -> Batch:
        def judge(line: Line) -> Line | str:
            policy = next((policies[each] for each in line.alarm.nodes if each in policies), None)
            until = policy.quiet.until(now_ms, line.alarm.priority) if policy and policy.quiet else None
            if until is None:
                return line
            if line.purpose == "return":
                return "quiet_hours"
            return replace(line, purpose="digest", due_ms=max(line.due_ms, until), group_key=f"digest:{until}")

        return batch.judged(judge)

    return stage


def group(config: NotifyConfig, last_sent_ms: Mapping[tuple[int, str], int], now_ms: int) -> Stage:
    """Make the stage that gathers by site: a message waits for company, and follows the one before at a distance.

    A critical alarm waits hardly at all: neither for company nor for the distance.

    Args:
        config: the waits.
        last_sent_ms: when a receiver was last sent a message of a group, by receiver and group.
        now_ms: the platform's time.
    """

    def stage(batch: Batch) -> Batch:
        def judge(line: Line) -> Line | str:
            if line.group_key:
                return line
            assert line.receiver is not None, "addressed before"
            key = f"site:{line.alarm.site_id}"
            if line.alarm.priority == 1 and line.purpose == "call":
                due_ms = now_ms + round(config.critical_wait_s * 1000)
            else:
                due_ms = now_ms + round(config.group_wait_s * 1000)
                last = last_sent_ms.get((line.receiver.receiver_id, key))
                if last is not None:
                    due_ms = max(due_ms, last + round(config.group_interval_s * 1000))
            return replace(line, group_key=key, due_ms=max(line.due_ms, due_ms))

        return batch.judged(judge)

    return stage


def still_true(ended: Mapping[tuple[int, int], str]) -> Stage:
    """Make the stage that drops, just before sending, what needs nobody any more.

    Args:
        ended: calls that are over, (alarm, version) -> the event that ended them.
    """

    def stage(batch: Batch) -> Batch:
        def judge(line: Line) -> Line | str:
            if line.purpose == "return":
                return line
            if line.alarm.explained_by is not None:
                return f"explained:{line.alarm.explained_by}"
            if not calls(ProcessState(line.alarm.process_state), SuppressionState(line.alarm.suppression_state)):
                return f"over:{ended.get((line.alarm.alarm_id, line.version), 'close')}"
            return line

        return batch.judged(judge)

    return stage


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that went out, or may have."""

    content: str
    at_ms: int


def deduplicate(config: NotifyConfig, sent: Sequence[Sent], now_ms: int) -> Stage:
    """Make the stage that drops a message whose whole content its receiver got a moment ago.

    Escalation repeats on purpose, but never closer than `repeat_s`: the same person named twice in a ladder hears once.
    """
    recent = {each.content for each in sent if now_ms - each.at_ms < config.repeat_s * 1000}

    def stage(batch: Batch) -> Batch:
        repeated = bool(batch.lines) and content_of(batch.lines) in recent
        return batch.judged(lambda line: "repeated" if repeated else line)

    return stage


def content_of(lines: Sequence[Line]) -> str:
    """Return the hash of what a message is about: its alarms, their calls and what of them; not the steps."""
    about = sorted({(each.alarm.alarm_id, each.version, each.purpose == "return") for each in lines})
    return hashlib.sha256(repr(about).encode()).hexdigest()[:32]
