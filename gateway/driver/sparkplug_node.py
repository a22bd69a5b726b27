"""One Sparkplug edge node as a host sees it: births, aliases, sequence, deaths. Pure: no clock, no network.

Theory of operation. Everything but a death carries a sequence number that rises by one and wraps after 255. Whatever
comes in its turn is applied; what comes too early waits until the gap before it closes or the reorder time is over,
then it is applied all the same (a lost message takes no other along) and the node is asked for a rebirth. A birth
defines names, aliases and types, and begins everything anew; a death, a new connection of our own, or a gap that may
hide a birth ends it. Aliases mean something only between the two: a value by an alias nobody was born with is handed on
unread, never guessed at.

    unborn --NBIRTH--> born --NDEATH with the same bdSeq, or our own reconnection--> unborn
    device: unborn --DBIRTH--> born --DDEATH, NBIRTH or the node's death--> unborn

Source: Sparkplug 3.0, 5.4 to 5.10 (operational behavior), 6.4.1 (sequence), 6.4.6 (aliases).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from hanlu.core.rejected import Reason, Rejected
from hanlu.gateway.driver.sparkplug_payload import Metric, Payload, value_of
from hanlu.gateway.driver.sparkplug_topic import SparkplugTopic, Verb

__all__ = ["Definition", "Heard", "Node", "Outcome", "Value"]

MAX_DEFINITIONS: Final = 50_000
"""Metrics of one edge node with all its devices at most."""
MAX_DEVICES: Final = 5_000
"""Devices of one edge node at most."""
MAX_WAITING_BYTES: Final = 512 * 1024
"""Bytes of messages waiting for one before them; beyond, the gap is given up early."""
_SEQUENCE: Final = 256


@dataclass(frozen=True, slots=True)
class Definition:
    """What a birth said of a metric.

    Attributes:
        device: device id; empty: the node's own.
        name: full name.
        datatype: code.
        unit: as the maker wrote it; empty: not told.
    """

    device: str
    name: str
    datatype: int
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Value:
    """A number a node or device reported.

    Attributes:
        definition: of its metric.
        metric: as it came.
        value: the number.
        observed_ms: Unix milliseconds: the metric's time, else the payload's, else that of reception.
    """

    definition: Definition
    metric: Metric
    value: float
    observed_ms: int


@dataclass(frozen=True, slots=True)
class Heard:
    """A message and when it came.

    Attributes:
        topic: its parts.
        payload: decoded.
        raw: its bytes.
        now_ms: time of reception, Unix milliseconds.
    """

    topic: SparkplugTopic
    payload: Payload
    raw: bytes
    now_ms: int


@dataclass(slots=True)
class Outcome:
    """What one step came to.

    Attributes:
        values: numbers, in order.
        unread: messages of which something could not be read, with why.
        missing: messages that were never heard, as far as the sequence tells.
        ignored: metrics that are no numbers, or null.
        rebirth: whether the node should be asked for its births.
    """

    values: list[Value] = field(default_factory=list)
    unread: list[tuple[Heard, Rejected]] = field(default_factory=list)
    missing: int = 0
    ignored: int = 0
    rebirth: bool = False


class Node:
    """The state of one edge node."""

    def __init__(self) -> None:
        """Begin unborn."""
        self.online = False
        """Whether a birth is in force."""
        self.changed_ms = 0
        """When `online` changed last, Unix milliseconds of ours."""
        self.devices: dict[str, bool] = {}
        """Devices heard of, and whether they are born."""
        self.bd_seq: int | None = None
        self._expected = 0
        self._definitions: dict[tuple[str, str], Definition] = {}
        self._aliases: dict[int, Definition] = {}
        self._early: dict[int, Heard] = {}
        self._early_bytes = 0
        self._gap_since_ms: int | None = None

    @property
    def waiting(self) -> int:
        """Return how many messages wait for one before them."""
        return len(self._early)

    def is_stale(self, device: str, name: str) -> bool:
        """Tell whether a metric's last value says nothing about now: its device or node is not born."""
        alive = self.online and (not device or self.devices.get(device, False))
        return not alive or (device, name) not in self._definitions

    def heard(self, heard: Heard) -> Outcome:
        """Take one message."""
        outcome = Outcome()
        verb, seq = heard.topic.verb, heard.payload.seq
        if verb is Verb.NDEATH:
            self._node_died(heard, outcome)
        elif seq is None:
            outcome.unread.append((heard, Rejected(Reason.FOREIGN_SCHEMA, f"{verb} without a sequence number")))
        elif verb is Verb.NBIRTH:
            self._node_born(heard, seq, outcome)
        elif not self.online:
            self._read(heard, outcome)
            outcome.rebirth = True
        else:
            self._in_turn(heard, seq, outcome)
        return outcome

    def due(self, now_ms: int, reorder_ms: int) -> Outcome | None:
        """Return what the end of a reorder time comes to; None: it has not ended. A clock set back ends it, too."""
        since = self._gap_since_ms
        if since is None or 0 <= now_ms - since < reorder_ms:
            return None
        outcome = Outcome()
        self._give_up_gap(outcome)
        outcome.rebirth = True
        return outcome

    def lost_sight(self, now_ms: int) -> Outcome:
        """Forget what a birth said, since messages may have passed unheard; return what was waiting."""
        outcome = Outcome()
        self._give_up_gap(outcome)
        self._end(now_ms)
        return outcome

    def _in_turn(self, heard: Heard, seq: int, outcome: Outcome) -> None:
        ahead = (seq - self._expected) % _SEQUENCE
        if ahead == _SEQUENCE - 1 or seq in self._early:
            self._read(heard, outcome)  # the last one again: its values are recognised further up
            return
        if ahead:
            self._early[seq] = heard
            self._early_bytes += len(heard.raw)
            if self._gap_since_ms is None:
                self._gap_since_ms = heard.now_ms
            if self._early_bytes > MAX_WAITING_BYTES:
                self._give_up_gap(outcome)
                outcome.rebirth = True
            return
        self._apply(heard, outcome)
        self._expected = (seq + 1) % _SEQUENCE
        while (following := self._early.pop(self._expected, None)) is not None:
            self._apply(following, outcome)
            self._expected = (self._expected + 1) % _SEQUENCE
            self._early_bytes -= len(following.raw)
        if not self._early:
            self._gap_since_ms = None

    def _give_up_gap(self, outcome: Outcome) -> None:
        """Apply what waits in its order, and count what is missing between.

        Where number 0 is missing, it may have been a birth with other aliases: the old ones end.
        """
        waiting = sorted(self._early.items(), key=lambda item: (item[0] - self._expected) % _SEQUENCE)
        self._early, self._early_bytes, self._gap_since_ms = {}, 0, None
        for seq, heard in waiting:
            missing = (seq - self._expected) % _SEQUENCE
            if missing and -self._expected % _SEQUENCE < missing:
                self._end(heard.now_ms)
            outcome.missing += missing
            self._apply(heard, outcome)
            self._expected = (seq + 1) % _SEQUENCE

    def _apply(self, heard: Heard, outcome: Outcome) -> None:
        device, verb = heard.topic.device, heard.topic.verb
        if verb is Verb.DDEATH:
            if device in self.devices:
                self.devices[device] = False
            self._undefine(device)
            return
        if verb is Verb.DBIRTH and device not in self.devices and len(self.devices) >= MAX_DEVICES:
            outcome.unread.append((heard, Rejected(Reason.OVERSIZED, f"more than {MAX_DEVICES} devices")))
            return
        if verb is Verb.DBIRTH:
            self._undefine(device)
            self.devices[device] = True
            self._define(heard, outcome)
        elif verb is Verb.DDATA and not self.devices.get(device, False):
            outcome.rebirth = True
        self._read(heard, outcome)

    def _node_born(self, heard: Heard, seq: int, outcome: Outcome) -> None:
        self._give_up_gap(outcome)
        self._end(heard.now_ms)
        self.online, self.bd_seq, self._expected = True, heard.payload.bd_seq, (seq + 1) % _SEQUENCE
        self._define(heard, outcome)
        self._read(heard, outcome)

    def _node_died(self, heard: Heard, outcome: Outcome) -> None:
        """End the birth this death belongs to; one of an earlier connection comes late and means nothing."""
        bd_seq = heard.payload.bd_seq
        if bd_seq is None:
            outcome.unread.append((heard, Rejected(Reason.FOREIGN_SCHEMA, "NDEATH without bdSeq")))
        elif self.online and self.bd_seq in {None, bd_seq}:
            self._give_up_gap(outcome)
            self._end(heard.now_ms)

    def _end(self, now_ms: int) -> None:
        self.online, self.changed_ms, self.bd_seq = False, now_ms, None
        self.devices = dict.fromkeys(self.devices, False)
        self._definitions.clear()
        self._aliases.clear()

    def _undefine(self, device: str) -> None:
        self._definitions = {key: each for key, each in self._definitions.items() if each.device != device}
        self._aliases = {alias: each for alias, each in self._aliases.items() if each.device != device}

    def _define(self, heard: Heard, outcome: Outcome) -> None:
        for metric in heard.payload.metrics:
            if not metric.name:
                continue
            if len(self._definitions) >= MAX_DEFINITIONS:
                outcome.unread.append((heard, Rejected(Reason.OVERSIZED, f"more than {MAX_DEFINITIONS} metrics")))
                return
            definition = Definition(heard.topic.device, metric.name, metric.datatype, metric.unit)
            self._definitions[heard.topic.device, metric.name] = definition
            if metric.alias is not None:
                self._aliases[metric.alias] = definition

    def _read(self, heard: Heard, outcome: Outcome) -> None:
        """Add the numbers of a message; what cannot be understood makes it an unread one, once."""
        unknown: str | None = None
        for metric in heard.payload.metrics:
            definition = self._definition(heard, metric)
            if definition is None:
                unknown = unknown or (metric.name or f"alias {metric.alias}")
                continue
            value = value_of(metric, metric.datatype or definition.datatype)
            if value is None:
                outcome.ignored += 1
                continue
            observed_ms = metric.timestamp_ms if metric.timestamp_ms is not None else heard.payload.timestamp_ms
            outcome.values.append(
                Value(definition, metric, value, heard.now_ms if observed_ms is None else observed_ms)
            )
        if unknown is not None:
            detail = f"{unknown[:80]!r} was never born; a rebirth is asked for"
            outcome.unread.append((heard, Rejected(Reason.UNKNOWN_CHANNEL, detail)))
            outcome.rebirth = True

    def _definition(self, heard: Heard, metric: Metric) -> Definition | None:
        """Return what is known of a metric: by its alias, by its name, or by what it says of itself."""
        device = heard.topic.device
        if not metric.name:
            found = self._aliases.get(metric.alias) if metric.alias is not None else None
            return found if found is not None and found.device == device else None
        found = self._definitions.get((device, metric.name))
        if found is None and (metric.datatype or metric.integer is None):
            return Definition(device, metric.name, metric.datatype, metric.unit)
        return found
