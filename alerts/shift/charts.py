"""The two pictures of the load page as SVG text: calls over time, and the split by priority. Pure.

Only classes, no colours and no styles: `load-bar`, `load-bar--over`, `load-flood`, `load-target`, `load-axis`,
`load-text`, `load-part--1` to `--3`; the pages' style sheet colours them, and hatches by shape where colour would speak
alone. What a picture shows stands beside it in words or in a table.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Final

from hanlu.alerts.shift.kpi import HOUR_MS, Load

__all__ = ["bars", "split"]

_WIDTH: Final = 1080
_HEIGHT: Final = 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 8, 42, 34
_KEY_Y, _KEY_MARK = 24, 32
"""The target's name stands above the bars, where nothing is painted under it: its baseline, and the line before it."""
_CHINA: Final = timedelta(hours=8)
_LABELS: Final = 6


def bars(load: Load, bucket_ms: int, target_per_hour: float, *, title: str, target: str) -> str:
    """Return the calls of each bucket as bars, the target as a line, floods as strips under them.

    Args:
        load: of the period.
        bucket_ms: what one bar stands for.
        target_per_hour: calls an hour for one operator that are still good.
        title: what the picture shows, in the reader's language.
        target: what the line is called.
    """
    counts = load.buckets(bucket_ms)
    goal = target_per_hour * bucket_ms / HOUR_MS * load.operators
    most = max([*counts, goal, 1.0]) * 1.1
    wide, high = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    step = wide / len(counts)

    def y(value: float) -> float:
        return _TOP + high * (1 - value / most)

    parts = [f'<svg class="load-chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">']
    length_ms = len(counts) * bucket_ms
    for flood in load.floods:
        begin = max(flood.from_ms, load.period.from_ms) - load.period.from_ms
        end = (load.period.to_ms if flood.to_ms is None else min(flood.to_ms, load.period.to_ms)) - load.period.from_ms
        left, width = _LEFT + wide * begin / length_ms, max(2.0, wide * (end - begin) / length_ms)
        parts.append(f'<rect class="load-flood" x="{left:.1f}" y="{_TOP}" width="{width:.1f}" height="{high}"/>')
    for number, count in enumerate(counts):
        if count:
            over = " load-bar--over" if count > goal else ""
            parts.append(
                f'<rect class="load-bar{over}" x="{_LEFT + number * step + step * 0.1:.1f}" y="{y(count):.1f}"'
                f' width="{step * 0.8:.1f}" height="{_TOP + high - y(count):.1f}"/>'
            )
    parts.append(f'<line class="load-axis" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{_TOP + high}" y2="{_TOP + high}"/>')
    parts.append(
        f'<line class="load-target" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(goal):.1f}" y2="{y(goal):.1f}"/>'
        f'<line class="load-target" x1="{_LEFT}" x2="{_LEFT + _KEY_MARK}" y1="{_KEY_Y - 5}" y2="{_KEY_Y - 5}"/>'
        f'<text class="load-text" x="{_LEFT + _KEY_MARK + 6}" y="{_KEY_Y}">{escape(target)} {goal:g}</text>'
    )
    top = max(counts)
    if top:
        parts.append(f'<text class="load-text" x="{_LEFT - 4}" y="{y(top) + 4:.1f}" text-anchor="end">{top}</text>')
    parts.append(f'<text class="load-text" x="{_LEFT - 4}" y="{_TOP + high + 4}" text-anchor="end">0</text>')
    every = max(1, -(-len(counts) // _LABELS))
    for number in range(0, len(counts), every):
        words = _moment(load.period.from_ms + number * bucket_ms, bucket_ms)
        parts.append(f'<text class="load-text" x="{_LEFT + number * step:.1f}" y="{_HEIGHT - 8}">{words}</text>')
    return "".join(parts) + "</svg>"


def split(shares: Sequence[float], targets: Sequence[float], *, title: str, names: tuple[str, str]) -> str:
    """Return the split by priority beside the one aimed at, as two bars.

    Args:
        shares: parts of priority 1, 2, 3; they add up to 1.
        targets: those aimed at.
        title: what the picture shows.
        names: what the two bars are called.
    """
    parts = [f'<svg class="load-chart load-chart--split" viewBox="0 0 360 84" role="img" aria-label="{escape(title)}">']
    for row, (name, row_shares) in enumerate(zip(names, (shares, targets), strict=True)):
        top, left = 4 + row * 42, 56.0
        parts.append(f'<text class="load-text" x="0" y="{top + 21}">{escape(name)}</text>')
        for number, share in enumerate(row_shares, 1):
            width = 300 * share
            if width <= 0:
                continue
            parts.append(
                f'<rect class="load-part load-part--{number}"'
                f' x="{left:.1f}" y="{top}" width="{width:.1f}" height="30"/>'
            )
            if width >= 24:
                parts.append(
                    f'<text class="load-text load-text--{number}" x="{left + width / 2:.1f}" y="{top + 20}"'
                    f' text-anchor="middle">{100 * share:.0f} %</text>'
                )
            left += width
    return "".join(parts) + "</svg>"


def _moment(at_ms: int, bucket_ms: int) -> str:
    at = datetime.fromtimestamp(at_ms / 1000, UTC) + _CHINA
    return f"{at:%H:%M}" if bucket_ms <= HOUR_MS else f"{at:%m-%d}"
