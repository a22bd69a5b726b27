"""What a county is made of, as plain data: who, where, and every channel on the wire.

Values only; the demo county itself stands in `yanling.py`, the machines behind its devices in `fleet.py`. Seeding a
registry from a `County` needs nothing else: every code, name, position, unit, period and limit is here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

from hanlu.core.limits import CODE_PATTERN, PARTITIONS

__all__ = [
    "Channel",
    "County",
    "Device",
    "Gateway",
    "Level",
    "LimitProfile",
    "Organisation",
    "Participant",
    "Product",
    "Site",
    "Zone",
    "check_digit",
    "lot_uri",
    "place_uri",
]

GS1_ROOT: Final = "https://id.gs1.org"


def check_digit(digits: str) -> str:
    """Return the check digit of a GS1 number whose other digits are `digits`.

    Source: GS1 General Specifications 7.9 (weights 3 and 1 from the right).
    """
    total = sum(int(digit) * (3 if place % 2 == 0 else 1) for place, digit in enumerate(reversed(digits)))
    return str(-total % 10)


def place_uri(gln: str) -> str:
    """Return the Digital Link of a location (AI 414)."""
    return f"{GS1_ROOT}/414/{gln}"


def lot_uri(gtin: str, lot: str) -> str:
    """Return the Digital Link of a lot (AI 01 and 10)."""
    return f"{GS1_ROOT}/01/{gtin}/10/{lot}"


@dataclass(frozen=True, slots=True)
class Level:
    """What a level of the organisation tree is called; 1 is the root's."""

    level: int
    name_zh: str
    name_en: str


@dataclass(frozen=True, slots=True)
class Organisation:
    """A node of the tree; `parent` is the code of the one above, None at the root."""

    code: str
    parent: str | None
    level: int
    name_zh: str
    name_en: str


@dataclass(frozen=True, slots=True)
class Participant:
    """An organisation that acts on goods, never a person; `role` as the registry names them."""

    code: str
    organisation: str
    gln: str
    name_zh: str
    name_en: str
    role: str


@dataclass(frozen=True, slots=True)
class LimitProfile:
    """Limits of one metric of a product or kind of room, with where they come from.

    Attributes:
        code: shared by the metrics of one profile.
        metric: what is limited.
        unit: SenML unit.
        low: lower limit, or None.
        high: upper limit, or None.
        deadband: how far back the value must come.
        on_delay_s: how long it must last before it is an alarm.
        off_delay_s: how long it must be over.
        no_data_s: silence that is an alarm of its own.
        priority: 1 critical, 2 high, 3 low.
        source: of the figures.
    """

    code: str
    metric: str
    unit: str
    low: float | None
    high: float | None
    deadband: float
    on_delay_s: int
    off_delay_s: int
    no_data_s: int
    priority: int
    source: str


@dataclass(frozen=True, slots=True)
class Product:
    """A trade item, farm inputs included; `gtin` has 14 digits."""

    gtin: str
    name_zh: str
    name_en: str
    limit_profile: str


@dataclass(frozen=True, slots=True)
class Site:
    """A place or vehicle; latitude and longitude in WGS 84 degrees, None where it moves."""

    code: str
    organisation: str
    participant: str
    kind: str
    name_zh: str
    name_en: str
    gln: str
    latitude: float | None
    longitude: float | None


@dataclass(frozen=True, slots=True)
class Zone:
    """A room, plot or loading space; `limit_profile` None where nothing is limited."""

    code: str
    site: str
    name_zh: str
    name_en: str
    gln: str
    limit_profile: str | None = None


@dataclass(frozen=True, slots=True)
class Gateway:
    """The box that speaks for the devices of a site; `partition` 0 to 63."""

    code: str
    site: str
    partition: int


@dataclass(frozen=True, slots=True)
class Channel:
    """One metric of one device.

    Attributes:
        metric: e.g. `air_temperature`.
        unit: SenML unit, "" for booleans.
        period_s: seconds between readings when live.
        limit_profile: overrides the zone's, or None.
    """

    metric: str
    unit: str
    period_s: float
    limit_profile: str | None = None


@dataclass(frozen=True, slots=True)
class Device:
    """An instrument or machine; `kind` names its model, its code is unique in its gateway."""

    code: str
    gateway: str
    zone: str
    kind: str
    name_zh: str
    name_en: str
    channels: tuple[Channel, ...] = ()


@dataclass(frozen=True)
class County:
    """Everything together; checked on creation, so that a county that exists is whole.

    Raises:
        ValueError: a code, check digit, partition or reference is wrong; the message names it.
    """

    levels: tuple[Level, ...]
    organisations: tuple[Organisation, ...]
    participants: tuple[Participant, ...]
    limit_profiles: tuple[LimitProfile, ...]
    products: tuple[Product, ...]
    sites: tuple[Site, ...]
    zones: tuple[Zone, ...]
    gateways: tuple[Gateway, ...]
    devices: tuple[Device, ...]
    _by_code: dict[str, Zone] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Check codes, numbers and references."""
        self._by_code.update({zone.code: zone for zone in self.zones})
        _refuse(self._problems())

    def zone(self, code: str) -> Zone:
        """Return the zone with `code`; KeyError when there is none."""
        return self._by_code[code]

    def devices_of(self, gateway: str) -> tuple[Device, ...]:
        """Return the devices that talk to `gateway`, in order."""
        return tuple(device for device in self.devices if device.gateway == gateway)

    def channels_of(self, gateway: str) -> list[tuple[str, str, float]]:
        """Return (wire name, unit, period in seconds) of every channel of `gateway`: what its birth announces."""
        return [
            (f"{device.code}/{channel.metric}", channel.unit, channel.period_s)
            for device in self.devices_of(gateway)
            for channel in device.channels
        ]

    def _problems(self) -> Iterable[str]:
        yield from _unique("organisation", (each.code for each in self.organisations))
        yield from _unique("zone", (zone.code for zone in self.zones))
        yield from _unique("site", (site.code for site in self.sites))
        yield from _unique("gateway", (gateway.code for gateway in self.gateways))
        yield from _unique("device", (f"{device.gateway}/{device.code}" for device in self.devices))
        glns = [*(p.gln for p in self.participants), *(s.gln for s in self.sites), *(z.gln for z in self.zones)]
        yield from _unique("GLN", glns)
        yield from (f"GLN {gln} is wrong" for gln in glns if not _gs1_number(gln, 13))
        yield from (f"GTIN {product.gtin} is wrong" for product in self.products if not _gs1_number(product.gtin, 14))
        yield from self._dangling()
        for gateway in self.gateways:
            if not 0 <= gateway.partition < PARTITIONS:
                yield f"partition {gateway.partition} of {gateway.code} is not within 0 to {PARTITIONS - 1}"
        codes = [*(g.code for g in self.gateways), *(d.code for d in self.devices), *(s.code for s in self.sites)]
        yield from (f"{code!r} is not a code" for code in codes if not re.fullmatch(CODE_PATTERN, code))

    def _dangling(self) -> Iterable[str]:
        organisations = {each.code for each in self.organisations}
        participants = {each.code for each in self.participants}
        sites = {site.code for site in self.sites}
        gateways = {gateway.code for gateway in self.gateways}
        profiles = {profile.code for profile in self.limit_profiles} | {None}
        yield from _missing("organisation", organisations | {None}, (each.parent for each in self.organisations))
        yield from _missing("organisation", organisations, (each.organisation for each in self.participants))
        yield from _missing("organisation", organisations, (site.organisation for site in self.sites))
        yield from _missing("participant", participants, (site.participant for site in self.sites))
        yield from _missing("site", sites, (zone.site for zone in self.zones))
        yield from _missing("site", sites, (gateway.site for gateway in self.gateways))
        yield from _missing("gateway", gateways, (device.gateway for device in self.devices))
        yield from _missing("zone", set(self._by_code), (device.zone for device in self.devices))
        yield from _missing("limit profile", profiles, (product.limit_profile for product in self.products))
        yield from _missing("limit profile", profiles, (zone.limit_profile for zone in self.zones))
        channels = chain.from_iterable(device.channels for device in self.devices)
        yield from _missing("limit profile", profiles, (channel.limit_profile for channel in channels))


def _refuse(problems: Iterable[str]) -> None:
    found = list(problems)
    if found:
        raise ValueError("; ".join(found))


def _unique(what: str, codes: Iterable[str]) -> Iterable[str]:
    seen: set[str] = set()
    for code in codes:
        if code in seen:
            yield f"{what} {code} appears twice"
        seen.add(code)


def _missing(what: str, known: Iterable[str | None], wanted: Iterable[str | None]) -> Iterable[str]:
    have = set(known)
    yield from (f"there is no {what} {code!r}" for code in wanted if code not in have)


def _gs1_number(digits: str, length: int) -> bool:
    return len(digits) == length and digits.isdecimal() and check_digit(digits[:-1]) == digits[-1]
