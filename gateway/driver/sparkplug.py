"""Sparkplug B: a host application that listens to edge nodes, keeps its STATE, and asks for rebirths.

What the nodes' messages mean stands in `sparkplug_node.py`; here they become channels, and here is what a host says.
The session is clean and data comes at QoS 0, as the specification wants it: what is published while this gateway is not
connected is gone, and a rebirth brings the present values back, not the history. After each of our own connections
every node counts as unborn and is asked for its births, because aliases may have changed unseen.
Source: Sparkplug 3.0, 5.2 (host session), 5.3 (STATE), 5.10 (rebirth), 12 (conformance of a host application).
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from typing import Final, Literal

from pydantic import Field

from hanlu.core.clock import Clock
from hanlu.core.errors import UsageError
from hanlu.core.reading import Reading
from hanlu.core.rejected import Reason, Rejected
from hanlu.core.wire.documents import Loss
from hanlu.gateway.driver.body import channels_of, metric_of
from hanlu.gateway.driver.contract import Batch, Driver, Intake, Undecodable
from hanlu.gateway.driver.mapping import ChannelRule, DriverConfig, code_of
from hanlu.gateway.driver.mqtt_dialogue import Dialogue, Handled, MqttBroker, Publication
from hanlu.gateway.driver.mqtt_source import MqttSource
from hanlu.gateway.driver.sparkplug_node import Heard, Node, Outcome, Value
from hanlu.gateway.driver.sparkplug_payload import BD_SEQ, decode_payload, encode_rebirth
from hanlu.gateway.driver.sparkplug_topic import command_topic, filters, parse_topic, state_topic
from hanlu.gateway.driver.units import Conversion, conversion

__all__ = ["SparkplugConfig", "SparkplugHost"]

_CONTROLS: Final = ("Node Control/", "Device Control/")
_LONGEST_REBIRTH_PAUSE_MS: Final = 600_000
"""A node that does not answer is asked less and less often, down to once in ten minutes."""
_MAX_CHANNELS: Final = 200_000
"""Metrics whose channel is remembered."""
_CODE_LENGTH, _DIGEST = 40, 8

_Key = tuple[str, str]
"""Group id and edge node id."""


class SparkplugConfig(DriverConfig):
    """Sparkplug B edge nodes on a broker."""

    kind: Literal["sparkplug"] = "sparkplug"
    broker: MqttBroker = Field(default=MqttBroker(), description="the edge nodes' broker")
    host_id: str = Field(
        pattern=r"^[^/+#]{1,100}$",
        description="this host's Sparkplug id; unique on the broker, edge nodes may wait for it",
    )
    groups: tuple[str, ...] = Field(default=(), max_length=100, description="group ids to listen to; none: all")
    take_all: bool = Field(
        default=True,
        description="every number becomes a channel `edge-device/metric`, in the unit of its property engUnit where"
        " that is known; false: only the metrics in `channels`",
    )
    channels: tuple[ChannelRule, ...] = Field(
        default=(), max_length=5_000, description="metrics by their full name, e.g. `Room 1/Temperature`"
    )
    reorder_timeout_s: float = Field(
        default=2.0, gt=0, le=60, description="seconds a message out of order waits for the ones before it"
    )
    rebirth_interval_s: float = Field(
        default=30.0, ge=1, le=600, description="seconds between two requests for the births of one edge node at least"
    )
    max_nodes: int = Field(default=1_000, ge=1, le=10_000, description="edge nodes at most")

    def build(self, intake: Intake, clock: Clock) -> Driver:
        """Return the driver; it connects when it runs."""
        host = SparkplugHost(self)
        subscriptions = filters(self.groups, self.host_id)
        channels = channels_of(self.channels)
        return MqttSource(
            self.name, self.broker, subscriptions, host, intake, clock,
            channels=channels, retained=frozenset({state_topic(self.host_id)}), keep_session=False,
        )  # fmt: skip


@dataclass(slots=True)
class _Asking:
    """When an edge node may be asked for its births again."""

    pause_ms: int
    asked_ms: int | None = None
    wanted: bool = False

    def may(self, now_ms: int) -> bool:
        """A clock set back asks once too often rather than never again."""
        return self.asked_ms is None or not 0 <= now_ms - self.asked_ms < self.pause_ms


class SparkplugHost(Dialogue):
    """The host application's side. Times are Unix milliseconds of this gateway."""

    def __init__(self, config: SparkplugConfig) -> None:
        """Know nobody yet."""
        super().__init__()
        self._config = config
        self._state = state_topic(config.host_id)
        self._rules = {rule.source: rule for rule in config.channels}
        self.nodes: dict[_Key, Node] = {}
        """Edge nodes heard of."""
        self._asking: dict[_Key, _Asking] = {}
        self._restless: set[_Key] = set()
        self._left: list[tuple[_Key, Outcome]] = []
        self._channels: dict[tuple[_Key, str, str], str] = {}
        self._owners: dict[str, tuple[_Key, str, str]] = {}
        self._will_ms = 0

    def will(self, now_ms: int) -> Publication:
        """Return this host's death, to be published by the broker."""
        self._will_ms = now_ms
        return self._spoken(online=False, timestamp_ms=now_ms)

    def connected(self, now_ms: int) -> tuple[Publication, ...]:
        """Return this host's birth, with the time of the will, then requests to the nodes that were born: no longer."""
        publications = [self._spoken(online=True, timestamp_ms=self._will_ms)]
        for key, node in self.nodes.items():
            if node.online:
                self._left.append((key, node.lost_sight(now_ms)))
                publications += self._ask(key, now_ms)
        return tuple(publications)

    def farewell(self, now_ms: int) -> tuple[Publication, ...]:
        """Return this host's death, published by itself."""
        return (self._spoken(online=False, timestamp_ms=now_ms),)

    def heard(self, topic: str, payload: bytes, now_ms: int) -> Handled:
        """Return what a message comes to."""
        if topic == self._state:
            return Handled(answers=self._own_state(payload))
        source = f"{self._config.name} {topic}"[:200]
        where = parse_topic(topic)
        if isinstance(where, Rejected):
            return _unread(source, where, payload)
        content = decode_payload(payload)
        if isinstance(content, Rejected):
            return _unread(source, content, payload)
        key = (where.group, where.edge)
        node = self.nodes.get(key)
        if node is None:
            if len(self.nodes) >= self._config.max_nodes:
                return _unread(source, Rejected(Reason.OVERSIZED, "more edge nodes than max_nodes"), payload)
            node = self.nodes[key] = Node()
        was_born = node.online
        outcome = node.heard(Heard(where, content, payload, now_ms))
        if node.online and (where.verb.is_birth or not was_born):
            self._asking.pop(key, None)
        if node.waiting:
            self._restless.add(key)
        return self._handled([(key, outcome)], now_ms)

    def due(self, now_ms: int) -> Handled | None:
        """Return what the end of reorder times, and of pauses between rebirths, comes to."""
        reorder_ms = round(self._config.reorder_timeout_s * 1000)
        outcomes, self._left = self._left, []
        for key in sorted(self._restless):
            node, asking = self.nodes[key], self._asking.get(key)
            outcome = node.due(now_ms, reorder_ms)
            if outcome is None and asking is not None and asking.wanted and asking.may(now_ms):
                outcome = Outcome(rebirth=True)
            if outcome is not None:
                outcomes.append((key, outcome))
            if not node.waiting and not (asking is not None and asking.wanted):
                self._restless.discard(key)
        return self._handled(outcomes, now_ms) if outcomes else None

    def _own_state(self, payload: bytes) -> tuple[Publication, ...]:
        """Contradict whoever says that this host is offline while it is not: an old will that came late."""
        try:
            state = json.loads(payload)
        except (ValueError, RecursionError):
            state = None
        if isinstance(state, dict) and state.get("online") is True:
            return ()
        self.counts["state_republished"] += 1
        return (self._spoken(online=True, timestamp_ms=self._will_ms),)

    def _spoken(self, *, online: bool, timestamp_ms: int) -> Publication:
        body = json.dumps({"online": online, "timestamp": timestamp_ms}).encode()
        return Publication(self._state, body, qos=1, retain=True)

    def _handled(self, outcomes: list[tuple[_Key, Outcome]], now_ms: int) -> Handled:
        """Turn what nodes came to into batches and requests."""
        live: list[Reading] = []
        historical: list[Reading] = []
        losses: list[Loss] = []
        bad: list[Undecodable] = []
        answers: list[Publication] = []
        for key, outcome in outcomes:
            for value in outcome.values:
                self._add(key, value, historical if value.metric.historical else live, losses)
            bad += (
                Undecodable(f"{self._config.name} {'/'.join(key)} {heard.topic.device}".strip()[:200], why, heard.raw)
                for heard, why in outcome.unread
            )
            if outcome.missing:
                losses.append(
                    Loss(reason="sequence_gap", count=outcome.missing, detail=f"messages of {'/'.join(key)}"[:1_000])
                )
            self.counts["ignored"] += outcome.ignored
            if outcome.rebirth:
                answers += self._ask(key, now_ms)
        batch = Batch(tuple(live), tuple(losses), undecodable=tuple(bad))
        earlier = (Batch(tuple(historical), live=False),) if historical else ()
        return Handled(batch, tuple(answers), earlier)

    def _ask(self, key: _Key, now_ms: int) -> tuple[Publication, ...]:
        """Ask a node for its births, unless that was done just now: then remember to."""
        asking = self._asking.setdefault(key, _Asking(round(self._config.rebirth_interval_s * 1000)))
        if not asking.may(now_ms):
            asking.wanted = True
            self._restless.add(key)
            return ()
        if asking.asked_ms is not None:
            asking.pause_ms = min(2 * asking.pause_ms, max(asking.pause_ms, _LONGEST_REBIRTH_PAUSE_MS))
        asking.asked_ms, asking.wanted = now_ms, False
        self.counts["rebirths"] += 1
        return (Publication(command_topic(*key), encode_rebirth(now_ms), qos=0),)

    def _add(self, key: _Key, value: Value, readings: list[Reading], losses: list[Loss]) -> None:
        """Add the reading of a value, or say why there is none."""
        name, device = value.definition.name, value.definition.device
        rule = self._rules.get(name)
        if rule is None and (not self._config.take_all or name == BD_SEQ or name.startswith(_CONTROLS)):
            self.counts["unmapped"] += 1
            return
        if rule is not None:
            try:
                device_id = _device_id(key, device)
                reading = rule.reading(value.value, value.observed_ms, device_id, value.metric.quality)
            except ValueError as error:
                losses.append(Loss(reason=Reason.UNKNOWN_CHANNEL.value, count=1, detail=str(error)[:1_000]))
                return
        else:
            channel = self._channel(key, device, name)
            if channel is None:
                detail = f"{'/'.join(key)} {device} {name}: another metric has this channel: give it one in `channels`"
                losses.append(Loss(reason="channel_taken", count=1, detail=detail[:1_000]))
                return
            convert = _known_unit(value.definition.unit)
            quality = value.metric.quality
            reading = Reading(channel, convert.unit, value.observed_ms, convert(value.value), quality)
        if math.isfinite(reading.value):
            readings.append(reading)
        else:
            losses.append(Loss(reason=Reason.NOT_FINITE.value, count=1, channel=reading.name))

    def _channel(self, key: _Key, device: str, name: str) -> str | None:
        """Return the channel of a metric nobody mapped; None: another one has it, and two must never share it."""
        owner = (key, device, name)
        channel = self._channels.get(owner)
        if channel is None:
            channel = f"{_safe_code(_device_id(key, device))}/{_safe_metric(name)}"
            if self._owners.get(channel, owner) != owner:
                return None
            if len(self._channels) >= _MAX_CHANNELS:
                self._channels.clear()
                self._owners.clear()
            self._channels[owner] = channel
            self._owners[channel] = owner
        return channel


def _unread(source: str, why: Rejected, raw: bytes) -> Handled:
    return Handled(Batch(undecodable=(Undecodable(source, why, raw),)))


def _device_id(key: _Key, device: str) -> str:
    return f"{key[1]}-{device}" if device else key[1]


def _known_unit(unit: str) -> Conversion:
    try:
        return conversion(unit)
    except UsageError:
        return conversion("")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:_DIGEST]


def _safe_code(device_id: str) -> str:
    """Return a device code; ids that are too long, or have no letter we may use, keep apart by their digest."""
    try:
        code = code_of(device_id)
    except ValueError:
        return f"d-{_digest(device_id)}"
    if len(device_id) <= _CODE_LENGTH:
        return code
    return f"{code[: _CODE_LENGTH - _DIGEST - 1].rstrip('-')}-{_digest(device_id)}"


def _safe_metric(name: str) -> str:
    try:
        metric = metric_of(name)
    except ValueError:
        return f"m_{_digest(name)}"
    return metric if len(name) <= 60 else f"{metric[:50].rstrip('_')}_{_digest(name)}"
