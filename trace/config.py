"""Settings of the trace room, each with its meaning and unit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["AnchorConfig", "CaptureConfig", "CurveConfig", "FollowConfig", "TraceConfig"]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CaptureConfig(_Section):
    """What is taken in at once."""

    max_body_bytes: int = Field(
        2 * 1024 * 1024, ge=1024, le=64 * 1024 * 1024, description="Largest capture request, bytes; beyond it 413."
    )
    max_events: int = Field(2_000, ge=1, le=100_000, description="Most events in one document; beyond it 413.")


class FollowConfig(_Section):
    """How the room follows what others commit."""

    poll_s: float = Field(1.0, gt=0, le=60, description="Seconds between looks when nothing wakes the room.")
    feed_batch: int = Field(200, ge=1, le=10_000, description="Gateway documents captured before the cursor is kept.")
    arrival_batch: int = Field(500, ge=1, le=10_000, description="Arrivals read at once to find changed curves.")
    sequence_batch: int = Field(1_000, ge=1, le=50_000, description="Most leaves in one append and checkpoint.")


class CurveConfig(_Section):
    """How a lot's temperature curve is cut into pieces and committed to the log."""

    bucket_s: int = Field(
        14_400,
        ge=60,
        le=86_400,
        description="Length of a piece, seconds; pieces start at multiples since 1970. Longer: fewer, later proofs.",
    )
    sample_s: int = Field(
        60,
        ge=1,
        le=3_600,
        description="Of each span of this length the first reading of a channel is committed, seconds; all are kept.",
    )
    grace_s: float = Field(
        900, ge=0, le=86_400, description="Wait for late readings after a piece's end while its channel is silent, s."
    )
    settle_s: float = Field(
        30, ge=0, le=3_600, description="A piece is taken once no reading of it has come for this long, seconds."
    )
    most_days: int = Field(
        60, ge=1, le=3_650, description="A lot that never leaves a place has its curve followed this long, days."
    )


class AnchorConfig(_Section):
    """Where and how often the log's checkpoint goes on a chain."""

    url: str | None = Field(
        None, description="JSON-RPC URL of an EVM node; none = no anchoring.", json_schema_extra={"secret": True}
    )
    embedded: bool = Field(False, description="The node is the embedded development chain: fund the account there.")
    key_file: Path | None = Field(None, description="The sending account's key; none = anchor.key in the key folder.")
    chain_id: int | None = Field(None, ge=1, description="Refuse a node that serves another chain.")
    every_s: float = Field(60, ge=0, description="Least time between two anchors, seconds.")
    finality: Annotated[int, Field(ge=1, le=10_000)] | Literal["safe", "finalized"] = Field(
        1, description="Blocks until an anchor counts as final (1: mined), or the node's own tag."
    )
    resend_s: float = Field(15, gt=0, description="Patience before the same bytes are sent again, seconds.")
    bump_s: float = Field(120, gt=0, description="Patience before a higher fee is offered, seconds.")
    retry_s: float = Field(5, gt=0, description="Pause after the chain was away, seconds.")
    redeploy_on_fresh_chain: bool | None = Field(
        None, description="Deploy anew where the contract is gone or the chain was set back; none = only if embedded."
    )

    @property
    def may_redeploy(self) -> bool:
        """Whether a wiped or rewound chain is normal."""
        return self.embedded if self.redeploy_on_fresh_chain is None else self.redeploy_on_fresh_chain


class TraceConfig(_Section):
    """The trace room."""

    key_folder: Path = Field(description="Folder of the log's and the anchor account's keys, files of mode 0600.")
    capture: CaptureConfig = CaptureConfig()
    follow: FollowConfig = FollowConfig()
    curve: CurveConfig = CurveConfig()
    anchor: AnchorConfig = AnchorConfig()

    @property
    def log_key_file(self) -> Path:
        """The log's signing key."""
        return self.key_folder / "log.key"

    @property
    def anchor_key_file(self) -> Path:
        """The anchor account's key."""
        return self.anchor.key_file or self.key_folder / "anchor.key"
