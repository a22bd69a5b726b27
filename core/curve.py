"""Pictures of measured curves as SVG text: pure functions from points to a string, no script, no colours.

Every shape carries a CSS class (`curve-line`, `curve-band`, `curve-limit`, `curve-over`, `curve-grid`, `curve-text`,
`curve-mark`, `curve-range`, `curve-strip`, `curve-strip-on`, `curve-shade`, and `spark-line`, `spark-limit`,
`spark-dot`). Pages give the colours; without any style sheet all is drawn in the text's own colour. What was not
measured is not drawn: between two points further apart than `gap_ms` there is no line.

Time runs along x in China Standard Time (UTC+8, without daylight saving since 1991), on the 24 h clock.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from html import escape
from typing import Final, Literal, NamedTuple

__all__ = ["Lang", "Mark", "Sample", "Span", "Strip", "curve", "segments", "sparkline"]

Lang = Literal["zh", "en"]

_CHINA: Final = timezone(timedelta(hours=8))
_MINUTE: Final = 60_000
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
_TIME_STEPS: Final = (
    _MINUTE, 2 * _MINUTE, 5 * _MINUTE, 10 * _MINUTE, 15 * _MINUTE, 30 * _MINUTE, _HOUR, 2 * _HOUR, 3 * _HOUR,
    6 * _HOUR, 12 * _HOUR, _DAY, 2 * _DAY, 7 * _DAY, 14 * _DAY, 28 * _DAY,
)  # fmt: skip
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 10, 10, 24  # px round the plot: room for the labels
_STRIP: Final = 16  # px one strip takes under the curve


class Sample(NamedTuple):
    """A measured point, or the summary of several.

    Attributes:
        at_ms: Unix milliseconds UTC.
        value: the value, or the mean of those summarised.
        low: least value summarised; None when the point is a single reading.
        high: greatest value summarised; None likewise.
        after_gap: something is missing just before this point, though its neighbour may seem near: a summary of
            several readings with a hole among them.
    """

    at_ms: int
    value: float
    low: float | None = None
    high: float | None = None
    after_gap: bool = False


class Span(NamedTuple):
    """From `from_ms` (included) to `to_ms` (excluded), Unix milliseconds UTC."""

    from_ms: int
    to_ms: int


@dataclass(frozen=True, slots=True)
class Mark:
    """A named instant on the curve, e.g. an alarm being raised.

    Attributes:
        at_ms: Unix milliseconds UTC.
        label: said when it is pointed at, and read aloud.
        kind: becomes the CSS class `curve-mark-{kind}`; letters, digits and hyphens.
    """

    at_ms: int
    label: str
    kind: str = "event"


@dataclass(frozen=True, slots=True)
class Strip:
    """A row under the curve that shows when something was on, e.g. a door standing open.

    Attributes:
        label: what was on.
        spans: when it was on; ascending, not overlapping.
        kind: becomes the CSS class `curve-strip-{kind}`; letters, digits and hyphens.
        beside: write the label beside what was on, where it may be as long as a place's name, not left of the plot.
    """

    label: str
    spans: Sequence[Span]
    kind: str = "event"
    beside: bool = False


def segments(points: Iterable[Sample], gap_ms: float) -> Iterator[list[Sample]]:
    """Cut `points` (ascending in time) where neighbours lie more than `gap_ms` milliseconds apart or one says so."""
    piece: list[Sample] = []
    for point in points:
        if piece and (point.after_gap or point.at_ms - piece[-1].at_ms > gap_ms):
            yield piece
            piece = []
        piece.append(point)
    if piece:
        yield piece


def sparkline(
    points: Sequence[Sample],
    width: int,
    height: int,
    gap_ms: float,
    low: float | None = None,
    high: float | None = None,
) -> str:
    """Return a small curve without axes, for a card or a table row; decorative, hidden from screen readers.

    Args:
        points: ascending in time; x runs from the first to the last.
        width: pixels.
        height: pixels.
        gap_ms: neighbours further apart are not joined.
        low: lower limit in the points' unit, drawn as a dashed line.
        high: upper limit likewise.

    Returns:
        An `<svg>` element; without points an empty one, so that the layout does not jump.
    """
    head = f'<svg class="spark" viewBox="0 0 {width} {height}" width="{width}" height="{height}" aria-hidden="true">'
    if not points:
        return head + "</svg>"
    bottom, top = _extent(points, low, high)
    from_ms, to_ms = points[0].at_ms, max(points[-1].at_ms, points[0].at_ms + 1)
    frame = _Frame(from_ms, to_ms, bottom, top, 2, width - 4, 2, height - 4)
    limits = "".join(
        f'<path class="spark-limit" fill="none" stroke="currentColor" stroke-dasharray="3 3" opacity=".5"'
        f' d="M0 {_num(frame.y(limit))}H{width}"/>'
        for limit in (low, high)
        if limit is not None
    )
    last = points[-1]
    return (
        f'{head}{limits}<path class="spark-line" fill="none" stroke="currentColor" stroke-linecap="round"'
        f' stroke-linejoin="round" d="{_line(points, gap_ms, frame)}"/>'
        f'<circle class="spark-dot" cx="{_num(frame.x(last.at_ms))}" cy="{_num(frame.y(last.value))}" r="2"/></svg>'
    )


def curve(
    points: Sequence[Sample],
    *,
    gap_ms: float,
    title: str,
    description: str = "",
    unit: str = "",
    lang: Lang = "zh",
    low: float | None = None,
    high: float | None = None,
    from_ms: int | None = None,
    to_ms: int | None = None,
    marks: Sequence[Mark] = (),
    shades: Sequence[Span] = (),
    strips: Sequence[Strip] = (),
    limits: Literal["alarm", "range"] = "alarm",
    width: int = 720,
    height: int = 260,
) -> str:
    """Return a curve with axes, limits and what happened meanwhile.

    Args:
        points: ascending in time; those with `low` and `high` also draw a band.
        gap_ms: neighbours further apart, in milliseconds, are not joined.
        title: the picture's name for screen readers and on pointing at it.
        description: one or two sentences for those who do not see the picture.
        unit: as shown to people, e.g. "°C".
        lang: language of the time labels.
        low: lower limit in `unit`; the area below it is drawn as `curve-over`.
        high: upper limit in `unit`; the area above it likewise.
        from_ms: left edge, Unix milliseconds; the first point by default.
        to_ms: right edge, Unix milliseconds; the last point by default.
        marks: instants to mark; those outside the edges are left out.
        shades: spans to shade over the full height, e.g. alarms.
        strips: rows under the curve.
        limits: "alarm" fills what lies beyond a limit (`curve-over`); "range" fills what lies between them instead
            (`curve-range`), for limits that are a recommendation and not a promise.
        width: pixels of the view box; the picture scales with its container.
        height: pixels of the view box without the strips.

    Returns:
        An `<svg>` element with `role="img"`.
    """
    left = from_ms if from_ms is not None else (points[0].at_ms if points else 0)
    right = to_ms if to_ms is not None else (points[-1].at_ms if points else left + _HOUR)
    right = max(right, left + 1)
    inside = [point for point in points if left <= point.at_ms <= right]
    bottom, top = _extent(inside, low, high)
    frame = _Frame(left, right, bottom, top, _LEFT, width - _LEFT - _RIGHT, _TOP, height - _TOP - _BOTTOM)
    total = height + _STRIP * len(strips)
    parts = [
        f'<svg class="curve" role="img" viewBox="0 0 {width} {total}" preserveAspectRatio="xMidYMid meet">',
        f"<title>{escape(title)}</title>",
        f"<desc>{escape(description)}</desc>" if description else "",
        *_shades(shades, frame),
        *(_range(low, high, frame) if limits == "range" else ()),
        *_value_axis(frame, unit, width),
        *_time_axis(frame, height, lang),
        *_bands(inside, gap_ms, frame),
        *(_beyond(inside, gap_ms, low, high, frame) if limits == "alarm" else ()),
        f'<path class="curve-line" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linejoin="round"'
        f' stroke-linecap="round" d="{_line(inside, gap_ms, frame)}"/>' if inside else "",
        *_limits(low, high, frame),
        *_marks(marks, frame),
        *_strips(strips, frame, height),
        "</svg>",
    ]  # fmt: skip
    return "".join(parts)


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where values land: the plot's rectangle in pixels and the time and value it spans."""

    from_ms: int
    to_ms: int
    bottom: float
    top: float
    left: float
    width: float
    upper: float
    height: float

    def x(self, at_ms: float) -> float:
        return self.left + (at_ms - self.from_ms) / (self.to_ms - self.from_ms) * self.width

    def y(self, value: float) -> float:
        return self.upper + (self.top - value) / (self.top - self.bottom) * self.height


def _num(value: float) -> str:
    """Return one decimal at most: a tenth of a pixel is finer than any screen, and pages stay small."""
    return f"{value:.1f}".removesuffix(".0")


def _extent(points: Sequence[Sample], low: float | None, high: float | None) -> tuple[float, float]:
    """Return the value range to show: all points and limits, with some air, at least one unit tall."""
    values = [each for each in (low, high) if each is not None]
    for point in points:
        values.append(point.value if point.low is None else point.low)
        values.append(point.value if point.high is None else point.high)
    if not values:
        return 0.0, 1.0
    bottom, top = min(values), max(values)
    air = max((top - bottom) * 0.08, (1.0 - (top - bottom)) / 2, 0.0)
    return bottom - air, top + air


def _line(points: Sequence[Sample], gap_ms: float, frame: _Frame) -> str:
    """Return path data; a lonely point becomes a dot (a line of no length with round caps)."""
    pieces = []
    for piece in segments(points, gap_ms):
        spots = [f"{_num(frame.x(point.at_ms))} {_num(frame.y(point.value))}" for point in piece]
        pieces.append("M" + "L".join(spots) if len(spots) > 1 else f"M{spots[0]}h.01")
    return "".join(pieces)


def _bands(points: Sequence[Sample], gap_ms: float, frame: _Frame) -> Iterator[str]:
    for piece in segments(points, gap_ms):
        ranges = [
            (point.at_ms, point.low, point.high) for point in piece if point.low is not None and point.high is not None
        ]
        if len(ranges) < 2 or all(low == high for _, low, high in ranges):
            continue
        there = [f"{_num(frame.x(at))} {_num(frame.y(high))}" for at, _, high in ranges]
        back = [f"{_num(frame.x(at))} {_num(frame.y(low))}" for at, low, _ in reversed(ranges)]
        yield f'<path class="curve-band" fill="currentColor" fill-opacity=".18" d="M{"L".join(there + back)}Z"/>'


def _beyond(
    points: Sequence[Sample], gap_ms: float, low: float | None, high: float | None, frame: _Frame
) -> Iterator[str]:
    """Yield the areas between a limit and the part of the curve beyond it."""
    for limit, sign in ((high, 1.0), (low, -1.0)):
        if limit is None:
            continue
        for piece in segments(points, gap_ms):
            outline = list(_above([(point.at_ms, sign * (point.value - limit)) for point in piece]))
            if not any(excess > 0 for _, excess in outline):
                continue
            spots = [f"{_num(frame.x(at))} {_num(frame.y(limit + sign * excess))}" for at, excess in outline]
            base = _num(frame.y(limit))
            first, last = _num(frame.x(outline[0][0])), _num(frame.x(outline[-1][0]))
            yield (
                '<path class="curve-over" fill="currentColor" fill-opacity=".25"'
                f' d="M{first} {base}L{"L".join(spots)}L{last} {base}Z"/>'
            )


def _above(line: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    """Yield (time, excess >= 0) of a polyline of excesses, with the instants where it crosses zero put in."""
    for index, (at, excess) in enumerate(line):
        if index:
            before_at, before = line[index - 1]
            if (before > 0) != (excess > 0) and before != excess:
                yield before_at + (at - before_at) * before / (before - excess), 0.0
        yield at, max(excess, 0.0)


def _range(low: float | None, high: float | None, frame: _Frame) -> Iterator[str]:
    """Yield the area between the limits; an open side reaches to the edge."""
    if low is not None or high is not None:
        upper = frame.upper if high is None else frame.y(high)
        lower = frame.upper + frame.height if low is None else frame.y(low)
        yield (
            f'<rect class="curve-range" fill="currentColor" fill-opacity=".1" x="{_num(frame.left)}" y="{_num(upper)}"'
            f' width="{_num(frame.width)}" height="{_num(lower - upper)}"/>'
        )


def _limits(low: float | None, high: float | None, frame: _Frame) -> Iterator[str]:
    for name, limit in (("low", low), ("high", high)):
        if limit is not None:
            y = _num(frame.y(limit))
            yield (
                f'<path class="curve-limit curve-limit-{name}" fill="none" stroke="currentColor" stroke-dasharray="6 4"'
                f' d="M{_num(frame.left)} {y}h{_num(frame.width)}"/>'
            )


def _value_axis(frame: _Frame, unit: str, width: int) -> Iterator[str]:
    step = _nice_step((frame.top - frame.bottom) / max(frame.height / 40, 1))
    digits = max(0, -math.floor(math.log10(step)))
    tick = math.ceil(frame.bottom / step)
    while tick * step <= frame.top:
        y = frame.y(tick * step)
        yield (
            f'<path class="curve-grid" fill="none" stroke="currentColor" stroke-opacity=".15"'
            f' d="M{_num(frame.left)} {_num(y)}H{width - _RIGHT}"/>'
        )
        label = f"{tick * step:.{digits}f}".replace("-", "\u2212")
        yield _text(frame.left - 6, y + 4, label, "end")
        tick += 1
    if unit:
        yield _text(4, frame.upper + 4, unit, "start")


def _nice_step(rough: float) -> float:
    """Return the smallest of 1, 2 and 5 times a power of ten that is at least `rough` (> 0)."""
    power: float = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)


def _time_axis(frame: _Frame, height: int, lang: Lang) -> Iterator[str]:
    wanted = (frame.to_ms - frame.from_ms) / max(frame.width / 90, 1)
    step = next(
        (each for each in _TIME_STEPS if each >= wanted), _TIME_STEPS[-1] * max(1, round(wanted / _TIME_STEPS[-1]))
    )
    offset = 8 * _HOUR  # so that ticks stand on whole hours and midnights of China
    tick = -(-(frame.from_ms + offset) // step) * step - offset
    while tick <= frame.to_ms:
        x = frame.x(tick)
        yield (
            f'<path class="curve-grid" fill="none" stroke="currentColor" stroke-opacity=".15"'
            f' d="M{_num(x)} {_num(frame.upper)}v{_num(frame.height + 4)}"/>'
        )
        yield _text(min(x, frame.left + frame.width - 14), height - 8, _time_label(tick, lang), "middle")
        tick += step


def _time_label(at_ms: int, lang: Lang) -> str:
    moment = datetime.fromtimestamp(at_ms / 1000, tz=_CHINA)
    if moment.hour or moment.minute:
        return f"{moment:%H:%M}"
    return f"{moment.month}月{moment.day}日" if lang == "zh" else f"{moment.day} {_MONTHS[moment.month - 1]}"


def _shades(shades: Sequence[Span], frame: _Frame) -> Iterator[str]:
    for shade in shades:
        box = _box(shade, frame, frame.upper, frame.height)
        if box:
            yield f'<rect class="curve-shade" fill="currentColor" fill-opacity=".08" {box}/>'


def _marks(marks: Sequence[Mark], frame: _Frame) -> Iterator[str]:
    for mark in marks:
        if frame.from_ms <= mark.at_ms <= frame.to_ms:
            x, foot = _num(frame.x(mark.at_ms)), _num(frame.height - 9)
            yield (
                f'<g class="curve-mark curve-mark-{escape(mark.kind)}"><title>{escape(mark.label)}</title>'
                f'<path fill="currentColor" d="M{x} {_num(frame.upper + 9)}l-5 -9h10z"/>'
                f'<path fill="none" stroke="currentColor" d="M{x} {_num(frame.upper + 9)}v{foot}"/></g>'
            )


def _strips(strips: Sequence[Strip], frame: _Frame, height: int) -> Iterator[str]:
    for row, strip in enumerate(strips):
        y = height + row * _STRIP
        yield f'<g class="curve-strip curve-strip-{escape(strip.kind)}"><title>{escape(strip.label)}</title>'
        yield _strip_label(strip, frame, y + 10)
        yield (
            f'<rect fill="currentColor" fill-opacity=".08" x="{_num(frame.left)}" y="{y + 2}"'
            f' width="{_num(frame.width)}" height="9"/>'
        )
        for span in strip.spans:
            box = _box(span, frame, y + 2, 9)
            if box:
                yield f'<rect class="curve-strip-on" fill="currentColor" {box}/>'
        yield "</g>"


def _strip_label(strip: Strip, frame: _Frame, y: float) -> str:
    if not strip.beside or not strip.spans:
        return _text(frame.left - 6, y, strip.label, "end")
    start, end = frame.x(strip.spans[0].from_ms), frame.x(strip.spans[-1].to_ms)
    room_left, room_right = start - frame.left, frame.left + frame.width - end
    if room_right >= room_left:
        return _text(max(end, frame.left) + 5, y, strip.label, "start")
    return _text(start - 5, y, strip.label, "end")


def _box(span: Span, frame: _Frame, y: float, height: float) -> str:
    """Return the attributes of a rectangle over `span`, cut at the edges; "" when nothing of it shows."""
    start, end = max(span.from_ms, frame.from_ms), min(span.to_ms, frame.to_ms)
    if end <= start:
        return ""
    x = frame.x(start)
    width = max(frame.x(end) - x, 1.0)  # a short event must still be seen
    return f'x="{_num(x)}" y="{_num(y)}" width="{_num(width)}" height="{_num(height)}"'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return (
        f'<text class="curve-text" fill="currentColor" font-size="11" x="{_num(x)}" y="{_num(y)}"'
        f' text-anchor="{anchor}">{escape(text)}</text>'
    )
