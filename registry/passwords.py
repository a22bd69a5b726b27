"""Passwords: how they are kept, checked, made up and judged.

Source: RFC 9106 section 4 (Argon2id, second recommended option), NIST SP 800-63B-4 3.1.1 (length over composition
rules, normalisation), OWASP ASVS v5.0.0 6.2 and 11.4.2.
"""

from __future__ import annotations

import secrets
import threading
import unicodedata
from typing import Final, Literal

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError
from argon2.low_level import Type

from hanlu.core.errors import FatalError

__all__ = ["MAX_LENGTH", "MIN_LENGTH", "Passwords", "Weakness", "random_password", "weakness"]

Weakness = Literal["short", "long", "simple"]

TIME_COST: Final = 3
"""Passes over the memory."""

MEMORY_KIB: Final = 64 * 1024
"""Memory of one hash, KiB."""

LANES: Final = 4
"""Degree of parallelism."""

SALT_BYTES: Final = 16
HASH_BYTES: Final = 32

MIN_LENGTH: Final = 12
"""Fewest characters of a password somebody chooses."""

MAX_LENGTH: Final = 128
"""Most characters accepted, so that nobody has us hash a novel."""

_ALPHABET: Final = "abcdefghjkmnpqrstuvwxyz23456789"  # nothing that is mistaken for something else when read aloud
_LEAST_VARIETY: Final = 5  # different characters
_GROUPS, _GROUP = 4, 5  # 20 characters of 31: 99 bits


class Passwords:
    """Hashes and checks passwords, a bounded number at a time."""

    def __init__(
        self, *, at_once: int = 2, time_cost: int = TIME_COST, memory_kib: int = MEMORY_KIB, lanes: int = LANES
    ) -> None:
        """Prepare the hasher.

        Args:
            at_once: hashes computed at the same time; others wait.
            time_cost: passes.
            memory_kib: memory of each, KiB.
            lanes: parallelism.
        """
        self._hasher = PasswordHasher(
            time_cost, memory_kib, lanes, hash_len=HASH_BYTES, salt_len=SALT_BYTES, type=Type.ID
        )
        self._turn = threading.BoundedSemaphore(at_once)
        self._nobody = self.hash(secrets.token_urlsafe(16))

    def hash(self, password: str) -> str:
        """Return the hash to store, parameters and salt within it (PHC string)."""
        with self._turn:
            return self._hasher.hash(_normal(password))

    def verify(self, stored: str | None, password: str) -> bool:
        """Tell whether `password` is the one behind `stored`.

        Args:
            stored: the hash; None when there is no such person, which takes as long and is always false.
            password: what was typed.

        Raises:
            FatalError: `stored` is no hash at all: somebody wrote into the table.
        """
        if len(password) > MAX_LENGTH:
            password = ""  # cannot match, and takes as long as any other
        with self._turn:
            try:
                self._hasher.verify(stored or self._nobody, _normal(password))
            except VerifyMismatchError:
                return False
            except (InvalidHashError, VerificationError) as error:
                raise FatalError("a stored password hash cannot be read") from error
        return stored is not None

    def outdated(self, stored: str) -> bool:
        """Tell whether `stored` was made with other parameters than today's and should be made anew."""
        return self._hasher.check_needs_rehash(stored)


def random_password() -> str:
    """Return a fresh password of 99 bits, in groups that can be read aloud."""
    return "-".join("".join(secrets.choice(_ALPHABET) for _ in range(_GROUP)) for _ in range(_GROUPS))


def weakness(password: str, login: str) -> Weakness | None:
    """Return why a chosen password will not do: too short, too long, or simple; None when it will.

    Simple is one with fewer than five different characters or with the sign-in name in it. Nothing is asked about
    capitals or digits: length is what helps (NIST SP 800-63B-4 3.1.1.2).
    """
    normal = _normal(password)
    if len(normal) < MIN_LENGTH:
        return "short"
    if len(normal) > MAX_LENGTH:
        return "long"
    if len(set(normal.casefold())) < _LEAST_VARIETY or login.casefold() in normal.casefold():
        return "simple"
    return None


def _normal(password: str) -> str:
    """Return one spelling for what looks the same, whatever keyboard it was typed on."""
    return unicodedata.normalize("NFKC", password)
