"""Who may sign in to the embedded broker: one login for the platform, one for each gateway, passwords random.

The plain passwords of the gateways that run on this machine stand in `logins.json` (0600), for the platform hands them
to those it starts itself; of gateways elsewhere only the hash is here (`elsewhere.json`), and of revoked ones nothing.
The broker gets only hashes. A gateway's user name is its code, and the access list lets a user publish and read under
its own code only, so a stolen gateway password speaks for that gateway alone.
"""

from __future__ import annotations

import fcntl
import hmac
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hanlu.core.errors import NotFoundError
from hanlu.core.wire.topics import Lane
from hanlu.registry.broker_rules import PLATFORM, new_password, password_file, password_hash, password_matches

__all__ = ["PLATFORM", "Logins", "write_private"]


@dataclass(frozen=True, slots=True)
class Logins:
    """The logins kept in one folder.

    Attributes:
        folder: closed to others; holds `logins.json`, `elsewhere.json`, and `passwd` and `acl` for Mosquitto.
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
        """Make the platform's login and one for each gateway code; keep those that are there, and leave out gateways
        that enrolled elsewhere or were revoked.

        Returns:
            Whether anything was added, so that a running broker must read its files again.
        """
        with self._alone():
            known, elsewhere = self.all(), self.elsewhere()
            missing = [name for name in (PLATFORM, *gateways) if name not in known and name not in elsewhere]
            if missing or not self.password_file.exists():
                self._keep(known | {name: new_password() for name in missing}, elsewhere)
            write_private(self.acl_file, _access_list())
        return bool(missing)

    def admit(self, code: str, stored: str) -> None:
        """Let a gateway elsewhere sign in with the password of this hash, and by no other."""
        self._replace(code, stored)

    def expel(self, code: str) -> None:
        """Let a gateway sign in no more, also after the next start."""
        self._replace(code, None)

    def all(self) -> dict[str, str]:
        """Return every user name of this machine with its password."""
        try:
            logins: dict[str, str] = json.loads((self.folder / "logins.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return logins

    def password(self, user: str) -> str:
        """Return the password of a user of this machine.

        Raises:
            NotFoundError: if `ensure` was never called with that user, or it enrolled elsewhere or was revoked.
        """
        try:
            return self.all()[user]
        except KeyError as exc:
            raise NotFoundError(f"the embedded broker has no login for {user!r}") from exc

    def accepts(self, user: str, password: str) -> bool:
        """Tell whether this is the user's password, in a time that does not depend on how near it comes."""
        plain = self.all().get(user)
        if plain is not None:
            return hmac.compare_digest(plain.encode(), password.encode())
        return password_matches(self.elsewhere().get(user), password)

    def elsewhere(self) -> dict[str, str | None]:
        """Return the gateways that sign in from elsewhere, with their hash; None for the revoked."""
        try:
            found: dict[str, str | None] = json.loads((self.folder / "elsewhere.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return found

    def _replace(self, code: str, stored: str | None) -> None:
        with self._alone():
            here = {name: password for name, password in self.all().items() if name != code}
            self._keep(here, self.elsewhere() | {code: stored})

    def _keep(self, here: dict[str, str], elsewhere: dict[str, str | None]) -> None:
        """Write all files; what the broker reads comes last."""
        write_private(self.folder / "logins.json", json.dumps(here, indent=1))
        write_private(self.folder / "elsewhere.json", json.dumps(elsewhere, indent=1))
        hashes = {name: password_hash(password) for name, password in here.items()}
        hashes |= {name: stored for name, stored in elsewhere.items() if stored is not None}
        write_private(self.password_file, password_file(hashes))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let no other process change the files meanwhile."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def write_private(path: Path, text: str) -> None:
    """Replace a file at once; nobody else may read it at any moment."""
    draft = path.with_name(f".{path.name}.draft")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as handle:
        handle.write(text)
    draft.replace(path)


def _access_list() -> str:
    """The platform sees everything; a gateway (`%u`) publishes its upward lanes and reads its downward ones."""
    lines = [f"user {PLATFORM}", "topic readwrite hanlu/1/#", "topic read $SYS/#", ""]
    lines += [f"pattern {'write' if lane.upward else 'read'} hanlu/1/+/%u/{lane.value}" for lane in Lane]
    return "\n".join(lines) + "\n"
