"""Modbus registers to values; pure.

A register is a channel rule with a place: a function, an address, a type and the order of its bytes and words.
Source: MODBUS Application Protocol V1.1b3, 4.2 (big-endian), 4.4 (addresses from 0), 6.1-6.4 (functions 01-04).
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Literal

from pydantic import Field, model_validator

from hanlu.core.reading import Quality
from hanlu.gateway.driver.mapping import ChannelRule, Section

__all__ = ["Absent", "Register", "Reliability", "Type", "Value", "Words", "evaluate"]

Words = Mapping[tuple[int, int], int]
"""What was read: (function, address) to a 16-bit word, or to 0 or 1 for functions 01 and 02."""

_REFERENCE: Final = re.compile(r"([0134])(\d{4,5})")
"""A data model reference as manuals print it: 30011, 400021. The first digit is the table, the rest counts from 1."""
_TABLES: Final = {"0": 1, "1": 2, "3": 4, "4": 3}
"""Table of the data model to the function that reads it."""


class Type(StrEnum):
    """What the words of a register mean."""

    BIT = "bit"
    """One coil or discrete input (functions 01 and 02)."""
    BITS = "bits"
    """Some bits of a word: `mask` chooses, the lowest chosen one counts 1."""
    INT16 = "int16"
    UINT16 = "uint16"
    INT32 = "int32"
    UINT32 = "uint32"
    INT64 = "int64"
    UINT64 = "uint64"
    FLOAT32 = "float32"
    FLOAT64 = "float64"


_FORMATS: Final = {
    Type.BITS: ">H",
    Type.INT16: ">h",
    Type.UINT16: ">H",
    Type.INT32: ">i",
    Type.UINT32: ">I",
    Type.INT64: ">q",
    Type.UINT64: ">Q",
    Type.FLOAT32: ">f",
    Type.FLOAT64: ">d",
}


class Reliability(Section):
    """The register that says whether another one can be trusted: 0 means yes."""

    address: int = Field(ge=0, le=65_535, description="in the same function, counted like the register's own")
    uncertain: tuple[int, ...] = Field(
        default=(), description="non-zero words that mean uncertain; every other one means bad"
    )


class Register(ChannelRule):
    """One value of a device.

    `scale` and `offset` turn the raw number into `unit`; `low` and `high` are in `unit` too.
    """

    function: Literal[1, 2, 3, 4] = Field(default=3, description="01 coils, 02 inputs, 03 holding, 04 input registers")
    address: int = Field(ge=0, le=65_535, description="of the first word, from 0; from 1 with `one_based`")
    one_based: bool = Field(default=False, description="addresses count from 1, as some manuals print them")
    type: Type = Field(default=Type.INT16, description="how the words are read; bit for functions 01 and 02")
    byte_order: Literal["big", "little"] = Field(default="big", description="of the two bytes of a word")
    word_order: Literal["big", "little"] = Field(default="big", description="big: the most significant word first")
    mask: int = Field(default=0xFFFF, ge=1, le=0xFFFF, description="for bits: which bits of the word count")
    sentinels: tuple[float | Literal["nan"], ...] = Field(
        default=(), description="raw numbers by which the device says that it has no value"
    )
    low: float | None = Field(default=None, description="least value the sensor can show, in `unit`")
    high: float | None = Field(default=None, description="greatest value the sensor can show, in `unit`")
    reliability: Reliability | None = Field(default=None, description="register that says whether to trust this one")

    @model_validator(mode="before")
    @classmethod
    def _place(cls, values: Any) -> Any:
        """Accept `reference = 30011` for function and address; bits where the function allows nothing else."""
        if not isinstance(values, dict):
            return values
        values = dict(values)
        if "reference" in values:
            if "address" in values or "function" in values:
                raise ValueError("give either `reference` or `function` and `address`")
            match = _REFERENCE.fullmatch(str(values.pop("reference")))
            if match is None or int(match[2]) == 0:
                raise ValueError("a reference is 0, 1, 3 or 4 and four or five digits from 0001, e.g. 30011")
            values |= {"function": _TABLES[match[1]], "address": int(match[2]) - 1, "one_based": False}
        if values.get("function") in (1, 2):
            values.setdefault("type", Type.BIT.value)
        return values

    def model_post_init(self, context: object, /) -> None:
        """Refuse places and types that contradict one another."""
        super().model_post_init(context)
        if (self.function in (1, 2)) != (self.type is Type.BIT):
            raise ValueError(f"{self.source}: functions 01 and 02 read bits, and only they do")
        for address in (self.address, self.reliability.address if self.reliability else 1):
            if self.one_based and address == 0:
                raise ValueError(f"{self.source}: there is no address 0 where addresses count from 1")
        if self.first + self.words > 65_536:
            raise ValueError(f"{self.source}: ends beyond address 65535")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"{self.source}: low is above high")

    @property
    def first(self) -> int:
        """Return the address on the wire, from 0."""
        return self.address - self.one_based

    @property
    def words(self) -> int:
        """Return how many words (bits for functions 01 and 02) it takes."""
        return 1 if self.type is Type.BIT else struct.calcsize(_FORMATS[self.type]) // 2

    @property
    def trust_at(self) -> int | None:
        """Return the wire address of the reliability register, None where there is none."""
        return None if self.reliability is None else self.reliability.address - self.one_based


@dataclass(frozen=True, slots=True)
class Value:
    """A raw number and how far it can be trusted."""

    raw: float
    quality: Quality


@dataclass(frozen=True, slots=True)
class Absent:
    """There is no value.

    Attributes:
        produced: True where the device gave something that should have been a number; it is to be declared lost.
        why: stable word: `not_read`, `no_value`, `not_finite`.
    """

    produced: bool
    why: str


def evaluate(register: Register, words: Words) -> Value | Absent:
    """Return what `register` says in `words`.

    A device that says there is no value (a sentinel) has produced none; a number that is none (NaN, infinity) where
    the map knows no sentinel for it has been lost. Outside the sensor's limits, or with a reliability register that is
    not zero, a value is kept and marked bad; with one that could not be read, uncertain.
    """
    try:
        taken = [words[register.function, register.first + index] for index in range(register.words)]
    except KeyError:
        return Absent(produced=False, why="not_read")
    raw = _number(register, taken)
    if any(math.isnan(raw) if sentinel == "nan" else raw == sentinel for sentinel in register.sentinels):
        return Absent(produced=False, why="no_value")
    value = raw * register.scale + register.offset
    if not math.isfinite(value):
        return Absent(produced=True, why="not_finite")
    quality = _trust(register, words)
    if (register.low is not None and value < register.low) or (register.high is not None and value > register.high):
        quality = Quality.BAD
    return Value(raw, quality)


def _number(register: Register, words: list[int]) -> float:
    if register.type is Type.BIT:
        return float(bool(words[0]))
    ordered = reversed(words) if register.word_order == "little" else words
    data = b"".join(word.to_bytes(2, register.byte_order) for word in ordered)
    (number,) = struct.unpack(_FORMATS[register.type], data)
    if register.type is Type.BITS:
        lowest = (register.mask & -register.mask).bit_length() - 1
        return float((number & register.mask) >> lowest)
    return float(number)


def _trust(register: Register, words: Words) -> Quality:
    if register.reliability is None or register.trust_at is None:
        return Quality.GOOD
    word = words.get((register.function, register.trust_at))
    if word is None:
        return Quality.UNCERTAIN
    if word == 0:
        return Quality.GOOD
    return Quality.UNCERTAIN if word in register.reliability.uncertain else Quality.BAD
