"""The value that stands for refused input: a stable reason code and words for a person."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Reason", "Rejected"]


class Reason(StrEnum):
    """Why a message, record or cell was refused; stored with the dead letter and counted on the console."""

    OVERSIZED = "oversized"
    MALFORMED = "malformed"
    FOREIGN_SCHEMA = "foreign_schema"
    BAD_TOPIC = "bad_topic"
    BAD_SIGNATURE = "bad_signature"
    UNKNOWN_KEY = "unknown_key"
    UNKNOWN_GATEWAY = "unknown_gateway"
    GATEWAY_MISMATCH = "gateway_mismatch"
    BROKEN_CHAIN = "broken_chain"
    UNKNOWN_CHANNEL = "unknown_channel"
    UNIT_MISMATCH = "unit_mismatch"
    NOT_NUMERIC = "not_numeric"
    NOT_FINITE = "not_finite"
    IMPOSSIBLE_VALUE = "impossible_value"
    IMPOSSIBLE_TIME = "impossible_time"
    CONFLICTING_VALUE = "conflicting_value"
    INVALID_EVENT = "invalid_event"
    DATABASE_REFUSED = "database_refused"
    THROTTLED = "throttled"


@dataclass(frozen=True, slots=True)
class Rejected:
    """Refused input.

    Attributes:
        reason: stable code.
        detail: words for a person, naming the place and the remedy; never contains secrets.
    """

    reason: Reason
    detail: str
