"""Sparkplug topics; pure.

Source: Sparkplug 3.0, 4.1 (namespace), 4.2 to 4.3 (verbs), 4.4 (STATE).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hanlu.core.rejected import Reason, Rejected

__all__ = ["SparkplugTopic", "Verb", "command_topic", "filters", "parse_topic", "state_topic"]

_NAMESPACE = "spBv1.0"


class Verb(StrEnum):
    """What a message of an edge node is; those of devices start with D."""

    NBIRTH = "NBIRTH"
    NDATA = "NDATA"
    NDEATH = "NDEATH"
    DBIRTH = "DBIRTH"
    DDATA = "DDATA"
    DDEATH = "DDEATH"

    @property
    def of_device(self) -> bool:
        """Tell whether the topic names a device."""
        return self.value.startswith("D")

    @property
    def is_birth(self) -> bool:
        """Tell whether it defines metrics."""
        return self.value.endswith("BIRTH")

    @property
    def is_data(self) -> bool:
        """Tell whether it carries values of metrics already defined."""
        return self.value.endswith("DATA")


@dataclass(frozen=True, slots=True)
class SparkplugTopic:
    """A topic of an edge node or device; ids are case-sensitive.

    Attributes:
        group: group id.
        verb: message type.
        edge: edge node id.
        device: device id; empty for messages of the edge node itself.
    """

    group: str
    verb: Verb
    edge: str
    device: str = ""


def parse_topic(topic: str) -> SparkplugTopic | Rejected:
    """Return the parts of a topic."""
    parts = topic.split("/")
    if len(parts) not in {4, 5} or parts[0] != _NAMESPACE or not all(parts):
        return Rejected(Reason.BAD_TOPIC, "not spBv1.0/group/verb/edge[/device]")
    if parts[2] not in Verb.__members__:
        return Rejected(Reason.BAD_TOPIC, f"message type {parts[2][:20]!r} is not for a host")
    verb = Verb(parts[2])
    if verb.of_device != (len(parts) == 5):
        return Rejected(Reason.BAD_TOPIC, f"{verb} {'needs' if verb.of_device else 'has no'} device id")
    return SparkplugTopic(parts[1], verb, *parts[3:])


def state_topic(host_id: str) -> str:
    """Return the topic of a host's births and deaths."""
    return f"{_NAMESPACE}/STATE/{host_id}"


def command_topic(group: str, edge: str) -> str:
    """Return the topic of commands to an edge node."""
    return f"{_NAMESPACE}/{group}/NCMD/{edge}"


def filters(groups: tuple[str, ...], host_id: str) -> tuple[str, ...]:
    """Return what a host subscribes to: its own state and everything edge nodes say; no groups: all."""
    levels = {verb: "+/+" if verb.of_device else "+" for verb in Verb}
    return (
        state_topic(host_id),
        *(f"{_NAMESPACE}/{group}/{verb}/{level}" for group in groups or ("+",) for verb, level in levels.items()),
    )
