"""How a gateway gets its identity: a one-time token brings its key, the key in force brings the next one.

The private key is made at the edge and never leaves it. A token is spent on one key, which the database guards; the
same key may ask again until the token expires, since an answer may get lost on the way, and gets a new password then.
A replaced key counts for a while longer, because messages that wait in a spool were signed by it; after a revocation
(gateways.py) nothing counts any more.

The broker learns of a login in the same transaction: if it cannot be told, nothing has happened.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Literal, Protocol

from psycopg.rows import dict_row

from hanlu.core.clock import Clock, from_ms
from hanlu.core.errors import ConflictError
from hanlu.core.wire.enrolment import (
    EnrolRequest,
    RenewRequest,
    clean_token,
    enrolment_statement,
    from_text,
    renewal_statement,
    signed_by,
    to_text,
)
from hanlu.core.wire.envelope import key_id
from hanlu.db.pool import Connection, Pool, translated
from hanlu.db.queries import load_queries
from hanlu.registry.audit import Audit
from hanlu.registry.broker_rules import new_password, password_hash
from hanlu.registry.config import EnrolmentSettings, SignInSettings
from hanlu.registry.records import GatewayKey
from hanlu.registry.signin import token_hash
from hanlu.registry.store import Editor
from hanlu.registry.tries import AddressTries

__all__ = [
    "BrokerDoor",
    "Challenges",
    "Enrolments",
    "Granted",
    "NoDoor",
    "NotGranted",
    "give_password",
    "locked_gateway",
]

_MOST_USED: Final = 10_000
"""Challenges remembered as used; more in one lifetime is a flood, and renewals wait until it is over."""

_NOTES_A_MINUTE: Final = 30
"""Refusals written to the audit in a minute at most: a flood of guesses must not fill the disk."""

_QUERIES = load_queries("hanlu.registry")


class BrokerDoor(Protocol):
    """The broker's own list of logins, where it keeps one beside the database."""

    def admit(self, code: str, stored: str) -> None:
        """Let gateway `code` sign in with the password of this hash, at once; its former password ends."""
        ...

    def expel(self, code: str) -> None:
        """Let gateway `code` sign in no more and end its session, as far as the broker can."""
        ...


class NoDoor:
    """A broker that asks us by HTTP, or is given files: there is nobody to tell."""

    def admit(self, code: str, stored: str) -> None:
        """Do nothing."""

    def expel(self, code: str) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class Granted:
    """A gateway has its identity.

    Attributes:
        gateway: its code.
        partition: 0 to 63.
        kid: id of the key that now signs.
        password: for the broker, in clear: to be told once and kept nowhere.
        old_key_until_ms: until when messages of the key before count, Unix milliseconds; None when there was none.
    """

    gateway: str
    partition: int
    kid: bytes
    password: str
    old_key_until_ms: int | None


@dataclass(frozen=True, slots=True)
class NotGranted:
    """Nothing was enrolled.

    Attributes:
        reason: `unknown` (no such token, challenge or key), `signature` (not signed by the key), `expired`,
            `withdrawn`, `spent` (on another key), `revoked` (this very key), `foreign` (another gateway's key),
            `wait` (too many wrong ones from this address).
        retry_after_s: seconds to wait, with `wait`.
    """

    reason: Literal["unknown", "signature", "expired", "withdrawn", "spent", "revoked", "foreign", "wait"]
    retry_after_s: int = 0


class Challenges:
    """Bytes to be signed once, each with its end and our mark in it: giving one out keeps nothing, so that asking for
    many crowds nobody out. Used ones are remembered until their end; a restart ends all of them, which costs a new try.
    """

    def __init__(self, clock: Clock, lifetime_s: int) -> None:
        """Start with a mark of its own."""
        self._clock = clock
        self.lifetime_s = lifetime_s
        self._key = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._used: dict[bytes, int] = {}

    def give(self) -> str:
        """Return a fresh one."""
        end = self._now() + self.lifetime_s * 1000
        body = end.to_bytes(8, "big") + secrets.token_bytes(16)
        return to_text(body + self._mark(body))

    def take(self, challenge: str) -> bool:
        """Tell whether `challenge` was given out here and is not too old; it is worth nothing afterwards."""
        try:
            raw = from_text(challenge)
        except ValueError:
            return False
        body, mark = raw[:24], raw[24:]
        end, now = int.from_bytes(body[:8], "big"), self._now()
        if not hmac.compare_digest(mark, self._mark(body)) or end <= now:
            return False
        with self._lock:
            self._used = {each: until for each, until in self._used.items() if until > now}
            if body in self._used or len(self._used) >= _MOST_USED:
                return False
            self._used[body] = end
        return True

    def _mark(self, body: bytes) -> bytes:
        return hashlib.blake2b(body, key=self._key, digest_size=16).digest()

    def _now(self) -> int:
        """Monotonic milliseconds: a clock that is set makes no old challenge good again."""
        return round(self._clock.monotonic() * 1000)


class Enrolments:
    """Grants identities to gateways that prove they hold their key."""

    def __init__(
        self,
        pool: Pool,
        clock: Clock,
        audit: Audit,
        door: BrokerDoor,
        settings: EnrolmentSettings,
        tries: SignInSettings,
    ) -> None:
        """Use `pool`, whose connections act as `hanlu_registry`; wrong tries per address are limited as at sign-in."""
        self._pool, self._clock, self._audit, self._door, self._settings = pool, clock, audit, door, settings
        self._tries = AddressTries(clock, tries)
        self._minute, self._notes = -1, 0
        self.challenges = Challenges(clock, settings.challenge_s)

    def enrol(self, asked: EnrolRequest, address: str) -> Granted | NotGranted:
        """Spend a token on a key.

        Args:
            asked: what the gateway sent.
            address: network address it came from; kept in memory as a keyed hash only.
        """
        public_key, signature = from_text(asked.public_key), from_text(asked.signature)
        if wait_s := self._tries.wait_s(address):
            return NotGranted("wait", wait_s)
        if not signed_by(public_key, signature, enrolment_statement(asked.token, public_key)):
            return self._refused("signature", "", address)
        with translated(), self._pool.connection() as connection:
            answer = self._enrol_on(connection, asked.token, public_key)
        if isinstance(answer, Granted):
            return answer
        return self._refused(answer.reason, "", address)

    def renew(self, asked: RenewRequest, address: str) -> Granted | NotGranted:
        """Give a gateway with a key in force a new password and, where it announces one, take its new key."""
        if wait_s := self._tries.wait_s(address):
            return NotGranted("wait", wait_s)
        if not self.challenges.take(asked.challenge):
            return self._refused("unknown", asked.gateway, address)
        with translated(), self._pool.connection() as connection:
            answer = self._renew_on(connection, asked)
        if isinstance(answer, Granted):
            return answer
        return self._refused(answer.reason, asked.gateway, address)

    def _enrol_on(self, connection: Connection, token: str, public_key: bytes) -> Granted | NotGranted:
        hashed = {"token_sha256": token_hash(clean_token(token))}
        found = connection.execute(_QUERIES["enrolment_by_token"], hashed).fetchone()
        gateway = None if found is None else locked_gateway(connection, found[1])
        # Read again, for only now nobody can withdraw it any more.
        row = connection.execute(_QUERIES["enrolment_by_token"], hashed).fetchone()
        if gateway is None or row is None:
            return NotGranted("unknown")
        enrolment_id, code, expires_at, withdrawn_at = row
        now = from_ms(self._clock.now_ms())
        if withdrawn_at is not None or expires_at <= now:
            return NotGranted("expired" if withdrawn_at is None else "withdrawn")
        kid = key_id(public_key)
        spent_on = connection.execute(_QUERIES["enrolment_spent_on"], {"enrolment_id": enrolment_id}).fetchone()
        if spent_on is not None and bytes(spent_on[0]) != kid:
            return NotGranted("spent")
        trouble = _take_key(connection, code, kid, public_key)
        if trouble is not None:
            return trouble
        use = {"enrolment_id": enrolment_id, "kid": kid, "now": now}
        if spent_on is None and connection.execute(_QUERIES["use_enrolment"], use).fetchone() is None:
            connection.rollback()  # somebody was faster with another key: ours must not stay
            return NotGranted("spent")
        connection.execute(_QUERIES["set_gateway_revoked"], {"gateway_id": gateway["gateway_id"], "at": None})
        until_ms = self._end_other_keys(connection, gateway, kid)
        detail = {"kid": kid.hex(), "again": spent_on is not None}
        self._audit.write_on(connection, None, "registry.gateway.enrol", code, detail)
        return self._granted(connection, gateway, kid, until_ms)

    def _renew_on(self, connection: Connection, asked: RenewRequest) -> Granted | NotGranted:
        gateway = locked_gateway(connection, asked.gateway)
        kid, now = bytes.fromhex(asked.kid), from_ms(self._clock.now_ms())
        found = {"kid": kid, "code": asked.gateway, "now": now}
        row = connection.execute(_QUERIES["key_in_force"], found).fetchone()
        if gateway is None or row is None:
            return NotGranted("unknown")
        public_key, ends_at = row
        new_key = from_text(asked.new_public_key) if asked.new_public_key else None
        statement = renewal_statement(asked.challenge, asked.gateway, kid, new_key)
        if not signed_by(bytes(public_key), from_text(asked.signature), statement):
            return NotGranted("signature")
        if gateway["revoked_at"] is not None:
            return NotGranted("revoked")
        until_ms = None
        if new_key is not None:
            if not signed_by(new_key, from_text(asked.new_signature or ""), statement):
                return NotGranted("signature")
            kid = key_id(new_key)
            if ends_at is not None and not self._is_known(connection, kid):
                return NotGranted("expired")  # a key already replaced repeats its announcement, and makes no other
            trouble = _take_key(connection, asked.gateway, kid, new_key)
            if trouble is not None:
                return trouble
            until_ms = self._end_other_keys(connection, gateway, kid)
        detail = {"kid": kid.hex(), "new_key": new_key is not None}
        self._audit.write_on(connection, None, "registry.gateway.renew", asked.gateway, detail)
        return self._granted(connection, gateway, kid, until_ms)

    def _is_known(self, connection: Connection, kid: bytes) -> bool:
        return connection.execute(_QUERIES["gateway_key_owner"], {"kid": kid}).fetchone() is not None

    def _end_other_keys(self, connection: Connection, gateway: dict[str, Any], kid: bytes) -> int | None:
        """Let the other keys end after their overlap; return when, Unix milliseconds, None when there are none."""
        until_ms = self._clock.now_ms() + 1000 * self._settings.key_overlap_s
        values = {"gateway_id": gateway["gateway_id"], "but": kid, "at": from_ms(until_ms)}
        return until_ms if connection.execute(_QUERIES["end_keys"], values).rowcount else None

    def _granted(
        self, connection: Connection, gateway: dict[str, Any], kid: bytes, old_key_until_ms: int | None
    ) -> Granted:
        overlap = timedelta(seconds=self._settings.password_overlap_s)
        password = give_password(connection, self._clock, self._door, gateway, overlap)
        return Granted(gateway["code"], gateway["partition"], kid, password, old_key_until_ms)

    def _refused(self, reason: Any, subject: str, address: str) -> NotGranted:
        self._tries.count(address)
        minute = int(self._clock.monotonic() // 60)
        if minute != self._minute:
            self._minute, self._notes = minute, 0
        self._notes += 1
        if self._notes <= _NOTES_A_MINUTE:
            more = {"more_unwritten": True} if self._notes == _NOTES_A_MINUTE else {}
            self._audit.write(None, "registry.gateway.refuse", subject, {"reason": reason} | more)
        return NotGranted(reason)


def _take_key(connection: Connection, code: str, kid: bytes, public_key: bytes) -> NotGranted | None:
    """Enrol a key, unless it was revoked or is another gateway's."""
    try:
        Editor(connection).enrol_key(GatewayKey(code, kid, public_key))
    except ConflictError:
        return NotGranted("foreign")
    row = connection.execute(_QUERIES["key_revoked_at"], {"kid": kid}).fetchone()
    return NotGranted("revoked") if row is not None and row[0] is not None else None


def give_password(
    connection: Connection, clock: Clock, door: BrokerDoor, gateway: dict[str, Any], overlap: timedelta
) -> str:
    """Make a broker password, keep its hash, tell the broker, and return it.

    Args:
        connection: whose transaction also holds what led here.
        clock: gives the time.
        door: of the broker.
        gateway: row of `lock_gateway`.
        overlap: for how long the password before stays good, where the broker asks us.
    """
    password = new_password()
    stored = password_hash(password)
    now = from_ms(clock.now_ms())
    values = {
        "gateway_id": gateway["gateway_id"],
        "password_hash": stored,
        "now": now,
        "previous_until": now + overlap if overlap else None,
    }
    connection.execute(_QUERIES["put_broker_login"], values)
    door.admit(gateway["code"], stored)
    return password


def locked_gateway(connection: Connection, code: str) -> dict[str, Any] | None:
    """Return the gateway as `lock_gateway` gives it, held until the transaction ends; None when there is none."""
    with connection.cursor(row_factory=dict_row) as rows:
        return rows.execute(_QUERIES["lock_gateway"], {"code": code}).fetchone()
