"""Which messages of a spool have arrived: pure arithmetic on ranges of sequence numbers.

A gateway numbers its messages without gaps from 1. `Standing` says how far they are committed and what is missing;
`advance` adds what a batch brought. Ranges are inclusive at both ends. No I/O; the writer keeps standings in
`telemetry.gateway_epoch` and `telemetry.gap`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["EMPTY", "Range", "Standing", "advance", "ranges_of"]

Range = tuple[int, int]
"""First and last, both included."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the messages of one epoch have arrived.

    Attributes:
        highest: the highest seq seen, 0 before the first.
        gaps: what is missing below it, ascending, disjoint and not adjacent.
    """

    highest: int = 0
    gaps: tuple[Range, ...] = ()

    @property
    def watermark(self) -> int:
        """Every seq up to and with this one has arrived."""
        return self.gaps[0][0] - 1 if self.gaps else self.highest


EMPTY = Standing()


def ranges_of(numbers: Iterable[int]) -> list[Range]:
    """Return the ascending, disjoint, not adjacent ranges that hold exactly `numbers` (any order, repeats allowed)."""
    ranges: list[Range] = []
    first = last = None
    for number in sorted(numbers):
        if first is None or last is None:
            first = last = number
        elif number > last + 1:
            ranges.append((first, last))
            first = last = number
        else:
            last = number
    if first is not None and last is not None:
        ranges.append((first, last))
    return ranges


def advance(standing: Standing, arrived: Iterable[int]) -> Standing:
    """Return the standing after the messages `arrived` (seqs from 1, any order, repeats and known ones allowed)."""
    ranges = ranges_of(arrived)
    if not ranges:
        return standing
    gaps = _without(standing.gaps, ranges)
    highest = standing.highest
    for first, last in ranges:
        if first > highest + 1:
            gaps.append((highest + 1, first - 1))
        highest = max(highest, last)
    return Standing(highest, tuple(gaps))


def _without(gaps: Sequence[Range], arrived: Sequence[Range]) -> list[Range]:
    """Return `gaps` less `arrived`; both ascending and disjoint, one walk over the two."""
    left: list[Range] = []
    position = 0
    for first, last in gaps:
        while position < len(arrived) and arrived[position][1] < first:
            position += 1
        start, ahead = first, position
        while ahead < len(arrived) and arrived[ahead][0] <= last:
            if arrived[ahead][0] > start:
                left.append((start, arrived[ahead][0] - 1))
            start = arrived[ahead][1] + 1
            ahead += 1
        if start <= last:
            left.append((start, last))
    return left
