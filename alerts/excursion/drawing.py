"""The curve of an excursion as drawn paths, for a black-and-white printer: line, limit, shading, strips, gaps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

from reportlab.lib.colors import Color, black
from reportlab.platypus import Flowable

from hanlu.alerts.excursion.fonts import runs, width
from hanlu.core.curve import Sample, Span, segments

__all__ = ["Plot", "PlotData"]

_CHINA: Final = timezone(timedelta(hours=8))
_LEFT, _RIGHT, _TOP, _BOTTOM = 62.0, 4.0, 8.0, 26.0
_STRIP: Final = 13.0
_SIZE: Final = 7.5
_GREY, _PALE, _SOFT = Color(0.72, 0.72, 0.72), Color(0.93, 0.93, 0.93), Color(0.35, 0.35, 0.35)
_MINUTE: Final = 60_000
_STEPS: Final = tuple(
    _MINUTE * each for each in (5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10_080, 20_160, 40_320)
)


@dataclass(frozen=True, slots=True)
class PlotData:
    """What is drawn.

    Attributes:
        span: left and right edge, Unix milliseconds.
        samples: the curve; where a sample sums up several, a band shows their range.
        gap_ms: neighbours further apart are not joined.
        limit: in the unit of the samples.
        upward: worse is above it.
        excursion: from its beginning to its end, shaded over the full height.
        strips: (label, when it was on).
        unit: as people write it.
        limit_label: written at the limit line.
    """

    span: Span
    samples: Sequence[Sample]
    gap_ms: float
    limit: float
    upward: bool
    excursion: Span
    strips: Sequence[tuple[str, Sequence[Span]]]
    unit: str
    limit_label: str


class Plot(Flowable):
    """A curve as wide as the column."""

    def __init__(self, data: PlotData, height: float = 190.0) -> None:
        """Draw `data`; `height` in points, without the strips."""
        super().__init__()
        self._data = data
        self._plot_height = height
        values = [data.limit]
        for each in data.samples:
            values += [each.value if each.low is None else each.low, each.value if each.high is None else each.high]
        air = max((max(values) - min(values)) * 0.08, 0.5)
        self._low, self._high = min(values) - air, max(values) + air

    def wrap(self, available_width: float, available_height: float) -> tuple[float, float]:
        """Take the whole width."""
        self.width = available_width
        self.height = self._plot_height + _STRIP * len(self._data.strips)
        return self.width, self.height

    def draw(self) -> None:
        """Draw it, from the back to the front."""
        data, canvas = self._data, self.canv
        canvas.saveState()
        start, end = self._x(data.excursion.from_ms), self._x(data.excursion.to_ms)
        canvas.setFillColor(_PALE)
        canvas.rect(start, self._foot, max(end - start, 0.5), self._top - self._foot, stroke=0, fill=1)
        self._axes()
        canvas.setFillColor(_GREY)
        for piece in segments(data.samples, data.gap_ms):
            self._beyond(piece)
        for piece in segments(data.samples, data.gap_ms):
            self._band(piece)
            self._line(piece)
        canvas.setStrokeColor(black)
        canvas.setLineWidth(0.9)
        canvas.setDash(5, 3)
        canvas.line(_LEFT, self._y(data.limit), self.width - _RIGHT, self._y(data.limit))
        canvas.setDash()
        self._limit_label()
        self._strips()
        canvas.restoreState()

    @property
    def _foot(self) -> float:
        return _BOTTOM + _STRIP * len(self._data.strips)

    @property
    def _top(self) -> float:
        return float(self.height) - _TOP

    def _x(self, at_ms: float) -> float:
        span = self._data.span
        share = (at_ms - span.from_ms) / (span.to_ms - span.from_ms)
        return _LEFT + min(max(share, 0.0), 1.0) * (self.width - _LEFT - _RIGHT)

    def _y(self, value: float) -> float:
        return self._foot + (value - self._low) / (self._high - self._low) * (self._top - self._foot)

    def _axes(self) -> None:
        canvas = self.canv
        canvas.setLineWidth(0.3)
        canvas.setStrokeColor(_GREY)
        step = _nice((self._high - self._low) / 8)
        digits = max(0, -math.floor(math.log10(step)))
        for index in range(math.ceil(self._low / step), math.floor(self._high / step) + 1):
            y = self._y(index * step)
            canvas.line(_LEFT, y, self.width - _RIGHT, y)
            number = f"{index * step:.{digits}f}".replace("-", "\u2013")
            self._text(_LEFT - 5, y - 2.5, number if index * step or digits else "0", "end")
        self._text(2, self._top - 3, self._data.unit, "start")
        last_day = ""
        for tick in _ticks(self._data.span, (self.width - _LEFT - _RIGHT) / 52):
            x = self._x(tick)
            canvas.line(x, self._foot - 3, x, self._top)
            moment = datetime.fromtimestamp(tick / 1000, tz=UTC).astimezone(_CHINA)
            self._text(x, self._foot - 11, f"{moment:%H:%M}", "middle")
            day = f"{moment:%m-%d}"
            if day != last_day:
                self._text(x, self._foot - 20, day, "middle")
            last_day = day
        canvas.setStrokeColor(_SOFT)
        canvas.rect(_LEFT, self._foot, self.width - _LEFT - _RIGHT, self._top - self._foot, stroke=1, fill=0)

    def _beyond(self, piece: Sequence[Sample]) -> None:
        """Fill what lies between the limit and the part of the curve beyond it."""
        limit, sign = self._data.limit, 1.0 if self._data.upward else -1.0
        outline: list[tuple[float, float]] = []
        for index, each in enumerate(piece):
            excess = sign * (each.value - limit)
            if index:
                before = sign * (piece[index - 1].value - limit)
                if (before > 0) != (excess > 0):
                    share = before / (before - excess)
                    outline.append((piece[index - 1].at_ms + share * (each.at_ms - piece[index - 1].at_ms), 0.0))
            outline.append((each.at_ms, max(excess, 0.0)))
        if not any(excess > 0 for _, excess in outline):
            return
        path = self.canv.beginPath()
        path.moveTo(self._x(outline[0][0]), self._y(limit))
        for at_ms, excess in outline:
            path.lineTo(self._x(at_ms), self._y(limit + sign * excess))
        path.lineTo(self._x(outline[-1][0]), self._y(limit))
        path.close()
        self.canv.drawPath(path, stroke=0, fill=1)

    def _band(self, piece: Sequence[Sample]) -> None:
        """Show the least and the greatest value of what a point sums up, as thin upright lines."""
        self.canv.setStrokeColor(_SOFT)
        self.canv.setLineWidth(0.4)
        for each in piece:
            if each.low is not None and each.high is not None and each.high > each.low:
                self.canv.line(self._x(each.at_ms), self._y(each.low), self._x(each.at_ms), self._y(each.high))

    def _line(self, piece: Sequence[Sample]) -> None:
        canvas = self.canv
        canvas.setStrokeColor(black)
        canvas.setFillColor(black)
        if len(piece) == 1:
            canvas.circle(self._x(piece[0].at_ms), self._y(piece[0].value), 0.8, stroke=0, fill=1)
        else:
            canvas.setLineWidth(1.0)
            canvas.setLineJoin(1)
            path = canvas.beginPath()
            path.moveTo(self._x(piece[0].at_ms), self._y(piece[0].value))
            for each in piece[1:]:
                path.lineTo(self._x(each.at_ms), self._y(each.value))
            canvas.drawPath(path, stroke=1, fill=0)
        canvas.setFillColor(_GREY)

    def _limit_label(self) -> None:
        """Write what the line is on its far side, at the left, where the curve is not beyond it yet."""
        y = self._y(self._data.limit)
        self._text(_LEFT + 4, y + 3 if self._data.upward else y - 9, self._data.limit_label, "start")

    def _strips(self) -> None:
        canvas = self.canv
        for row, (label, spans) in enumerate(self._data.strips):
            y = _STRIP * (len(self._data.strips) - 1 - row)
            self._text(_LEFT - 5, y + 3, label, "end")
            canvas.setFillColor(_PALE)
            canvas.rect(_LEFT, y + 1, self.width - _LEFT - _RIGHT, 8, stroke=0, fill=1)
            canvas.setFillColor(_SOFT)
            for span in spans:
                start, end = self._x(span.from_ms), self._x(span.to_ms)
                if end > start:
                    canvas.rect(start, y + 1, max(end - start, 0.6), 8, stroke=0, fill=1)

    def _text(self, x: float, y: float, text: str, anchor: str) -> None:
        wide = width(text, _SIZE)
        x -= wide if anchor == "end" else wide / 2 if anchor == "middle" else 0
        if anchor == "middle":
            x = min(x, self.width - wide)
        written: Any = self.canv.beginText(x, y)
        written.setFillColor(black)
        for font, run in runs(text):
            written.setFont(font, _SIZE)
            written.textOut(run)
        self.canv.drawText(written)


def _nice(rough: float) -> float:
    power: float = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)


def _ticks(span: Span, most: float) -> Iterator[int]:
    """Yield instants on whole steps of China's clock, at most about `most`."""
    wanted = (span.to_ms - span.from_ms) / max(most, 1)
    step = next((each for each in _STEPS if each >= wanted), _STEPS[-1] * math.ceil(wanted / _STEPS[-1]))
    offset = 8 * 3_600_000
    tick = -(-(span.from_ms + offset) // step) * step - offset
    while tick <= span.to_ms:
        yield tick
        tick += step
