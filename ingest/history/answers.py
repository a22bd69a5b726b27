"""What the API answers, as it is described to those who call it."""

from __future__ import annotations

from pydantic import BaseModel, Field

from hanlu.ingest.history.plan import Resolution

__all__ = ["LatestAnswer", "LatestReading", "ReadingsAnswer", "Series"]


class _ChannelAnswer(BaseModel):
    channel_id: int = Field(description="number of the channel")
    channel: str = Field(description="gateway/device/metric")
    metric: str = Field(description="what is measured, e.g. air_temperature")
    unit: str = Field(description="SenML unit of all values (RFC 8428, 12.1), e.g. Cel")
    site: str = Field(description="code of the site")
    zone: str | None = Field(description="code of the zone; null outside of zones")


class Series(_ChannelAnswer):
    """One channel's part of an answer: parallel lists, rising in time."""

    gap_ms: int = Field(description="two readings further apart have unknown values between them, milliseconds")
    t: list[int] = Field(description="raw: when observed; hour, day: beginning of the stretch; Unix milliseconds")
    v: list[float] | None = Field(default=None, description="raw: values")
    q: list[int] | None = Field(default=None, description="raw: quality, 0 good, 1 uncertain, 2 bad")
    holes: list[tuple[int, int]] | None = Field(
        default=None,
        description="raw with `points`: last reading before and first after each hole; draw no line there",
    )
    left_out_bad: int | None = Field(
        default=None, description="raw with `points`: bad readings, which a picture leaves out"
    )
    readings: list[int] | None = Field(default=None, description="hour, day: good and uncertain readings")
    uncertain: list[int] | None = Field(default=None, description="hour, day: uncertain ones of them")
    bad: list[int] | None = Field(default=None, description="hour, day: bad readings, used for nothing else")
    covered_s: list[float] | None = Field(default=None, description="hour, day: seconds of which the value is known")
    least: list[float | None] | None = Field(default=None, description="hour, day: least value measured")
    greatest: list[float | None] | None = Field(default=None, description="hour, day: greatest value measured")
    mean: list[float | None] | None = Field(default=None, description="hour, day: mean of the readings")
    weighted: list[float | None] | None = Field(
        default=None, description="hour, day: mean over the time covered; null where nothing is"
    )
    first_ms: list[int | None] | None = Field(default=None, description="hour, day: when the first reading was")
    first: list[float | None] | None = Field(default=None, description="hour, day: its value")
    last_ms: list[int | None] | None = Field(default=None, description="hour, day: when the last reading was")
    last: list[float | None] | None = Field(default=None, description="hour, day: its value")


class ReadingsAnswer(BaseModel):
    """An answer about the past."""

    from_ms: int = Field(description="beginning of what was looked at; whole hours or days where these are shown")
    to_ms: int = Field(description="its end, not included; Unix milliseconds UTC")
    resolution: Resolution = Field(description="what the lists hold: readings, hours, or days of China time (UTC+8)")
    next: str | None = Field(
        default=None, description="give it as `after` for the next page; null when this was the last"
    )
    series: list[Series]


class LatestReading(_ChannelAnswer):
    """A channel's newest reading by observation time."""

    observed_ms: int | None = Field(description="when observed, Unix milliseconds; null when never heard")
    received_ms: int | None = Field(description="when the platform received it, Unix milliseconds")
    value: float | None
    quality: int | None = Field(description="0 good, 1 uncertain, 2 bad")
    age_ms: int | None = Field(description="how long ago it was observed, milliseconds")


class LatestAnswer(BaseModel):
    """The newest readings."""

    now_ms: int = Field(description="the platform's time, Unix milliseconds")
    next: int | None = Field(description="give it as `after` for the next page; null when this was the last")
    channels: list[LatestReading]
