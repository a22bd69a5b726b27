"""Settings of the alarm engine and of the operator console."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["ConsoleConfig", "EngineConfig"]


class EngineConfig(BaseModel):
    """The alarm engine."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    poll_s: Annotated[float, Field(gt=0, le=10)] = 0.5
    """Seconds between looks at the feed when no notification wakes the engine; also how soon it obeys a stop."""
    page_arrivals: Annotated[int, Field(ge=1, le=5_000)] = 400
    """Most messages judged in one transaction."""
    refresh_s: Annotated[float, Field(gt=0, le=3_600)] = 30.0
    """Seconds between readings of the channels and limits from the registry."""
    silence_check_s: Annotated[float, Field(gt=0, le=60)] = 1.0
    """Seconds between looks for channels that have fallen silent and for messages that are missing."""
    gather_s: Annotated[float, Field(ge=0, le=0.4)] = 0.1
    """Least seconds between two pages while the engine keeps up; what arrives meanwhile is judged together."""
    long_look_s: Annotated[float, Field(gt=0, le=3_600)] = 60.0
    """Seconds between looks for calibrations due and for goods that run low or out."""
    seed_rules: bool = True
    """Whether the shipped rules are written at start where they are missing or have changed; tests bring their own."""


class ConsoleConfig(BaseModel):
    """The operator console, as `RoomWeb.options` of this room."""

    model_config = ConfigDict(frozen=True, extra="ignore", arbitrary_types_allowed=True, validate_default=True)

    uplot: bool = False
    """Whether uPlot is served at /static/vendor/; without it trends stay server-made pictures."""
    stream_tick_s: Annotated[float, Field(gt=0, le=60)] = 5.0
    """Seconds between `tick` events, which carry the counts at the top of the console."""
    stream_life_s: Annotated[float, Field(gt=0, le=3_600)] = 600.0
    """Seconds after which a stream ends and the browser asks anew, so that a revoked sign-in is noticed."""
    stream_poll_s: Annotated[float, Field(gt=0, le=10)] = 0.5
    """Seconds between looks at the feed when no notification wakes the follower."""
    stream_queue: Annotated[int, Field(ge=8, le=10_000)] = 256
    """Messages kept for one slow browser before its stream is ended, to be taken up again from the database."""
    replay_arrivals: Annotated[int, Field(ge=1, le=100_000)] = 2_000
    """Most messages replayed after a lost connection; beyond, the page is told to load itself anew."""
