"""What a person confirms before an export is played: which column is what, and in which zone its times are.

A mapping file is taken as it stands; without one the columns are guessed and shown. A time zone is never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Final

from hanlu.core.clock import from_ms
from hanlu.core.errors import UsageError
from hanlu.firmware_sim.replay.guess import guess_file
from hanlu.firmware_sim.replay.mapping import Kind, Mapping, from_toml, to_toml, zone_of
from hanlu.firmware_sim.replay.plan import Plan, rows_of
from hanlu.firmware_sim.replay.reader import Row, Value

__all__ = [
    "Choice",
    "air_temperature",
    "choose_mapping",
    "described",
    "save_mapping",
    "suggested_profile",
    "zone_text",
]

_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])(\d{1,2})(?::?([0-5]\d))?", re.IGNORECASE)
_SAMPLE_ROWS: Final = 5_000
_AIR: Final = "air_temperature"
_SUGGESTIONS: Final = (("frozen-room", -60.0, -10.0), ("chilled-room", -1.5, 8.0))
"""Shipped limit profiles, and the typical air temperatures (degrees Celsius) of a room each is proposed for."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A mapping and how it came about.

    Attributes:
        mapping: the file's shape; its time zone may still be open.
        notes: what a person should look at; none for a mapping somebody wrote.
        guessed: whether it is a proposal.
    """

    mapping: Mapping
    notes: tuple[str, ...]
    guessed: bool

    @property
    def lacks_zone(self) -> bool:
        """Whether the times carry no offset and nobody has said which zone they are in."""
        return not self.mapping.carries_zone and self.mapping.time_zone is None

    def in_zone(self, time_zone: str) -> Choice:
        """Return the choice with the zone of its times said.

        Raises:
            UsageError: there is no such zone, or the times carry their offset themselves.
        """
        notes = tuple(note for note in self.notes if "time zone must be given" not in note)
        return Choice(replace(self.mapping, time_zone=zone_text(time_zone)), notes, self.guessed)


def choose_mapping(file: Path, mapping_file: Path | None, time_zone: str | None) -> Choice:
    """Return the mapping for `file`.

    Args:
        file: the export.
        mapping_file: TOML as in `firmware_sim.replay.mapping`; None guesses.
        time_zone: of times without an offset, as the user wrote it; takes precedence over the mapping file's.

    Raises:
        UsageError: a file cannot be read, or says what cannot be.
    """
    if mapping_file is None:
        proposal = guess_file(file)
        choice = Choice(proposal.mapping, proposal.notes, guessed=True)
    else:
        choice = Choice(from_toml(_text(mapping_file)), (), guessed=False)
    return choice if time_zone is None else choice.in_zone(time_zone)


def zone_text(text: str) -> str:
    """Return a time zone as mappings write it, from what people type: `-03:00`, `-3`, `UTC-3`, `America/Sao_Paulo`.

    Raises:
        UsageError: there is no such zone.
    """
    text = text.strip()
    match = _OFFSET.fullmatch(text)
    zone = f"{match[1]}{int(match[2]):02d}:{match[3] or '00'}" if match else text
    zone_of(zone)
    return zone


def save_mapping(mapping: Mapping, path: Path) -> None:
    """Write the mapping to a new file; one that says the same may be there already.

    Raises:
        UsageError: there is another file of that name, or it cannot be written.
    """
    text = to_toml(mapping)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        if _text(path) != text:
            raise UsageError(f"{path} is there already and says something else: remove it, or name another") from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error


def air_temperature(plan: Plan) -> float | None:
    """Return the median air temperature of the first rows, degrees Celsius; None when there is none."""
    values = list(_air_values(islice(rows_of(plan.path, plan.mapping, plan.now_ms), _SAMPLE_ROWS)))
    return median(values) if values else None


def suggested_profile(air_c: float | None) -> str | None:
    """Return the shipped limit profile for a room of this typical air temperature, or None when none fits."""
    if air_c is None:
        return None
    return next((code for code, low, high in _SUGGESTIONS if low <= air_c <= high), None)


def described(plan: Plan) -> list[str]:
    """Return, in lines for the terminal, what will be played and how the file's columns are understood."""
    mapping = plan.mapping
    zone = f", zone {mapping.time_zone}" if mapping.time_zone else ""
    shared = f"device {plan.devices[0]}, " if len(plan.devices) == 1 else ""
    lines = [
        f"{plan.path.name}: {plan.rows:,} rows, {plan.cells:,} cells, {_span(plan)}",
        f"{shared}time: column {mapping.time.header!r}, {mapping.time_format}{zone}, rows {mapping.order.value}",
        "",
        f"{'column':<36} {'becomes':<36} {'unit':<6} {'values':>10} {'invalid':>9}",
    ]
    for column in mapping.columns:
        invalid = plan.by_channel[column.channel].total()
        unit = "yes/no" if column.kind is Kind.BOOLEAN else column.unit
        name = column.metric if shared else column.channel
        lines.append(
            f"{column.place.header[:36]:<36} {name[:36]:<36} {unit:<6} {plan.rows - invalid:>10,} {invalid:>9,}"
        )
    if mapping.ignored:
        lines.append(f"ignored: {', '.join(repr(place.header) for place in mapping.ignored)}")
    if plan.beside:
        lines.append(f"{plan.beside:,} cells of columns that are not played hold a text")
    if plan.invalid:
        reasons = ", ".join(f"{count:,} {reason.value}" for reason, count in sorted(plan.invalid.items()))
        lines.append(f"invalid cells, which will be declared lost: {reasons}")
    return lines


def _span(plan: Plan) -> str:
    if plan.first_ms is None or plan.last_ms is None:
        return "no time that can be read"
    zone = zone_of(plan.mapping.time_zone) if plan.mapping.time_zone else None
    first, last = (
        _shown(from_ms(ms).astimezone(zone) if zone else from_ms(ms)) for ms in (plan.first_ms, plan.last_ms)
    )
    return f"{first} to {last}"


def _shown(moment: datetime) -> str:
    return moment.isoformat(" ", "minutes")


def _air_values(rows: Iterable[Row]) -> Iterator[float]:
    for row in rows:
        for cell in row.cells:
            if isinstance(cell, Value) and cell.column.metric == _AIR and cell.column.unit == "Cel":
                yield cell.value


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from error
