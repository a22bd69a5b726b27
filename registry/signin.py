"""Signing in and what follows from it: sessions, their ends, and the token that guards changing requests.

A session is 32 random bytes in a cookie; the database holds their SHA-256 only. It has two ends, one absolute and one
when it is not used. Nothing here knows of HTTP; the application sets the cookie and reads the address.

Source: OWASP ASVS v5.0.0 chapters 6 and 7, e.g. 6.3.1 (guessing), 6.3.8 (no hint whether a name exists), 7.2.3
(entropy of tokens), 7.2.4 (a new token at every sign-in), 7.3.1 and 7.3.2 (two ends), 7.4.1 (ending it).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Literal

from hanlu.core.clock import Clock, from_ms, to_ms
from hanlu.db.pool import Pool, translated
from hanlu.db.queries import load_queries
from hanlu.registry.access import Person, Role
from hanlu.registry.audit import Audit
from hanlu.registry.config import SignInSettings
from hanlu.registry.passwords import Passwords
from hanlu.registry.tries import AddressTries, Tries, next_try

__all__ = ["Opened", "Refused", "SignIn", "csrf_matches", "token_hash"]

TOKEN_BYTES: Final = 32
"""Random bytes of a session cookie and of its request token."""

_TOUCH_EVERY_S: Final = 60  # a page with many requests writes its last use once a minute
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
_QUERIES = load_queries("hanlu.registry")


@dataclass(frozen=True, slots=True)
class Opened:
    """A session was opened.

    Attributes:
        token: value of the cookie; known to nobody else.
        person_id: whose it is.
        max_age_s: seconds until its absolute end.
    """

    token: str
    person_id: int
    max_age_s: int


@dataclass(frozen=True, slots=True)
class Refused:
    """Nobody was signed in.

    Attributes:
        reason: "wrong" (name and password do not fit), or "wait" (too many wrong ones; nothing was looked at).
        retry_after_s: seconds to wait; 0 with "wrong".
    """

    reason: Literal["wrong", "wait"]
    retry_after_s: int = 0


@dataclass(frozen=True, slots=True)
class _Known:
    person_id: int
    name: str
    stored: str


class SignIn:
    """Opens, finds and ends sessions."""

    def __init__(self, pool: Pool, clock: Clock, settings: SignInSettings, passwords: Passwords, audit: Audit) -> None:
        """Use `pool`, whose connections act as `hanlu_registry`."""
        self._pool = pool
        self._clock = clock
        self._settings = settings
        self._passwords = passwords
        self._audit = audit
        self._addresses = AddressTries(clock, settings)

    def attempt(self, login: str, password: str, address: str) -> Opened | Refused:
        """Try to sign somebody in.

        Args:
            login: as typed; case and space around it do not matter.
            password: as typed.
            address: network address the request came from; kept in memory as a keyed hash only.
        """
        known = self._known(login, password, address)
        return known if isinstance(known, Refused) else self._open(known, password)

    def confirm(self, person: Person, password: str, address: str) -> Refused | None:
        """Check the password of somebody signed in, before what needs it again; guessing is limited as at sign-in."""
        known = self._known(person.login, password, address)
        if isinstance(known, Refused):
            return known
        with translated(), self._pool.connection() as connection:
            connection.execute(_QUERIES["signin_failure_forget"], {"login_sha256": _name_hash(known.name)})
        return None

    def _known(self, login: str, password: str, address: str) -> _Known | Refused:
        """Check name and password, counting the try."""
        name = login.strip().lower()
        wait_s = self._addresses.wait_s(address) or self._count_try(name)
        if wait_s:
            # One line for the audit per refusal would let a flood fill it: the try that brought the wait has one.
            return Refused("wait", wait_s)
        with translated(), self._pool.connection() as connection:
            row = connection.execute(_QUERIES["password_by_login"], {"login": name}).fetchone()
        stored = None if row is None else row[1]
        right = self._passwords.verify(stored, password)  # also when there is nobody: it must take as long
        if row is None or not right:
            self._addresses.count(address)
            self._audit.write(None, "registry.session.refuse", "" if row is None else name, {"known": row is not None})
            return Refused("wrong")
        return _Known(row[0], name, row[1])

    def person(self, token: str) -> Person | None:
        """Return whose session `token` is, and note that it was used; None when it has ended or never was."""
        if not _TOKEN.fullmatch(token):
            return None
        now_ms = self._clock.now_ms()
        now = from_ms(now_ms)
        values = {
            "token_sha256": token_hash(token),
            "now": now,
            "idle_since": now - timedelta(seconds=self._settings.session_idle_s),
        }
        with translated(), self._pool.connection() as connection:
            row = connection.execute(_QUERIES["find_session"], values).fetchone()
            if row is None:
                return None
            person_id, login, display_name, roles, path, csrf, last_seen_at = row
            if now_ms - to_ms(last_seen_at) >= _TOUCH_EVERY_S * 1000:
                connection.execute(_QUERIES["touch_session"], {"token_sha256": values["token_sha256"], "now": now})
        given = frozenset(Role(each) for each in roles)
        return Person(person_id, login, display_name, given, path, csrf=_masked(csrf))

    def is_forged(self, token: str) -> bool:
        """Tell whether a refused token was never given out; one whose session has ended is not forged.

        Sessions that ended are remembered for a day; an older cookie the browser has dropped by itself.
        """
        if not _TOKEN.fullmatch(token):
            return True
        with translated(), self._pool.connection() as connection:
            row = connection.execute(_QUERIES["session_exists"], {"token_sha256": token_hash(token)}).fetchone()
        return not (row and row[0])

    def end(self, token: str) -> None:
        """Sign out: the session is over now, whatever the browser keeps."""
        with translated(), self._pool.connection() as connection:
            now = from_ms(self._clock.now_ms())
            row = connection.execute(
                _QUERIES["end_session"], {"token_sha256": token_hash(token), "now": now}
            ).fetchone()
            if row is not None:
                self._audit.write_on(connection, row[0], "registry.session.close", "", {})

    def sweep(self) -> None:
        """Forget what ended more than a day ago; runs at every sign-in, so the tables stay small by themselves."""
        now = from_ms(self._clock.now_ms())
        forget = now - timedelta(seconds=self._settings.forget_after_s)
        with translated(), self._pool.connection() as connection:
            connection.execute(_QUERIES["sweep_sessions"], {"before": now - timedelta(days=1)})
            connection.execute(_QUERIES["sweep_signin_failures"], {"before": forget})

    def _count_try(self, name: str) -> int:
        """Count a try for a sign-in name, or return the seconds to wait."""
        now_ms = self._clock.now_ms()
        values: dict[str, Any] = {"login_sha256": _name_hash(name), "now": from_ms(now_ms)}
        with translated(), self._pool.connection() as connection:
            connection.execute(_QUERIES["signin_failure_begin"], values)
            row = connection.execute(_QUERIES["signin_failure_locked"], values).fetchone()
            assert row is not None
            failures, last_at, locked_until = row
            tries = next_try(Tries(failures, to_ms(last_at), to_ms(locked_until)), now_ms, self._settings)
            if isinstance(tries, int):
                return tries
            values |= {"failures": tries.failures, "locked_until": from_ms(tries.locked_until_ms)}
            connection.execute(_QUERIES["signin_failure_count"], values)
            if tries.locked_until_ms > now_ms:
                seconds = (tries.locked_until_ms - now_ms) // 1000
                detail = {"failures": tries.failures, "seconds": seconds}
                self._audit.write_on(connection, None, "registry.session.wait", "", detail)
        return 0

    def _open(self, known: _Known, password: str) -> Opened:
        token = secrets.token_urlsafe(TOKEN_BYTES)
        now = from_ms(self._clock.now_ms())
        new_hash = self._passwords.hash(password) if self._passwords.outdated(known.stored) else None
        with translated(), self._pool.connection() as connection:
            if new_hash is not None:
                values = {"person_id": known.person_id, "old_hash": known.stored, "new_hash": new_hash}
                connection.execute(_QUERIES["set_password_hash"], values)
            connection.execute(_QUERIES["signin_failure_forget"], {"login_sha256": _name_hash(known.name)})
            session = {
                "token_sha256": token_hash(token),
                "person_id": known.person_id,
                "csrf": secrets.token_urlsafe(TOKEN_BYTES),
                "now": now,
                "expires_at": now + timedelta(seconds=self._settings.session_absolute_s),
            }
            connection.execute(_QUERIES["add_session"], session)
            self._audit.write_on(connection, known.person_id, "registry.session.open", known.name, {})
        self.sweep()
        return Opened(token, known.person_id, self._settings.session_absolute_s)


def _name_hash(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def token_hash(token: str) -> bytes:
    """Return what the database keeps of a token; the token is random, so one plain SHA-256 is enough."""
    return hashlib.sha256(token.encode()).digest()


def csrf_matches(given: str, held: str) -> bool:
    """Tell whether two request tokens stand for the same session, whatever their masks."""
    a, b = _unmasked(given), _unmasked(held)
    return a is not None and b is not None and hmac.compare_digest(a, b)


def _masked(csrf: str) -> str:
    """Return the token under a fresh mask: a compressed page must not repeat a secret (the BREACH attack)."""
    secret = base64.urlsafe_b64decode(csrf + "=")
    mask = secrets.token_bytes(len(secret))
    hidden = bytes(x ^ y for x, y in zip(mask, secret, strict=True))
    return base64.urlsafe_b64encode(mask + hidden).decode().rstrip("=")


def _unmasked(text: str) -> bytes | None:
    try:
        both = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return None
    if len(both) != 2 * TOKEN_BYTES:
        return None
    return bytes(x ^ y for x, y in zip(both[:TOKEN_BYTES], both[TOKEN_BYTES:], strict=True))
