"""The small JSON documents beside readings and events: birth, will, loss, undecoded, receipt, command.

Strict pydantic models: unknown fields are refused upward (a newer gateway says so by its topic version) and ignored
downward.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from hanlu.core.limits import CODE_PATTERN
from hanlu.core.rejected import Reason

__all__ = ["Birth", "BirthChannel", "Command", "Loss", "Receipt", "Undecoded", "Will"]

Code = Annotated[str, Field(pattern=rf"^{CODE_PATTERN}$")]
Epoch = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$", description="identity of the spool, 16 bytes as hex")]


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BirthChannel(_Document):
    """One channel a gateway says it will report."""

    name: str = Field(max_length=120, description="`device/metric`")
    unit: str = Field(max_length=16, description="SenML unit, empty for booleans")
    period_s: float = Field(gt=0, le=86_400, description="expected seconds between readings")


class Birth(_Document):
    """What a gateway says at (re)connection, before anything else."""

    gateway: Code
    software: str = Field(max_length=80)
    boot_ms: int = Field(description="Unix milliseconds at process start by the gateway's clock")
    replay: bool = Field(default=False, description="everything that follows is replayed, judged in its own time")
    config_version: int = Field(default=0, ge=0, description="of the remote configuration in force; 0: the file's own")
    config_error: str = Field(default="", max_length=500, description="why the last remote configuration was refused")
    channels: tuple[BirthChannel, ...] = Field(default=(), max_length=5_000)


class Will(_Document):
    """Published by the broker when the gateway's session breaks; unsigned and without seq."""

    gateway: Code
    epoch: Epoch


class Loss(_Document):
    """Readings that were produced and will never come, with the reason: explicit, never silent."""

    reason: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$", description="e.g. no_value, not_a_number, spool_full")
    count: int = Field(gt=0, le=10_000_000, description="readings")
    channel: str | None = Field(default=None, max_length=120)
    from_ms: int | None = None
    to_ms: int | None = None
    detail: str = Field(default="", max_length=4_000)
    source: str = Field(
        default="",
        max_length=200,
        description="names what was lost, where it may be declared again: the platform counts a source once for each"
        " gateway, reason and channel; empty: every declaration counts",
    )


class Undecoded(_Document):
    """What a device sent and the gateway could not read: kept with its bytes, for the platform's dead letters."""

    source: str = Field(max_length=200, description="driver and device or topic, e.g. `lorawan-1 a84041ffff1eb2d1`")
    reason: Reason
    detail: str = Field(default="", max_length=1_000)
    observed_ms: int = Field(description="the gateway's clock when it came, Unix milliseconds")
    body: str = Field(max_length=90_000, description="the bytes, base64; of a longer message the beginning")
    size: int = Field(ge=0, description="bytes the message had")


class Receipt(BaseModel):
    """The platform's word that readings are committed: the only ground for deleting them at the edge."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    epoch: Epoch
    committed: int = Field(ge=0, description="every seq up to and with this one is committed")
    digest: str = Field(
        default="",
        pattern=r"^([0-9a-f]{64})?$",
        description="SHA-256 of message `committed`, hex: who holds another one under that number deletes nothing",
    )
    missing: tuple[tuple[int, int], ...] = Field(
        default=(), max_length=100, description="inclusive ranges above `committed` that have not arrived"
    )
    now_ms: int = Field(description="the platform's clock at commit, Unix milliseconds")


class Command(BaseModel):
    """What the platform asks of a gateway."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    action: Literal["rebirth", "resend", "configure"]
    from_seq: int | None = Field(default=None, description="resend: first seq, inclusive; none: from the first kept")
    to_seq: int | None = Field(default=None, description="resend: last seq, inclusive; none: to the last")
    version: int | None = Field(default=None, ge=1, description="configure: number of the configuration, rising")
    config: str | None = Field(default=None, max_length=200_000, description="configure: TOML, without secrets")
