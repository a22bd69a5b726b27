"""Codec files: TOML to codecs, checked once where they are read.

`docs/drivers/lorawan.md` tells how to write one. What is wrong is refused with its place, so that no payload meets a
codec that cannot work.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from pydantic import Field as Said
from pydantic import ValidationError, field_validator

from hanlu.core.errors import UsageError
from hanlu.core.limits import CODE_PATTERN
from hanlu.gateway.driver.lorawan.codec import Codec, Field, Frame, Item, Pattern, When
from hanlu.gateway.driver.lorawan.expression import Expression, parse
from hanlu.gateway.driver.mapping import ChannelRule, Section

__all__ = ["CODEC_FOLDER", "codecs_of", "library"]

CODEC_FOLDER: Final = Path(__file__).parent.parent / "data" / "codecs"
"""The codecs that come with the gateway."""

_TYPE: Final = re.compile(r"(?:([uif])(8|16|24|32|40|48|64)|(hex|ascii|text)(\d*))(be|le)?")
_PLACEHOLDER: Final = re.compile(r"\{(?:n|channel)\}")
_WORD: Final = re.compile(r"x\d+")


class _Channel(Section):
    """What a value becomes; see `mapping.ChannelRule`."""

    metric: str
    unit: str = ""
    to: str | None = None
    scale: float = 1.0
    offset: float = 0.0
    period_s: float = 600.0

    def rule(self, key: str) -> ChannelRule:
        metric = _PLACEHOLDER.sub("0", self.metric)
        return ChannelRule(source=key, **{**self.model_dump(), "metric": metric})


class _When(Section):
    at: int = Said(ge=0, le=255)
    bits: tuple[int, int] = (0, 8)
    is_: tuple[int, ...] = Said(alias="is", min_length=1)


class _Field(Section):
    """One field as written; the docs page explains each word."""

    key: str = Said(default="", max_length=80)
    type: str = ""
    at: int | None = Said(default=None, ge=0, le=255)
    bit: int | None = Said(default=None, ge=0, le=63)
    bits: tuple[int, int] | None = None
    least: int | None = None
    scale: float = Said(default=1.0, allow_inf_nan=False)
    div: float = Said(default=1.0, allow_inf_nan=False)
    offset: float = Said(default=0.0, allow_inf_nan=False)
    expr: str = ""
    values: dict[str, str] = Said(default_factory=dict)
    other: str = "unknown"
    unlisted: bool = True
    flags: dict[str, str] = Said(default_factory=dict)
    missing: dict[str, str] = Said(default_factory=dict)
    failed: dict[str, str] = Said(default_factory=dict)
    range: tuple[float, float] | None = None
    when: _When | None = None
    text: str = ""
    time: str = Said(default="", pattern="^(|record|frame)$")
    metric: str | None = None
    unit: str = ""
    to: str | None = None
    period_s: float = 600.0

    @field_validator("div")
    @classmethod
    def _divides(cls, value: float) -> float:
        if value == 0:
            raise ValueError("nothing can be divided by 0")
        return value


class _Item(Section):
    when: _When | None = None
    size: int | None = Said(default=None, ge=0, le=255)
    size_at: int | None = Said(default=None, ge=0, le=254)
    fields: tuple[_Field, ...] = ()


class _Group(Section):
    words: int = Said(ge=1, le=32)
    fields: tuple[_Field, ...] = ()


class _Frame(Section):
    ports: tuple[int, ...] = ()
    head: str = ""
    header: int = Said(default=0, ge=0, le=255)
    fields: tuple[_Field, ...] = ()
    items: dict[str, _Item | tuple[_Field, ...] | tuple[_Item, ...] | int] = Said(default_factory=dict)
    flags_at: int = Said(default=0, ge=0, le=255)
    groups: tuple[_Group, ...] = ()


class _Codec(_Frame):
    models: tuple[str, ...] = ()
    base: tuple[str, ...] = ()
    endian: str = Said(default="big", pattern="^(big|little)$")
    parameters: dict[str, float] = Said(default_factory=dict)
    channels: dict[str, _Channel] = Said(default_factory=dict)
    frames: tuple[_Frame, ...] = ()


class _File(Section):
    maker: str = Said(min_length=1, max_length=80)
    channels: dict[str, _Channel] = Said(default_factory=dict)
    codecs: dict[str, _Codec]

    @field_validator("codecs")
    @classmethod
    def _named(cls, value: dict[str, _Codec]) -> dict[str, _Codec]:
        for name in value:
            if not re.fullmatch(CODE_PATTERN, name):
                raise ValueError(f"{name!r} is no name: lower case letters, digits and hyphens, at most 40")
        return value


@cache
def _built_in() -> Mapping[str, Codec]:
    found: dict[str, Codec] = {}
    for path in sorted(CODEC_FOLDER.glob("*.toml")):
        found.update(codecs_of(path))
    return found


def library(files: tuple[Path, ...] = ()) -> dict[str, Codec]:
    """Return all codecs by name: those that come with the gateway and those of `files`, which win.

    Raises:
        UsageError: a file cannot be read or says something that cannot be.
    """
    found = dict(_built_in())
    for path in files:
        found.update(codecs_of(path))
    return found


def codecs_of(path: Path) -> dict[str, Codec]:
    """Return the codecs of one file by name.

    Raises:
        UsageError: it cannot be read or says something that cannot be; the message names the place.
    """
    try:
        content = _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        return {name: _Compiler(content, name).codec() for name in content.codecs}
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"codec file {path}: {place}: {first['msg']}") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"codec file {path}: {error}") from error


class _Compiler:
    """Turns what is written of one codec into the codec."""

    def __init__(self, content: _File, name: str) -> None:
        self.content, self.name, self.said = content, name, content.codecs[name]
        self.channels = dict(content.channels)
        self.parameters: dict[str, float] = {}
        for each in self.lineage():
            self.channels.update(each.channels)
            self.parameters.update(each.parameters)
        self.little = self.inherited("endian") == "little"

    def lineage(self) -> tuple[_Codec, ...]:
        """Return the bases in order and the codec itself, the strongest last."""
        bases = []
        for name in self.said.base:
            if name not in self.content.codecs or self.content.codecs[name].base:
                raise ValueError(f"codec {self.name}: base {name!r} must be a codec of the same file without a base")
            bases.append(self.content.codecs[name])
        return (*bases, self.said)

    def inherited(self, name: str) -> Any:
        """Return a setting of the codec, or of the last base that has it."""
        said = [each for each in self.lineage() if name in each.model_fields_set]
        return getattr(said[-1] if said else self.said, name)

    def codec(self) -> Codec:
        said = self.said
        items: dict[str, Any] = {}
        for each in self.lineage():
            items.update(each.items)
        whole = _Frame.model_construct(
            **{name: self.inherited(name) for name in _Frame.model_fields} | {"items": items}
        )
        frames = tuple(self.frame(each) for each in said.frames)
        if not frames or items or said.fields or said.groups:
            frames = (*frames, self.frame(whole))
        return Codec(self.name, self.content.maker, said.models, frames, self.parameters)

    def frame(self, said: _Frame) -> Frame:
        items = {}
        for name, item in said.items.items():
            pattern = _pattern(name)
            if not 1 <= len(pattern) <= 3 or pattern.count(None) > 1:
                raise ValueError(f"codec {self.name}: item {name!r}: a type has one to three bytes, at most one `??`")
            forms = item if isinstance(item, tuple) and item and isinstance(item[0], _Item) else (item,)
            items[pattern] = tuple(self.item(name, each) for each in forms)
        return Frame(
            frozenset(said.ports or self.inherited("ports")),
            _pattern(said.head),
            said.header,
            self.fields(said.fields),
            items,
            tuple(
                Item(str(bit), 2 * each.words, self.fields(each.fields, 2 * each.words))
                for bit, each in enumerate(said.groups)
            ),
            said.flags_at,
        )

    def item(self, name: str, said: Any) -> Item:
        if isinstance(said, int):
            return Item(name, said, ())
        if isinstance(said, tuple):
            said = _Item(fields=said)
        fields = self.fields(said.fields, said.size)
        size = said.size
        if size is None:
            size = max((each.at + each.size for each in fields), default=0)
            if said.size_at is None and any(each.reaches_end for each in fields):
                raise ValueError(f"codec {self.name}: item {name}: say its `size`: a field reaches to its end")
        return Item(name, size, fields, said.size_at, _when(said.when))

    def fields(self, said: tuple[_Field, ...], size: int | None = None) -> tuple[Field, ...]:
        made: list[Field] = []
        at = 0
        for each in said:
            try:
                one = self.field(each, at if each.at is None else each.at, size)
            except (ValueError, UsageError) as error:
                raise ValueError(f"codec {self.name}: field {each.key!r}: {error}") from error
            made.append(one)
            at = one.at + one.size
        return tuple(made)

    def field(self, said: _Field, at: int, record: int | None) -> Field:
        kind, size, signed, little = self.kind(said)
        if record is not None and at + size > record:
            raise ValueError(f"ends at byte {at + size} of a record of {record}")
        if not said.key and not said.time:
            raise ValueError("needs a `key`")
        shift, count = (said.bit, 1) if said.bit is not None else said.bits or (0, 0)
        rule, metric = self.channel(said)
        low, high = said.range or (float("-inf"), float("inf"))
        return Field(
            said.key,
            kind,
            at,
            size,
            signed=signed,
            little=little,
            shift=shift,
            mask=(1 << count) - 1,
            least=said.least,
            scale=said.scale,
            div=said.div,
            offset=said.offset,
            expression=self.expression(said.expr) if said.expr else None,
            names=_numbers(said.values),
            other=said.other,
            unlisted=said.unlisted,
            flags=_numbers(said.flags),
            missing=_numbers(said.missing),
            failed=_numbers(said.failed),
            low=low,
            high=high,
            when=_when(said.when),
            template=said.text,
            time=said.time,
            rule=rule,
            metric=metric,
        )

    def kind(self, said: _Field) -> tuple[str, int, bool, bool]:
        if not said.type:
            if not said.expr:
                raise ValueError("needs a `type` or an `expr`")
            return "none", 0, False, False
        match = _TYPE.fullmatch(said.type)
        if match is None:
            raise ValueError(f"type {said.type!r}: u8 u16 u24 u32 u48 u64, i8 ..., f16 f32 f64, hexN, asciiN, textN")
        little = match[5] == "le" if match[5] else self.little
        if match[3]:
            return match[3], int(match[4] or 0), False, little
        size = int(match[2]) // 8
        if match[1] == "f" and size not in {2, 4, 8}:
            raise ValueError(f"type {said.type!r}: floats have 16, 32 or 64 bits")
        return ("float" if match[1] == "f" else "int"), size, match[1] == "i", little

    def channel(self, said: _Field) -> tuple[ChannelRule | None, str]:
        if said.metric is not None:
            if said.metric == "":
                return None, ""
            own = _Channel(metric=said.metric, unit=said.unit, to=said.to, period_s=said.period_s)
            return own.rule(said.key), said.metric
        known = self.channels.get(said.key)
        return (known.rule(said.key), known.metric) if known and known.metric else (None, "")

    def expression(self, text: str) -> Expression:
        expression = parse(text)
        for name in expression.names:
            if name != "x" and name not in self.parameters and not _WORD.fullmatch(name):
                raise ValueError(f"{name!r} is neither x, x0, x1 ... nor one of the codec's parameters")
        return expression


def _pattern(text: str) -> Pattern:
    return tuple(None if part == "??" else int(part, 16) for part in text.split())


def _numbers(said: dict[str, str]) -> dict[int, str]:
    return {int(number, 0): word for number, word in said.items()}


def _when(said: _When | None) -> When | None:
    return None if said is None else When(said.at, said.bits[0], (1 << said.bits[1]) - 1, frozenset(said.is_))
