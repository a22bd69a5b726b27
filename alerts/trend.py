"""A zone's or an alarm's curve: what belongs in the picture, and the picture as SVG or as data for the browser."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from hanlu.alerts.read import Read
from hanlu.alerts.views import Alarm, ChannelNow
from hanlu.core.curve import Lang, Mark, Sample, Span, Strip, curve

__all__ = ["RANGES", "Trend", "payload", "picture", "pictures", "read_trend"]

RANGES = {"1h": 3_600_000, "6h": 6 * 3_600_000, "24h": 24 * 3_600_000, "7d": 7 * 24 * 3_600_000}
"""Spans an operator can choose, milliseconds."""

CHART_POINTS = 600
"""Points for the browser's chart: about one for two pixels of a desk's screen."""

PICTURE_POINTS = 240
"""Points in a server-made picture, which travels inside the page."""

Words = Callable[[str], str]
"""Turns a key of alerts/i18n.json into text in the reader's language."""


@dataclass(frozen=True, slots=True)
class Trend:
    """What a picture shows.

    Attributes:
        channel: whose curve it is.
        span: left and right edge.
        samples: the curve.
        switches: channels that are on or off, with when they were on.
        alarms: of this channel, in the span.
        now_ms: the platform's time.
        most: points asked for.
    """

    channel: ChannelNow
    span: Span
    samples: list[Sample]
    switches: list[tuple[ChannelNow, list[Span]]]
    alarms: list[Alarm]
    now_ms: int
    most: int

    @property
    def gap_ms(self) -> float:
        """Neighbouring points further apart are not joined; with buckets, two and a half of them."""
        bucket = (self.span.to_ms - self.span.from_ms) / self.most
        return max(self.channel.gap_ms, 2.5 * bucket)


def read_trend(
    read: Read,
    channel: ChannelNow,
    others: Iterable[ChannelNow],
    span: Span,
    alarms: Iterable[Alarm],
    now_ms: int,
    most: int = PICTURE_POINTS,
) -> Trend:
    """Return the trend of `channel` in `span`, with those of `others` that are on or off as strips."""
    return Trend(
        channel,
        span,
        read.series(channel, span, most),
        [(each, read.switched_on(each, span)) for each in others if each.is_switch],
        [each for each in alarms if each.channel_id == channel.channel_id and each.kind != "no_data"],
        now_ms,
        most,
    )


def picture(trend: Trend, *, title: str, unit: str, lang: Lang, words: Words, width: int, height: int) -> str:
    """Return the trend as SVG.

    Args:
        trend: what to show.
        title: the picture's name.
        unit: as shown to people.
        lang: of the time labels.
        words: for marks, strips and the description.
        width: pixels of the curve.
        height: pixels of the curve.
    """
    values = [each.value for each in trend.samples]
    described = ""
    if values:
        least, greatest = min(_lows(trend.samples)), max(_highs(trend.samples))
        described = f"{words('alerts.trend.range')} {least:.1f} – {greatest:.1f} {unit}".strip()
    return curve(
        trend.samples,
        gap_ms=trend.gap_ms,
        title=title,
        description=described,
        unit=unit,
        lang=lang,
        low=trend.channel.low,
        high=trend.channel.high,
        from_ms=trend.span.from_ms,
        to_ms=trend.span.to_ms,
        marks=[Mark(each.raised_ms, words(f"alerts.kind.{each.kind}"), "alarm") for each in trend.alarms],
        shades=[each.span(trend.now_ms) for each in trend.alarms],
        strips=[
            Strip(words(f"alerts.strip.{channel.metric}"), spans, channel.metric.replace("_", "-"))
            for channel, spans in trend.switches
        ],
        width=width,
        height=height,
    )


def pictures(trend: Trend, *, title: str, unit: str, lang: Lang, words: Words) -> str:
    """Return the trend as HTML with two pictures, for a desk's width and for a phone's; the style sheet shows one."""

    def made(width: int, height: int) -> str:
        return picture(trend, title=title, unit=unit, lang=lang, words=words, width=width, height=height)

    return f'<div class="only-wide">{made(1140, 280)}</div><div class="only-narrow">{made(350, 220)}</div>'


def payload(trend: Trend, *, unit: str, words: Words) -> dict[str, Any]:
    """Return the trend as data for the browser's chart: parallel lists, None where the line is broken."""
    banded = any(each.low is not None for each in trend.samples)
    times: list[int] = []
    means: list[float | None] = []
    lows: list[float | None] = []
    highs: list[float | None] = []
    for index, sample in enumerate(trend.samples):
        if index and (sample.after_gap or sample.at_ms - times[-1] > trend.gap_ms):
            times.append((times[-1] + sample.at_ms) // 2)
            for column in (means, lows, highs):
                column.append(None)
        times.append(sample.at_ms)
        means.append(round(sample.value, 3))
        lows.append(sample.low)
        highs.append(sample.high)
    return {
        "channel": trend.channel.channel_id,
        "unit": unit,
        "from": trend.span.from_ms,
        "to": trend.span.to_ms,
        "gap": round(trend.gap_ms),
        "low": trend.channel.low,
        "high": trend.channel.high,
        "t": times,
        "v": means,
        "lo": lows if banded else None,
        "hi": highs if banded else None,
        "alarms": [
            [*each.span(trend.now_ms), each.raised_ms, words(f"alerts.kind.{each.kind}")] for each in trend.alarms
        ],
        "strips": [
            {"label": words(f"alerts.strip.{channel.metric}"), "kind": channel.metric, "on": spans}
            for channel, spans in trend.switches
        ],
    }


def _lows(samples: Sequence[Sample]) -> list[float]:
    return [each.value if each.low is None else each.low for each in samples]


def _highs(samples: Sequence[Sample]) -> list[float]:
    return [each.value if each.high is None else each.high for each in samples]
