"""Units of other makers to SenML's; pure.

A conversion is linear: `value * factor + offset`. The SenML unit is what a channel is registered in.
Source: RFC 8428 12.1 and RFC 8798 (SenML units); SI Brochure 9th edition, tables 5 and 8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hanlu.core.errors import UsageError

__all__ = ["Conversion", "conversion"]


@dataclass(frozen=True, slots=True)
class Conversion:
    """How a foreign value becomes one in a SenML unit.

    Attributes:
        unit: the SenML unit of the result; empty for booleans.
        factor: by which the foreign value is multiplied.
        offset: added after that.
    """

    unit: str
    factor: float = 1.0
    offset: float = 0.0

    def __call__(self, value: float) -> float:
        """Return `value` in `unit`; what needs no conversion keeps every bit."""
        if self.factor == 1.0 and self.offset == 0.0:
            return value
        return value * self.factor + self.offset


_FOREIGN: Final[dict[str, Conversion]] = {
    "C": Conversion("Cel"),
    "°C": Conversion("Cel"),
    "℃": Conversion("Cel"),
    "degC": Conversion("Cel"),
    "celsius": Conversion("Cel"),
    "F": Conversion("Cel", 5 / 9, -160 / 9),
    "°F": Conversion("Cel", 5 / 9, -160 / 9),
    "degF": Conversion("Cel", 5 / 9, -160 / 9),
    "K": Conversion("Cel", 1.0, -273.15),
    "%": Conversion("/", 0.01),
    "RH": Conversion("%RH"),
    "%rh": Conversion("%RH"),
    "mV": Conversion("V", 0.001),
    "mA": Conversion("A", 0.001),
    "kW": Conversion("W", 1_000.0),
    "kWh": Conversion("J", 3_600_000.0),
    "Wh": Conversion("J", 3_600.0),
    "hPa": Conversion("Pa", 100.0),
    "mbar": Conversion("Pa", 100.0),
    "kPa": Conversion("Pa", 1_000.0),
    "bar": Conversion("Pa", 100_000.0),
    "psi": Conversion("Pa", 6_894.757293168),
    "g": Conversion("kg", 0.001),
    "t": Conversion("kg", 1_000.0),
    "km": Conversion("m", 1_000.0),
    "cm": Conversion("m", 0.01),
    "mm": Conversion("m", 0.001),
    "ft": Conversion("m", 0.3048),
    "km/h": Conversion("m/s", 1 / 3.6),
    "knot": Conversion("m/s", 1_852 / 3_600),
    "cm/s": Conversion("m/s", 0.01),
    "ms": Conversion("s", 0.001),
    "min": Conversion("s", 60.0),
    "h": Conversion("s", 3_600.0),
    "ml": Conversion("l", 0.001),
    "m3": Conversion("l", 1_000.0),
    "l/min": Conversion("l/s", 1 / 60),
    "deg": Conversion("rad", 0.017453292519943295),
    "ppm": Conversion("ppm"),
    "bool": Conversion(""),
}

# fmt: off
_SENML: Final = frozenset({
    "m", "kg", "g", "s", "A", "K", "cd", "mol", "Hz", "rad", "sr", "N", "Pa", "J", "W", "C", "V", "F", "Ohm", "S",
    "Wb", "T", "H", "Cel", "lm", "lx", "Bq", "Gy", "Sv", "kat", "m2", "m3", "m/s", "m/s2", "m3/s", "l/s", "W/m2",
    "cd/m2", "bit", "bit/s", "lat", "lon", "pH", "dB", "dBW", "count", "/", "%RH", "%EL", "EL", "1/s", "1/min",
    "beat/min", "beats", "S/m", "B", "var", "vars", "J/m", "kg/m3", "deg", "dBm", "l", "ppm", "ppb",
})
# fmt: on
"""Units a channel may be registered in: RFC 8428 12.1, RFC 8798 table 1, and its secondary units in common use here."""


def conversion(foreign: str, unit: str | None = None) -> Conversion:
    """Return how values in `foreign` become SenML values.

    Args:
        foreign: what the device measures in, e.g. `°F`; a SenML unit or empty needs no conversion.
        unit: the SenML unit wanted; None takes the one `foreign` leads to.

    Raises:
        UsageError: no conversion is known; the message says which units are.
    """
    if unit is None:
        found = _FOREIGN.get(foreign)
        if found is not None:
            return found
        if foreign == "" or foreign in _SENML:
            return Conversion(foreign)
        raise UsageError(f"unit {foreign!r} is unknown; known are {', '.join(sorted(_FOREIGN))} and SenML's own")
    if foreign == unit:
        return Conversion(unit)
    found = _FOREIGN.get(foreign)
    if found is None or found.unit != unit:
        # An explicit pair such as % to %RH or %EL: same scale, more specific word.
        if foreign == "%" and unit in {"%RH", "%EL"}:
            return Conversion(unit)
        raise UsageError(f"no conversion from {foreign!r} to {unit!r}")
    return found
