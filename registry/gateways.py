"""Gateways as administrators handle them: adding, listing, tokens, passwords, revoking. Enrolling is enrolment.py's.

Whoever administers sees and changes gateways of their own subtree only; `None` acts at the machine itself, as whoever
reaches the database may.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from psycopg.rows import class_row

from hanlu.core.clock import Clock, from_ms
from hanlu.core.errors import ConflictError, NotFoundError, UsageError
from hanlu.core.limits import CODE_PATTERN, PARTITIONS
from hanlu.db.pool import Connection, Pool, translated
from hanlu.db.queries import load_queries
from hanlu.registry.access import Person
from hanlu.registry.audit import Audit
from hanlu.registry.broker_rules import PLATFORM
from hanlu.registry.config import EnrolmentSettings
from hanlu.registry.enrolment import BrokerDoor, give_password, locked_gateway
from hanlu.registry.signin import token_hash
from hanlu.registry.store import ROOT_SCOPE, Editor

__all__ = ["GatewayChannel", "GatewayKeyRow", "GatewayRow", "Gateways", "Token"]

TOKEN_HOURS: Final = (1, 168)
"""Fewest and most hours a token may be good for."""

_ALPHABET: Final = "abcdefghjkmnpqrstuvwxyz23456789"  # nothing that is mistaken for something else when read aloud
_GROUPS, _GROUP = 4, 8  # 32 characters of 31: 158 bits
_QUERIES = load_queries("hanlu.registry")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Token:
    """A fresh one-time token, to be shown once and kept nowhere: the gateway, the token, and when it ends."""

    gateway: str
    token: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class GatewayRow:
    """A gateway as it is listed; times are aware datetimes, None where there is nothing yet.

    Attributes:
        gateway_id: key in registry.gateway.
        code: its name in topics.
        partition: 0 to 63.
        accepts_unsigned: bare SenML is taken from it as well.
        revoked_at: nothing is taken from it since.
        site: code of its site.
        site_zh: its Chinese name.
        site_en: its English name.
        path: of the organisation.
        kid: id of the key in force, or of the one that ended last.
        key_since: when that was enrolled.
        key_until: when it ends or ended.
        channels: how many are registered.
        online: whether it is heard; None when it never was.
        since: of that.
        last_seen_at: when anything last came from it.
        software: what its birth named.
        config_version: of the remote configuration in force.
        config_error: why the last remote configuration was refused, "" when it was not.
        login_since: since when its broker password is what it is; None when it has none of its own.
        token_until: until when a token waits to be used.
    """

    gateway_id: int
    code: str
    partition: int
    accepts_unsigned: bool
    revoked_at: datetime | None
    site: str
    site_zh: str
    site_en: str
    path: str
    kid: bytes | None
    key_since: datetime | None
    key_until: datetime | None
    channels: int
    online: bool | None
    since: datetime | None
    last_seen_at: datetime | None
    software: str | None
    config_version: int | None
    config_error: str | None
    login_since: datetime | None
    token_until: datetime | None

    @property
    def state(self) -> str:
        """`revoked`, `online`, `offline` (heard before), `silent` (enrolled, never heard), `waiting` (no key yet)."""
        if self.revoked_at is not None:
            return "revoked"
        if self.online is not None:
            return "online" if self.online else "offline"
        return "waiting" if self.kid is None else "silent"


@dataclass(frozen=True, slots=True)
class GatewayKeyRow:
    """One key of a gateway, its id and when it counts."""

    kid: bytes
    valid_from: datetime
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class GatewayChannel:
    """One registered channel of a gateway, with the names of the zone it stands in."""

    device: str
    kind: str
    metric: str
    unit: str
    period_s: float
    zone_zh: str | None
    zone_en: str | None


class Gateways:
    """The gateways of the register."""

    def __init__(self, pool: Pool, clock: Clock, audit: Audit, door: BrokerDoor, settings: EnrolmentSettings) -> None:
        """Use `pool`, whose connections act as `hanlu_registry`."""
        self._pool, self._clock, self._audit, self._door, self._settings = pool, clock, audit, door, settings

    def list(self, scope: str = ROOT_SCOPE) -> tuple[GatewayRow, ...]:
        """Return the gateways of the sites in `scope`, by code."""
        return self._rows(GatewayRow, "gateway_overview", self._where(scope, None))

    def one(self, scope: str, code: str) -> GatewayRow:
        """Return one gateway.

        Raises:
            NotFoundError: there is none of that code in `scope`.
        """
        found = self._rows(GatewayRow, "gateway_overview", self._where(scope, code))
        if not found:
            raise NotFoundError(f"there is no gateway {code}")
        return found[0]

    def keys(self, gateway: GatewayRow) -> tuple[GatewayKeyRow, ...]:
        """Return all keys the gateway ever had, the newest first."""
        return self._rows(GatewayKeyRow, "gateway_keys", {"gateway_id": gateway.gateway_id})

    def channels(self, gateway: GatewayRow) -> tuple[GatewayChannel, ...]:
        """Return the gateway's registered channels, by device and metric."""
        return self._rows(GatewayChannel, "gateway_channels", {"gateway_id": gateway.gateway_id})

    def add(self, by: Person | None, code: str, site: str) -> int:
        """Add a gateway, with the channels by which it reports its own health; return its partition, the least used.

        Raises:
            UsageError: the code does not fit.
            NotFoundError: there is no such site in the scope of `by`.
            ConflictError: the code is taken.
        """
        if not re.fullmatch(CODE_PATTERN, code) or code == PLATFORM:
            raise UsageError("a gateway's code has up to 40 of: a-z 0-9 -, begins with a letter or digit")
        with translated(), self._pool.connection() as connection:
            found = connection.execute(_QUERIES["site_scope"], {"code": site}).fetchone()
            if found is None or (by is not None and not by.sees(found[1])):
                raise NotFoundError(
                    f"site {site} is not registered; the page for adding gateways lists those there are"
                )
            connection.execute(_QUERIES["lock_gateways"])
            least = connection.execute(_QUERIES["least_used_partition"], {"most": PARTITIONS}).fetchone()
            assert least is not None
            values = {"site_id": found[0], "code": code, "partition": least[0]}
            if connection.execute(_QUERIES["add_gateway"], values).fetchone() is None:
                raise ConflictError(f"the gateway code {code} is taken")
            Editor(connection).put_gateway_health(code)
            self._note(connection, by, "registry.gateway.add", code, {"site": site, "partition": least[0]})
            return int(least[0])

    def token(self, by: Person | None, code: str, hours: int | None = None) -> Token:
        """Make a one-time enrolment token; one made before is worth nothing from now on.

        Args:
            by: who does it.
            code: of the gateway.
            hours: it is good for, within `TOKEN_HOURS`; None takes the setting's.

        Raises:
            UsageError: `hours` is out of range.
            NotFoundError: there is no such gateway in the scope of `by`.
        """
        hours = self._settings.token_hours if hours is None else hours
        if not TOKEN_HOURS[0] <= hours <= TOKEN_HOURS[1]:
            raise UsageError(f"a token is good for {TOKEN_HOURS[0]} to {TOKEN_HOURS[1]} hours")
        token = "-".join("".join(secrets.choice(_ALPHABET) for _ in range(_GROUP)) for _ in range(_GROUPS))
        now = from_ms(self._clock.now_ms())
        expires_at = now + timedelta(hours=hours)
        with translated(), self._pool.connection() as connection:
            gateway = self._held(connection, by, code)
            connection.execute(_QUERIES["withdraw_enrolments"], {"gateway_id": gateway["gateway_id"], "now": now})
            values = {
                "gateway_id": gateway["gateway_id"],
                "token_sha256": token_hash(token),
                "now": now,
                "created_by": by.person_id if by else None,
                "expires_at": expires_at,
            }
            connection.execute(_QUERIES["add_enrolment"], values)
            self._note(connection, by, "registry.gateway.token", code, {"hours": hours})
        return Token(code, token, expires_at)

    def revoke(self, by: Person | None, code: str) -> None:
        """Stop taking anything from a gateway: keys end now, token and broker login are gone, its session ends as far
        as the broker can do that. What was taken before stays.

        Raises:
            NotFoundError: there is no such gateway in the scope of `by`.
        """
        now = from_ms(self._clock.now_ms())
        with translated(), self._pool.connection() as connection:
            gateway = self._held(connection, by, code)
            gateway_id = gateway["gateway_id"]
            connection.execute(_QUERIES["end_keys"], {"gateway_id": gateway_id, "but": None, "at": now})
            connection.execute(_QUERIES["withdraw_enrolments"], {"gateway_id": gateway_id, "now": now})
            connection.execute(_QUERIES["remove_broker_login"], {"gateway_id": gateway_id})
            connection.execute(_QUERIES["set_gateway_revoked"], {"gateway_id": gateway_id, "at": now})
            self._note(connection, by, "registry.gateway.revoke", code, {})
            self._door.expel(code)

    def note_lost(self, code: str, reason: str, readings: int) -> None:
        """Write into the audit that somebody at the machine declared lost what was missing of a gateway.

        Args:
            code: of the gateway.
            reason: why it will not come.
            readings: how many that is.
        """
        with translated(), self._pool.connection() as connection:
            self._note(connection, None, "registry.gateway.lost", code, {"reason": reason, "readings": readings})

    def new_password(self, by: Person | None, code: str) -> str:
        """Give a gateway a new broker password, for who sets it in the gateway's file by hand; the old one ends now.

        Raises:
            NotFoundError: there is no such gateway in the scope of `by`.
            ConflictError: the gateway is revoked.
        """
        with translated(), self._pool.connection() as connection:
            gateway = self._held(connection, by, code)
            if gateway["revoked_at"] is not None:
                raise ConflictError(f"gateway {code} is revoked: make a token and enrol it anew")
            self._note(connection, by, "registry.gateway.password", code, {})
            return give_password(connection, self._clock, self._door, gateway, timedelta(0))

    def configure(self, by: Person | None, code: str, text: str) -> int:
        """Set the remote configuration a gateway shall have and return its version; it is sent once it is heard.

        Args:
            by: who does it; None: at the machine itself.
            code: of the gateway.
            text: TOML, at most 200,000 characters; whoever calls has checked that a gateway would take it.

        Raises:
            NotFoundError: there is no such gateway in the scope of `by`.
            ConflictError: the gateway is revoked.
        """
        with translated(), self._pool.connection() as connection:
            gateway = self._held(connection, by, code)
            if gateway["revoked_at"] is not None:
                raise ConflictError(f"gateway {code} is revoked: make a token and enrol it anew")
            values = {
                "gateway_id": gateway["gateway_id"],
                "config": text,
                "now": from_ms(self._clock.now_ms()),
                "by": by.person_id if by else None,
            }
            row = connection.execute(_QUERIES["put_gateway_config"], values).fetchone()
            assert row is not None
            self._note(connection, by, "registry.gateway.configure", code, {"version": row[0]})
            return int(row[0])

    def logins(self) -> tuple[tuple[str, int, str], ...]:
        """Return every gateway that may sign in to the broker: code, partition, password hash."""
        with translated(), self._pool.connection() as connection:
            return tuple(connection.execute(_QUERIES["broker_logins"]).fetchall())

    def _held(self, connection: Connection, by: Person | None, code: str) -> dict[str, Any]:
        gateway = locked_gateway(connection, code)
        if gateway is None or (by is not None and not by.sees(gateway["path"])):
            raise NotFoundError(f"there is no gateway {code}")
        return gateway

    def _note(
        self, connection: Connection, by: Person | None, action: str, subject: str, detail: Mapping[str, Any]
    ) -> None:
        where = {} if by else {"at_the_machine": True}
        self._audit.write_on(connection, by.person_id if by else None, action, subject, dict(detail) | where)

    def _where(self, scope: str, code: str | None) -> dict[str, Any]:
        return {"scope": scope, "code": code, "now": from_ms(self._clock.now_ms())}

    def _rows(self, kind: type[T], query: str, values: Mapping[str, Any]) -> tuple[T, ...]:
        with (
            translated(),
            self._pool.connection() as connection,
            connection.cursor(row_factory=class_row(kind)) as rows,
        ):
            return tuple(rows.execute(_QUERIES[query], values).fetchall())
