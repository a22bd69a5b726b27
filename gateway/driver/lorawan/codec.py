"""A codec: how one family of devices writes its values into bytes.

Three shapes cover what makers do, and a codec may mix them: fixed layouts, lists of typed items (type, value, type,
value ...), and groups of 16-bit words that a flags word selects. `payload.py` reads by a codec, `codec_file.py` makes
one of a file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from hanlu.gateway.driver.lorawan.expression import Expression
from hanlu.gateway.driver.mapping import ChannelRule

__all__ = ["Codec", "Field", "Frame", "Item", "Pattern", "When"]

Pattern = tuple[int | None, ...]
"""Bytes as they must be; None: any byte."""


@dataclass(frozen=True, slots=True)
class When:
    """A field stands in the record only if its byte at `at`, shifted and masked, is one of `values`."""

    at: int
    shift: int
    mask: int
    values: frozenset[int]

    def holds(self, record: bytes) -> bool:
        """Tell whether the field is there."""
        return self.at < len(record) and (record[self.at] >> self.shift) & self.mask in self.values


@dataclass(frozen=True, slots=True)
class Field:
    """One value in a record.

    Attributes:
        key: what the maker calls it; `{channel}` stands for the item's channel byte, `{n}` for how many such items
            came before in the payload.
        kind: `int`, `float`, `hex`, `ascii`, `text` (bytes spelled by `template`) or `none` (an expression alone).
        at: first byte in the record.
        size: bytes; 0: to the end of the record.
        shift, mask: bits of an integer that count, after shifting; mask 0: all.
        least: of a signed integer: anything below cannot be and is read as unsigned.
        scale, div, offset: the value is raw * scale / div + offset.
        expression: arithmetic instead, over `x` (the value so far), `x0` `x1` ... (the record's 16-bit words).
        names: enumeration; the number stays the value, uncertain where it has no name.
        other: the word for numbers without a name.
        unlisted: whether a number without a name is a value too.
        flags: names of bits; the names of the set ones become the text.
        missing: raw numbers by which the device says that there is nothing to measure, with the reason.
        failed: raw numbers by which it says that a measurement failed, with the reason: a lost value.
        low, high: the device's range, in its own unit; beyond it a value is bad.
        when: whether the field is there at all; none: always.
        time: `record` or `frame`: not a value but the time of the others, seconds since 1970.
        rule: channel the value becomes; none: it is only shown.
        metric: the channel's metric with `{channel}` and `{n}` still in it.
    """

    key: str
    kind: str
    at: int
    size: int
    signed: bool = False
    little: bool = False
    shift: int = 0
    mask: int = 0
    least: int | None = None
    scale: float = 1.0
    div: float = 1.0
    offset: float = 0.0
    expression: Expression | None = None
    names: Mapping[int, str] = field(default_factory=dict)
    other: str = "unknown"
    unlisted: bool = True
    flags: Mapping[int, str] = field(default_factory=dict)
    missing: Mapping[int, str] = field(default_factory=dict)
    failed: Mapping[int, str] = field(default_factory=dict)
    low: float = -math.inf
    high: float = math.inf
    when: When | None = None
    template: str = ""
    time: str = ""
    rule: ChannelRule | None = None
    metric: str = ""

    @property
    def reaches_end(self) -> bool:
        """Tell whether it takes all that is left of its record."""
        return self.size == 0 and self.kind in {"hex", "ascii"}


@dataclass(frozen=True, slots=True)
class Item:
    """One kind of typed item.

    Attributes:
        name: its type as the maker writes it, hexadecimal; `??` is the channel.
        size: bytes after the type.
        size_at: byte after the type that holds the length of what follows it; None: `size` says it all.
        fields: what stands in it.
        when: which of several items of one type it is; none: the only one.
    """

    name: str
    size: int
    fields: tuple[Field, ...]
    size_at: int | None = None
    when: When | None = None

    def length(self, rest: bytes) -> int:
        """Return the item's bytes after its type, given what follows the type."""
        if self.size_at is None:
            return self.size
        return self.size_at + 1 + (rest[self.size_at] if self.size_at < len(rest) else 0)


@dataclass(frozen=True, slots=True)
class Frame:
    """One kind of payload.

    Attributes:
        ports: LoRaWAN ports it comes on; empty: any.
        head: the bytes it begins with, None for any byte.
        header: bytes before the first item or group.
        fields: at fixed places of the whole payload.
        items: by type; where one type comes in several forms, each says when it is the one.
        groups: of words, chosen by the flags word, lowest bit first.
        flags_at: where the flags word stands.
    """

    ports: frozenset[int] = frozenset()
    head: Pattern = ()
    header: int = 0
    fields: tuple[Field, ...] = ()
    items: Mapping[Pattern, tuple[Item, ...]] = field(default_factory=dict)
    groups: tuple[Item, ...] = ()
    flags_at: int = 0

    def fits(self, port: int | None, payload: bytes) -> bool:
        """Tell whether a payload is of this kind; an unknown port is no obstacle."""
        if self.ports and port is not None and port not in self.ports:
            return False
        return len(payload) >= len(self.head) and all(
            wanted is None or wanted == byte for wanted, byte in zip(self.head, payload, strict=False)
        )


@dataclass(frozen=True, slots=True)
class Codec:
    """How one family of devices writes.

    Attributes:
        name: as configuration names it, e.g. `milesight-em300-th`.
        maker: who makes the devices.
        models: what they are called.
        frames: tried in order; the first that fits is read.
        parameters: numbers of the single device its expressions need (resistors, spans), with the usual values.
    """

    name: str
    maker: str
    models: tuple[str, ...]
    frames: tuple[Frame, ...]
    parameters: Mapping[str, float] = field(default_factory=dict)

    def fields(self) -> Iterator[Field]:
        """Yield every field there may be."""
        for frame in self.frames:
            yield from frame.fields
            for items in (*frame.items.values(), frame.groups):
                for item in items:
                    yield from item.fields
