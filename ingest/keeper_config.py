"""What the keeper can be told: how often it looks, what dead letters may take, when it asks for what is missing."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["KeeperConfig"]


class KeeperConfig(BaseModel):
    """The housekeeping beside an ingest worker."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    enabled: bool = Field(default=True, description="keep house: replay dead letters, ask for gaps, hold quotas")
    poll_s: float = Field(default=1.0, gt=0, le=60, description="seconds between two rounds")
    registry_s: float = Field(
        default=5.0, gt=0, le=3_600, description="seconds after which the registry is read again while letters wait"
    )
    round_letters: int = Field(
        default=200, ge=1, le=10_000, description="dead letters looked at in one round, so that a flood delays nobody"
    )
    unapproved_channels: int = Field(
        default=5_000, ge=1, le=100_000, description="channel names listed as waiting for approval, for each gateway"
    )
    letter_bytes: int = Field(
        default=1 << 30, ge=1 << 20, description="bytes the bodies of all dead letters may take; beyond it bodies go"
    )
    gateway_letter_bytes: int = Field(
        default=128 << 20, ge=1 << 16, description="bytes the bodies of one gateway's dead letters may take"
    )
    letter_rows: int = Field(
        default=1_000_000,
        ge=100,
        description="dead letters kept in all; beyond it the oldest without a body are folded",
    )
    gateway_letter_rows: int = Field(default=100_000, ge=10, description="dead letters kept of one gateway")
    gap_ask_s: float = Field(
        default=30.0, gt=0, le=86_400, description="seconds a gap stands before the gateway is asked to send again"
    )
    gap_ask_max_s: float = Field(
        default=3_600.0, gt=0, le=604_800, description="seconds between two such commands at most, after doubling"
    )
    gap_lost_s: float = Field(
        default=86_400.0,
        gt=0,
        le=31_536_000,
        description="seconds after a new epoch began at which the gaps of the one it replaced are declared lost",
    )
    rebirth_s: float = Field(
        default=60.0,
        gt=0,
        le=86_400,
        description="seconds between two requests to a gateway to announce itself, doubling",
    )
