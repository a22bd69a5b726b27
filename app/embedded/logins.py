"""Who may sign in to the embedded broker: one login for the platform, one for each gateway, passwords random.

The plain passwords stand in `logins.json` (0600), for the platform hands them to the gateways it starts itself; the
broker gets only hashes. A gateway's user name is its code, and the access list lets a user publish and read under its
own code only, so a stolen gateway password speaks for that gateway alone.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hanlu.core.errors import NotFoundError
from hanlu.core.wire.topics import Lane

__all__ = ["PLATFORM", "Logins", "mosquitto_hash"]

PLATFORM = "platform"
"""User name of the platform's own processes."""

_PASSWORD_BYTES = 24
# Mosquitto's own number. A random password of 192 bits needs no slow hash, and a hundred gateways reconnect at once.
_ITERATIONS = 101
_SALT_BYTES = 12  # Mosquitto 2.0 accepts exactly this length


@dataclass(frozen=True, slots=True)
class Logins:
    """The logins kept in one folder.

    Attributes:
        folder: closed to others; holds `logins.json`, and `passwd` and `acl` for Mosquitto.
    """

    folder: Path

    @property
    def password_file(self) -> Path:
        """Mosquitto's password file."""
        return self.folder / "passwd"

    @property
    def acl_file(self) -> Path:
        """Mosquitto's access list."""
        return self.folder / "acl"

    def ensure(self, gateways: Iterable[str] = ()) -> bool:
        """Make the platform's login and one for each gateway code; keep those that are there.

        Returns:
            Whether anything was added, so that a running broker must read its files again.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            known = self.all()
            missing = [name for name in (PLATFORM, *gateways) if name not in known]
            known |= {name: secrets.token_urlsafe(_PASSWORD_BYTES) for name in missing}
            if missing or not self.password_file.exists():
                _write(self.folder / "logins.json", json.dumps(known, indent=1))
                _write(self.password_file, "".join(f"{n}:{mosquitto_hash(p)}\n" for n, p in known.items()))
            _write(self.acl_file, _access_list())
        return bool(missing)

    def all(self) -> dict[str, str]:
        """Return every user name with its password."""
        try:
            logins: dict[str, str] = json.loads((self.folder / "logins.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return logins

    def password(self, user: str) -> str:
        """Return one user's password.

        Raises:
            NotFoundError: if `ensure` was never called with that user.
        """
        try:
            return self.all()[user]
        except KeyError as exc:
            raise NotFoundError(f"the embedded broker has no login for {user!r}") from exc


def mosquitto_hash(password: str, salt: bytes | None = None) -> str:
    """Return the password as Mosquitto stores it: PBKDF2 with HMAC-SHA-512 (mosquitto_passwd(1), scheme 7)."""
    salt = secrets.token_bytes(_SALT_BYTES) if salt is None else salt
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ITERATIONS)
    return f"$7${_ITERATIONS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def _access_list() -> str:
    """The platform sees everything; a gateway (`%u`) publishes its upward lanes and reads its downward ones."""
    lines = [f"user {PLATFORM}", "topic readwrite hanlu/1/#", "topic read $SYS/#", ""]
    lines += [f"pattern {'write' if lane.upward else 'read'} hanlu/1/+/%u/{lane.value}" for lane in Lane]
    return "\n".join(lines) + "\n"


def _write(path: Path, text: str) -> None:
    """Replace a file at once; nobody else may read it at any moment."""
    draft = path.with_name(f".{path.name}.draft")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as handle:
        handle.write(text)
    draft.replace(path)
