"""The things of the register as values. They name one another by code or GLN, never by database key, so that the same
seed fits every database; `store.py` turns names into keys.

Codes match `core.limits.CODE_PATTERN`; names come in Chinese and English; identifiers with check digits are GS1's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Literal

from hanlu.registry.access import Role

__all__ = [
    "Change",
    "Channel",
    "Device",
    "Gateway",
    "GatewayKey",
    "LevelName",
    "LimitProfile",
    "Organisation",
    "Participant",
    "ParticipantRole",
    "PersonRow",
    "Product",
    "Site",
    "SiteKind",
    "Zone",
]

SiteKind = Literal["field", "pre_cooler", "cold_store", "truck", "locker", "shop", "drone", "depot"]
ParticipantRole = Literal["producer", "cooperative", "store", "carrier", "shop", "input_dealer", "laboratory"]


class Change(StrEnum):
    """What writing a record did."""

    NONE = "none"
    ADDED = "added"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class LevelName:
    """What one level of the organisation tree is called here, e.g. 1: 省, province."""

    level: int
    name_zh: str
    name_en: str


@dataclass(frozen=True, slots=True)
class Organisation:
    """A node of the tree.

    Attributes:
        code: unique in the whole tree, e.g. the administrative division code of GB/T 2260.
        parent: code of the node above; None for the root.
        name_zh: name in Chinese.
        name_en: name in English.
        level: 1 for the root; set by the store from the parent when written.
        path: ids from the root, `/1/4/`; set by the store.
    """

    code: str
    parent: str | None
    name_zh: str
    name_en: str
    level: int = 0
    path: str = ""


@dataclass(frozen=True, slots=True)
class LimitProfile:
    """The limits of one metric of a product or room class, from a date on.

    Attributes:
        code: e.g. `frozen-room`.
        effective_from: first day, China time; the newest not in the future is in force.
        metric: e.g. `air_temperature`.
        unit: SenML unit of `low`, `high` and `deadband`.
        low: below it is too low; None has no lower limit.
        high: above it is too high; None has no upper limit.
        deadband: how far back inside the value must come to count as returned.
        on_delay_s: seconds outside before the alarm is raised, 0 to 86400.
        off_delay_s: seconds back inside before it returns to normal, 0 to 86400.
        no_data_s: seconds of silence before the no-data alarm, 10 to 604800.
        priority: 1 critical, 2 high, 3 low.
        source: the rule, table or observation behind the figures.
    """

    code: str
    effective_from: date
    source: str
    metric: str = "air_temperature"
    unit: str = "Cel"
    low: float | None = None
    high: float | None = None
    deadband: float = 0.5
    on_delay_s: int = 600
    off_delay_s: int = 60
    no_data_s: int = 600
    priority: int = 2


@dataclass(frozen=True, slots=True)
class Product:
    """A trade item: GTIN-14, names, and the profile its storage is judged by."""

    gtin: str
    name_zh: str
    name_en: str
    limit_profile: str


@dataclass(frozen=True, slots=True)
class Participant:
    """An organisation that acts on goods, by GLN-13; never a natural person."""

    gln: str
    organisation: str
    name_zh: str
    name_en: str
    role: ParticipantRole


@dataclass(frozen=True, slots=True)
class Site:
    """A place with a gateway or with goods: a store, a truck, a field.

    Attributes:
        code: unique, e.g. `store-1`.
        organisation: code of the node it belongs to; decides who sees it.
        name_zh: name in Chinese.
        name_en: name in English.
        kind: what sort of place.
        participant: GLN of who runs it, or None.
        gln: GLN-13 of the place itself, or None.
        latitude: degrees WGS 84, or None.
        longitude: degrees WGS 84, or None.
    """

    code: str
    organisation: str
    name_zh: str
    name_en: str
    kind: SiteKind
    participant: str | None = None
    gln: str | None = None
    latitude: float | None = None
    longitude: float | None = None


@dataclass(frozen=True, slots=True)
class Zone:
    """A room or compartment of a site, with the limit profile its channels are judged by (None: no limits)."""

    code: str
    site: str
    name_zh: str
    name_en: str
    gln: str | None = None
    limit_profile: str | None = None


@dataclass(frozen=True, slots=True)
class Gateway:
    """An edge computer: its site, its fixed partition (0 to 63) and whether bare SenML is taken from it as well."""

    code: str
    site: str
    partition: int
    accepts_unsigned: bool = False


@dataclass(frozen=True, slots=True)
class GatewayKey:
    """A gateway's public key: key id (8 bytes) and raw Ed25519 key (32 bytes)."""

    gateway: str
    kid: bytes
    public_key: bytes


@dataclass(frozen=True, slots=True)
class Device:
    """A thing that measures or reports, behind a gateway; its zone, or None when it stands in none (a truck's GPS)."""

    gateway: str
    code: str
    kind: str
    zone: str | None = None


@dataclass(frozen=True, slots=True)
class Channel:
    """One metric of one device.

    Attributes:
        gateway: code of the gateway.
        device: code of the device behind it.
        metric: e.g. `air_temperature`.
        unit: SenML unit.
        period_s: seconds between readings, as configured at the device; decides when silence is news.
        limit_profile: overrides the zone's profile; None takes the zone's.
    """

    gateway: str
    device: str
    metric: str
    unit: str
    period_s: float
    limit_profile: str | None = None


@dataclass(frozen=True, slots=True)
class PersonRow:
    """A person as the people page lists them; no password and no session.

    Attributes:
        person_id: key in registry.person.
        login: sign-in name.
        display_name: shown to colleagues.
        roles: what the person is here for.
        organisation: code of the node the person is scoped to.
        organisation_zh: its Chinese name.
        organisation_en: its English name.
        path: its path.
        disabled: may not sign in.
    """

    person_id: int
    login: str
    display_name: str
    roles: frozenset[Role]
    organisation: str
    organisation_zh: str
    organisation_en: str
    path: str
    disabled: bool
