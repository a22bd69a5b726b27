"""Channels that wait for approval: what gateways report and the register does not know yet.

Their readings wait as dead letters with their bytes; ingest stores them by itself once the register knows the name. So
approving is nothing but writing device and channel. Refusing keeps the readings as they are and only takes the channel
off the list; it can be taken back.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal, TypeVar

from psycopg.rows import class_row

from hanlu.core import gateway_health
from hanlu.core.clock import Clock, from_ms
from hanlu.core.errors import ConflictError, NotFoundError, UsageError
from hanlu.core.limits import CODE_PATTERN
from hanlu.db.pool import Connection, Pool, translated
from hanlu.db.queries import load_queries
from hanlu.registry.access import Person
from hanlu.registry.audit import Audit
from hanlu.registry.enrolment import locked_gateway
from hanlu.registry.records import Channel, Device
from hanlu.registry.store import Editor

__all__ = ["Approval", "Approvals", "KnownDevice", "Profile", "Unfit", "UnfitError", "WaitingChannel", "ZoneChoice"]

MAX_PERIOD_S: Final = 86_400.0
"""Longest time between two readings of a channel, seconds (as a birth may announce)."""

MAX_UNIT: Final = 16
"""Most characters of a SenML unit."""

USUAL_PERIOD_S: Final = 60.0
"""Proposed where the gateway never announced one."""

_KIND = re.compile(r"[a-z][a-z0-9_]{0,39}")
_METRIC = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,79}")
_QUERIES = load_queries("hanlu.registry")

T = TypeVar("T")


Unfit = Literal["none", "act", "name", "kind", "unit", "period", "device", "gone", "zone", "profile", "other_unit"]
"""What can be wrong with a decision: nothing ticked, no such button, a name, kind, unit or period that does not fit,
one device in two places, a channel that no longer waits, a zone or profile unknown, a channel registered in another
unit meanwhile."""


class UnfitError(UsageError):
    """A decision about waiting channels does not fit, and nothing was done."""

    def __init__(self, unfit: Unfit, subject: str = "") -> None:
        """Keep what is wrong, and with which channel or device."""
        super().__init__(f"{unfit}: {subject}")
        self.unfit, self.subject = unfit, subject[:80]


@dataclass(frozen=True, slots=True)
class WaitingChannel:
    """One channel that waits.

    Attributes:
        gateway_id: key of its gateway.
        gateway: code of it.
        site: code of the gateway's site.
        site_zh: its Chinese name.
        site_en: its English name.
        name: `device/metric`.
        unit: SenML unit as announced or sent, "" for none.
        period_s: seconds between readings as announced; None when never announced.
        first_seen: when it was first heard of.
        last_seen: when last.
        readings_waiting: readings held back so far.
        announced: a birth named it.
        ignored: it is on the ignored list.
    """

    gateway_id: int
    gateway: str
    site: str
    site_zh: str
    site_en: str
    name: str
    unit: str
    period_s: float | None
    first_seen: datetime
    last_seen: datetime
    readings_waiting: int
    announced: bool
    ignored: bool

    @property
    def device(self) -> str:
        """The device's code, the part before the first slash."""
        return self.name.partition("/")[0]

    @property
    def metric(self) -> str:
        """What is measured, the part behind the first slash."""
        return self.name.partition("/")[2]

    @property
    def proposed_period_s(self) -> float:
        """The announced period, or the usual one."""
        return self.period_s or USUAL_PERIOD_S

    @property
    def fits(self) -> bool:
        """Whether a device and channel of this name can be registered at all."""
        return _is_name(self.device, self.metric)


@dataclass(frozen=True, slots=True)
class Approval:
    """How a waiting channel is to be registered.

    Attributes:
        name: `device/metric`.
        unit: SenML unit; must be the one the readings carry, or they stay where they are.
        period_s: seconds between readings, above 0, at most `MAX_PERIOD_S`.
        kind: of the device, lower case, e.g. `sensor`.
        zone: code of the zone the device stands in; None for none.
        limit_profile: overrides the zone's; None takes the zone's.
    """

    name: str
    unit: str
    period_s: float
    kind: str
    zone: str | None = None
    limit_profile: str | None = None


@dataclass(frozen=True, slots=True)
class ZoneChoice:
    """A zone to choose, with its site; `near` when that is the gateway's own."""

    code: str
    name_zh: str
    name_en: str
    site_zh: str
    site_en: str
    near: bool


@dataclass(frozen=True, slots=True)
class KnownDevice:
    """A device that is registered already: its code, kind and zone."""

    code: str
    kind: str
    zone: str | None


@dataclass(frozen=True, slots=True)
class Profile:
    """A limit profile to choose, and the metrics it limits."""

    code: str
    metrics: Sequence[str]


class Approvals:
    """The list of waiting channels, and what is decided about them."""

    def __init__(self, pool: Pool, clock: Clock, audit: Audit) -> None:
        """Use `pool`, whose connections act as `hanlu_registry`."""
        self._pool, self._clock, self._audit = pool, clock, audit

    def waiting(self, scope: str, gateway: str | None = None) -> tuple[WaitingChannel, ...]:
        """Return the channels that wait in `scope`, the ignored ones too, by gateway and name."""
        return self._rows(WaitingChannel, "waiting_channels", {"scope": scope, "gateway": gateway})

    def zones(self, scope: str, site: str) -> tuple[ZoneChoice, ...]:
        """Return the zones in `scope`, those of `site` first."""
        return self._rows(ZoneChoice, "zones_to_choose", {"scope": scope, "site": site})

    def devices(self, gateway: str) -> Mapping[str, KnownDevice]:
        """Return the registered devices of a gateway by code."""
        return {each.code: each for each in self._rows(KnownDevice, "devices_of_gateway", {"gateway": gateway})}

    def kinds(self) -> tuple[str, ...]:
        """Return the kinds of devices in use."""
        with translated(), self._pool.connection() as connection:
            return tuple(kind for (kind,) in connection.execute(_QUERIES["device_kinds"]))

    def profiles(self) -> tuple[Profile, ...]:
        """Return the limit profiles there are."""
        return self._rows(Profile, "profile_codes", {})

    def approve(self, by: Person, gateway: str, approvals: Sequence[Approval]) -> None:
        """Register waiting channels with their devices, all or none.

        Raises:
            UnfitError: a value does not fit, or is not there in the scope of `by`.
            NotFoundError: no such gateway in the scope of `by`.
        """
        approvals = [_own(each) for each in approvals]
        devices = _devices(gateway, approvals)
        waiting = {each.name for each in self.waiting(by.scope, gateway)}
        zones = {each.code for each in self.zones(by.scope, "")}
        profiles = {each.code for each in self.profiles()}
        with translated(), self._pool.connection() as connection:
            gateway_id = self._held(connection, by, gateway)["gateway_id"]
            for each in approvals:
                _check(each, waiting, zones, profiles)
            editor = Editor(connection)
            for device in devices:
                editor.put_device(device)
            for each in approvals:
                device_code, _, metric = each.name.partition("/")
                channel = Channel(gateway, device_code, metric, each.unit, each.period_s, each.limit_profile)
                try:
                    editor.put_channel(channel)
                except ConflictError:
                    raise UnfitError("other_unit", each.name) from None
                connection.execute(_QUERIES["restore_channel"], {"gateway_id": gateway_id, "name": each.name})
                detail = {"unit": each.unit, "period_s": each.period_s, "zone": each.zone}
                self._note(connection, by, "registry.channel.approve", f"{gateway}/{each.name}", detail)

    def ignore(self, by: Person, gateway: str, names: Sequence[str]) -> None:
        """Put waiting channels on the ignored list.

        Raises:
            UnfitError: one of them does not wait.
            NotFoundError: no such gateway in the scope of `by`.
        """
        waiting = {each.name for each in self.waiting(by.scope, gateway)}
        with translated(), self._pool.connection() as connection:
            held = self._held(connection, by, gateway)
            for name in names:
                if name not in waiting:
                    raise UnfitError("gone", name)
                values = {"gateway_id": held["gateway_id"], "name": name, "by": by.person_id or None}
                values |= {"now": from_ms(self._clock.now_ms())}
                if connection.execute(_QUERIES["ignore_channel"], values).fetchone() is not None:
                    self._note(connection, by, "registry.channel.ignore", f"{gateway}/{name}", {})

    def restore(self, by: Person, gateway: str, names: Sequence[str]) -> None:
        """Take channels off the ignored list.

        Raises:
            NotFoundError: there is no such gateway in the scope of `by`.
        """
        with translated(), self._pool.connection() as connection:
            held = self._held(connection, by, gateway)
            for name in names:
                values = {"gateway_id": held["gateway_id"], "name": name}
                if connection.execute(_QUERIES["restore_channel"], values).fetchone() is not None:
                    self._note(connection, by, "registry.channel.restore", f"{gateway}/{name}", {})

    def _held(self, connection: Connection, by: Person, code: str) -> dict[str, Any]:
        gateway = locked_gateway(connection, code)
        if gateway is None or not by.sees(gateway["path"]):
            raise NotFoundError(f"there is no gateway {code}")
        return gateway

    def _note(self, connection: Connection, by: Person, action: str, subject: str, detail: Mapping[str, Any]) -> None:
        self._audit.write_on(connection, by.person_id, action, subject[:200], detail)

    def _rows(self, kind: type[T], query: str, values: Mapping[str, Any]) -> tuple[T, ...]:
        with (
            translated(),
            self._pool.connection() as connection,
            connection.cursor(row_factory=class_row(kind)) as rows,
        ):
            return tuple(rows.execute(_QUERIES[query], values).fetchall())


def _is_name(device: str, metric: str) -> bool:
    """Tell whether a device and a metric may be called so; `gateway` is the gateway itself, whose metrics are known."""
    if device == gateway_health.DEVICE:
        return metric in {each.metric for each in gateway_health.METRICS}
    return bool(re.fullmatch(CODE_PATTERN, device) and _METRIC.fullmatch(metric))


def _own(approval: Approval) -> Approval:
    """Return an approval; what a gateway reports on itself is of the gateway's kind and stands nowhere."""
    if approval.name.partition("/")[0] != gateway_health.DEVICE:
        return approval
    return replace(approval, kind=gateway_health.KIND, zone=None)


def _devices(gateway: str, approvals: Sequence[Approval]) -> list[Device]:
    """Return the devices the channels stand for, one each."""
    devices: dict[str, Device] = {}
    for each in approvals:
        code = each.name.partition("/")[0]
        device = devices.setdefault(code, Device(gateway, code, each.kind, each.zone))
        if (device.kind, device.zone) != (each.kind, each.zone):
            raise UnfitError("device", code)
    return list(devices.values())


def _check(approval: Approval, waiting: Collection[str], zones: Collection[str], profiles: Collection[str]) -> None:
    device, _, metric = approval.name.partition("/")
    faults: tuple[tuple[Unfit, bool], ...] = (
        ("name", not _is_name(device, metric)),
        ("gone", approval.name not in waiting),
        ("kind", not _KIND.fullmatch(approval.kind)),
        ("unit", len(approval.unit) > MAX_UNIT or not approval.unit.isprintable()),
        ("period", not (math.isfinite(approval.period_s) and 0 < approval.period_s <= MAX_PERIOD_S)),
        ("zone", approval.zone is not None and approval.zone not in zones),
        ("profile", approval.limit_profile is not None and approval.limit_profile not in profiles),
    )
    for unfit, is_so in faults:
        if is_so:
            raise UnfitError(unfit, approval.name)
