"""The register in Postgres: writing by code, reading by scope.

Writing is for seeds, enrolment and administration: every `put` is an upsert by the thing's own code or identifier, so a
seed may run as often as one likes and the second run changes nothing. Nothing is deleted here: what readings or events
point to must stay. Reading takes the path of an organisation and returns what lies in that subtree.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date
from typing import Any, TypeVar

from psycopg.rows import class_row

from hanlu.core import gateway_health
from hanlu.core.errors import ConflictError, NotFoundError
from hanlu.db.pool import Connection, Pool, translated
from hanlu.db.queries import load_queries
from hanlu.registry.records import (
    Change,
    Channel,
    Device,
    Gateway,
    GatewayKey,
    LevelName,
    LimitProfile,
    Organisation,
    Participant,
    Product,
    Site,
    Zone,
)

__all__ = ["ROOT_SCOPE", "Editor", "Registry"]

ROOT_SCOPE = "/"
"""The path every organisation's path starts with: all of the tree."""

_QUERIES = load_queries("hanlu.registry")

T = TypeVar("T")


class Registry:
    """Reads of the register, and the door to writing it."""

    def __init__(self, pool: Pool) -> None:
        """Use `pool`, whose connections act as `hanlu_registry`."""
        self._pool = pool

    @contextmanager
    def editing(self) -> Iterator[Editor]:
        """One transaction of writes; an error inside leaves the register as it was."""
        with translated(), self._pool.connection() as connection:
            yield Editor(connection)

    def level_names(self) -> tuple[LevelName, ...]:
        """Return what the levels are called here, from the root down."""
        return self._all(LevelName, "level_names")

    def organisations(self, scope: str = ROOT_SCOPE) -> tuple[Organisation, ...]:
        """Return the tree at and below `scope`, parents first."""
        return self._all(Organisation, "organisations", scope=scope)

    def sites(self, scope: str = ROOT_SCOPE) -> tuple[Site, ...]:
        """Return the sites in `scope`, by code."""
        return self._all(Site, "sites", scope=scope)

    def zones(self, scope: str = ROOT_SCOPE) -> tuple[Zone, ...]:
        """Return the zones in `scope`, by code."""
        return self._all(Zone, "zones", scope=scope)

    def gateways(self, scope: str = ROOT_SCOPE) -> tuple[Gateway, ...]:
        """Return the gateways in `scope`, by code."""
        return self._all(Gateway, "gateways", scope=scope)

    def limits_on(self, profile: str, day: date) -> tuple[LimitProfile, ...]:
        """Return the limits of a profile in force on `day` (China time), one for each metric; none if unknown."""
        return self._all(LimitProfile, "limits_on", code=profile, day=day)

    def _all(self, kind: type[T], query: str, **values: Any) -> tuple[T, ...]:
        with (
            translated(),
            self._pool.connection() as connection,
            connection.cursor(row_factory=class_row(kind)) as rows,
        ):
            return tuple(rows.execute(_QUERIES[query], values).fetchall())


class Editor:
    """Writes within one transaction. Every `put` says whether it added, changed or touched nothing."""

    def __init__(self, connection: Connection) -> None:
        """Write through `connection`; whoever opened its transaction ends it."""
        self._connection = connection

    def put_level_name(self, level: LevelName) -> Change:
        """Name a level of the tree (1 to 9)."""
        return self._put("put_level_name", asdict(level))

    def put_organisation(self, organisation: Organisation) -> Change:
        """Add or rename a node; level and path follow from the parent.

        Raises:
            NotFoundError: the parent is not registered.
            ConflictError: the node stands elsewhere in the tree; moving one would change who sees what.
        """
        path, level, parent_id = "/", 1, None
        if organisation.parent is not None:
            parent_id, above, parent_path = self._key("organisation_key", organisation.parent, code=organisation.parent)
            path, level = parent_path, above + 1
        known = self._one("organisation_key", code=organisation.code)
        values = {
            "code": organisation.code,
            "name_zh": organisation.name_zh,
            "name_en": organisation.name_en,
            "parent_id": parent_id,
            "parent_path": path,
            "level": level,
        }
        if known is None:
            self._connection.execute(_QUERIES["add_organisation"], values)
            return Change.ADDED
        if known[2] != f"{path}{known[0]}/":
            raise ConflictError(f"organisation {organisation.code} stands elsewhere in the tree")
        changed = self._connection.execute(_QUERIES["rename_organisation"], values).fetchone()
        return Change.NONE if changed is None else Change.CHANGED

    def put_limit_profile(self, profile: LimitProfile) -> Change:
        """Write a profile's limits from its date on; earlier dates stay as they were."""
        return self._put("put_limit_profile", asdict(profile))

    def put_product(self, product: Product) -> Change:
        """Write a product by GTIN; its profile must be known."""
        self._demand_profile(product.limit_profile)
        return self._put("put_product", asdict(product))

    def put_participant(self, participant: Participant) -> Change:
        """Write a participant by GLN."""
        organisation_id = self._key("organisation_key", participant.organisation, code=participant.organisation)[0]
        return self._put("put_participant", asdict(participant) | {"organisation_id": organisation_id})

    def put_site(self, site: Site) -> Change:
        """Write a site by code."""
        organisation_id = self._key("organisation_key", site.organisation, code=site.organisation)[0]
        participant_id = None
        if site.participant is not None:
            participant_id = self._key("participant_key", site.participant, gln=site.participant)[0]
        keys = {"organisation_id": organisation_id, "participant_id": participant_id}
        return self._put("put_site", asdict(site) | keys)

    def put_zone(self, zone: Zone) -> Change:
        """Write a zone by code; its profile, where it has one, must be known."""
        self._demand_profile(zone.limit_profile)
        return self._put("put_zone", asdict(zone) | {"site_id": self._key("site_key", zone.site, code=zone.site)[0]})

    def put_gateway(self, gateway: Gateway) -> Change:
        """Write a gateway by code."""
        site_id = self._key("site_key", gateway.site, code=gateway.site)[0]
        return self._put("put_gateway", asdict(gateway) | {"site_id": site_id})

    def put_gateway_health(self, gateway: str) -> list[Change]:
        """Write the channels in which a gateway reports on itself; it stands in no zone, and no limit applies."""
        changes = [self.put_device(Device(gateway, gateway_health.DEVICE, gateway_health.KIND))]
        changes += [
            self.put_channel(
                Channel(gateway, gateway_health.DEVICE, each.metric, each.unit, gateway_health.PERIOD_S, None)
            )
            for each in gateway_health.METRICS
        ]
        return changes

    def enrol_key(self, key: GatewayKey) -> Change:
        """Trust a gateway's public key from now on; one enrolled before stays as it is, revoked or not.

        Raises:
            ConflictError: the key id belongs to another gateway or other bytes.
        """
        gateway_id = self._key("gateway_key_of", key.gateway, code=key.gateway)[0]
        values = {"kid": key.kid, "gateway_id": gateway_id, "public_key": key.public_key}
        if self._connection.execute(_QUERIES["add_gateway_key"], values).fetchone() is not None:
            return Change.ADDED
        owner, public_key = self._key("gateway_key_owner", key.kid.hex(), kid=key.kid)
        if owner != gateway_id or bytes(public_key) != key.public_key:
            raise ConflictError(f"key {key.kid.hex()} is enrolled for another gateway")
        return Change.NONE

    def revoke_key(self, kid: bytes, now: Any) -> Change:
        """Stop trusting a key from `now` (aware datetime) on."""
        row = self._one("revoke_gateway_key", kid=kid, now=now)
        return Change.NONE if row is None else Change.CHANGED

    def put_device(self, device: Device) -> Change:
        """Write a device by gateway and code.

        Raises:
            ConflictError: it has the code under which every gateway reports on itself, and is another kind of thing.
        """
        if device.code == gateway_health.DEVICE and device.kind != gateway_health.KIND:
            raise ConflictError(
                f"no device behind {device.gateway} may be called {device.code!r}: under that code the gateway reports"
                " on itself; give the device another code"
            )
        keys = {
            "gateway_id": self._key("gateway_key_of", device.gateway, code=device.gateway)[0],
            "zone_id": None if device.zone is None else self._key("zone_key", device.zone, code=device.zone)[0],
        }
        return self._put("put_device", asdict(device) | keys)

    def put_channel(self, channel: Channel) -> Change:
        """Write a channel by device and metric.

        Raises:
            ConflictError: the channel is there with another unit; its readings are stored in that one.
        """
        self._demand_profile(channel.limit_profile)
        name = f"{channel.gateway}/{channel.device}"
        device_id = self._key("device_key", name, gateway=channel.gateway, code=channel.device)[0]
        change = self._put("put_channel", asdict(channel) | {"device_id": device_id})
        if change is Change.NONE:
            unit = self._key("channel_unit", channel.metric, device_id=device_id, metric=channel.metric)[0]
            if unit != channel.unit:
                raise ConflictError(f"channel {name}/{channel.metric} is in {unit}, not {channel.unit}: add another")
        return change

    def _demand_profile(self, code: str | None) -> None:
        if code is not None and not self._key("limit_profile_known", code, code=code)[0]:
            raise NotFoundError(f"limit profile {code} is not registered")

    def _put(self, query: str, values: dict[str, Any]) -> Change:
        row = self._connection.execute(_QUERIES[query], values).fetchone()
        if row is None:
            return Change.NONE
        return Change.ADDED if row[0] else Change.CHANGED

    def _one(self, query: str, **values: Any) -> Any:
        return self._connection.execute(_QUERIES[query], values).fetchone()

    def _key(self, query: str, named: str, **values: Any) -> Any:
        """Return the row of something named by another; its absence is told by that name."""
        row = self._one(query, **values)
        if row is None:
            raise NotFoundError(f"{query.removesuffix('_of').removesuffix('_key')} {named} is not registered")
        return row
