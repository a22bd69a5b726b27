"""MQTT topics: built and parsed only here.

`hanlu/1/{partition}/{gateway}/{lane}` upward, `.../{receipt|command}` downward. Frozen values, valid by construction.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from hanlu.core.limits import CODE_PATTERN, PARTITIONS
from hanlu.core.rejected import Reason, Rejected

__all__ = ["Lane", "Topic", "parse_topic", "subscription", "subscription_to_all"]


class Lane(StrEnum):
    """What a topic carries."""

    LIVE = "live"
    BACKLOG = "backlog"
    EVENT = "event"
    BIRTH = "birth"
    WILL = "will"
    RECEIPT = "receipt"
    COMMAND = "command"

    @property
    def upward(self) -> bool:
        """Tell whether gateways publish it."""
        return self not in _DOWNWARD


_DOWNWARD = (Lane.RECEIPT, Lane.COMMAND)
_LONGEST = 80
"""Characters; a longer topic is none of ours."""
_TOPICS_KEPT = 20_000
"""Topics whose parsing is remembered: the same few come again and again."""
_LANES = frozenset(lane.value for lane in Lane)
_TOPIC = re.compile(rf"hanlu/1/([0-9][0-9])/({CODE_PATTERN})/([a-z]+)")


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic.

    Attributes:
        partition: 0 to 63, fixed for a gateway.
        gateway: the gateway's code.
        lane: what it carries.
    """

    partition: int
    gateway: str
    lane: Lane

    def __post_init__(self) -> None:
        """Refuse a partition or code that no topic can carry."""
        if not 0 <= self.partition < PARTITIONS:
            raise ValueError(f"partition {self.partition} is not within 0 to {PARTITIONS - 1}")
        if not re.fullmatch(CODE_PATTERN, self.gateway):
            raise ValueError(f"{self.gateway!r} is not a gateway code ({CODE_PATTERN})")

    def __str__(self) -> str:
        """Return the topic as MQTT wants it."""
        return f"hanlu/1/{self.partition:02d}/{self.gateway}/{self.lane.value}"


def parse_topic(text: str) -> Topic | Rejected:
    """Return the topic in `text`, or why it is none of ours."""
    return _parsed(text) if len(text) <= _LONGEST else _foreign(text)


@lru_cache(maxsize=_TOPICS_KEPT)
def _parsed(text: str) -> Topic | Rejected:
    match = _TOPIC.fullmatch(text)
    if match is None or int(match[1]) >= PARTITIONS or match[3] not in _LANES:
        return _foreign(text)
    return Topic(int(match[1]), match[2], Lane(match[3]))


def _foreign(text: str) -> Rejected:
    return Rejected(Reason.BAD_TOPIC, f"{text[:120]!r} is not hanlu/1/<00-63>/<gateway>/<lane>")


def subscription(partition: int, lane: Lane | None = None) -> str:
    """Return the filter for every gateway of `partition`, one lane or all upward and downward ones."""
    return f"hanlu/1/{partition:02d}/+/{lane.value if lane else '+'}"


def subscription_to_all(lane: Lane) -> str:
    """Return the filter for one lane of every gateway of every partition."""
    return f"hanlu/1/+/+/{lane.value}"
