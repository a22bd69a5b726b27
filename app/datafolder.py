"""The data folder: where each thing lies in it, who owns it at the moment, and what its owner says about itself.

    <folder>/postgres  broker  chain  spool      what must survive
    <folder>/keys                                secrets made at the first start, 0600
    <folder>/log/<process>.log                   what the processes wrote
    <folder>/run/up.lock                         locked by the running `hanlu up`; holds its pid
    <folder>/run/settings.json                   the settings in force, secrets included, 0600
    <folder>/run/figures                         what the processes count, for /metrics; emptied at every start
    <folder>/run/status.json                     what `hanlu status` shows

A lock and not a pid file alone: the kernel lets go of a lock however its holder dies, and a pid may be another's by
then.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from hanlu.core.errors import ConflictError, UsageError

__all__ = ["DataFolder", "Listener", "check_ports"]

_UNCLEAN_PATIENCE_S = 8.0
_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class DataFolder:
    """The layout of one data folder."""

    path: Path

    @property
    def run(self) -> Path:
        """What holds only while `hanlu up` runs."""
        return self.path / "run"

    @property
    def keys(self) -> Path:
        """Secrets made at the first start."""
        return self.path / "keys"

    @property
    def settings_file(self) -> Path:
        """The settings in force, for the roles and for commands that speak to the running system."""
        return self.run / "settings.json"

    @property
    def figures(self) -> Path:
        """What the processes count about themselves, in files they share."""
        return self.run / "figures"

    @property
    def status_file(self) -> Path:
        """What the supervisor says about itself."""
        return self.run / "status.json"

    def log(self, name: str) -> Path:
        """The log file of one process."""
        return self.path / "log" / f"{name}.log"

    def make(self) -> None:
        """Make the folders. The folder itself may be walked through, for the database may have an account of its own.

        Raises:
            UsageError: if that is not possible.
        """
        try:
            self.path.mkdir(mode=0o711, parents=True, exist_ok=True)
            for part in (self.run, self.keys, self.path / "log", self.figures):
                part.mkdir(mode=0o700, exist_ok=True)
        except OSError as exc:
            raise UsageError(f"data.folder {self.path}: {exc.strerror}; choose another with --data") from exc

    def forget_figures(self) -> None:
        """Empty the shared figures: those of an earlier run belong to processes that are no more."""
        for file in self.figures.glob("*.db"):
            file.unlink(missing_ok=True)

    @contextlib.contextmanager
    def owned(self) -> Iterator[None]:
        """Be the one `hanlu up` on this folder while the block runs.

        Raises:
            ConflictError: if another is; the message names its pid.
        """
        with (self.run / "up.lock").open("a+") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as exc:
                raise ConflictError(
                    f"Hanlu already runs on {self.path} (pid {self.owner()}): stop it first, "
                    "or give this one a folder of its own with --data"
                ) from exc
            handle.truncate(0)
            handle.write(str(os.getpid()))
            handle.flush()
            yield

    def owner(self) -> int | None:
        """Return the pid of the `hanlu up` that runs on this folder, None when there is none."""
        with contextlib.suppress(OSError, ValueError), (self.run / "up.lock").open() as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(handle.read())
        return None

    def write(self, path: Path, value: Any) -> None:
        """Replace a JSON file at once, readable by its owner only."""
        draft = path.with_suffix(".draft")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as handle:
            json.dump(value, handle, ensure_ascii=False, indent=1, default=_as_json)
        draft.replace(path)

    def status(self) -> dict[str, Any] | None:
        """Return what the last `hanlu up` said about itself; None when none ever ran."""
        try:
            found: dict[str, Any] = json.loads(self.status_file.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        return found

    def ended_cleanly(self) -> bool:
        """Whether the last run said goodbye; if not, its services may still be ending by themselves."""
        status = self.status()
        return status is None or status.get("state") == "stopped"


@dataclass(frozen=True, slots=True)
class Listener:
    """A TCP address we are about to listen on, and the setting that names it."""

    host: str
    port: int
    setting: str


def check_ports(listeners: Iterable[Listener], *, patient: bool) -> None:
    """Refuse a taken port before anything is started.

    Args:
        listeners: all of them; two of ours on one port are refused too.
        patient: wait some seconds for a port to become free, because our own last run was killed.

    Raises:
        UsageError: naming the port and the setting to change.
    """
    deadline = time.monotonic() + (_UNCLEAN_PATIENCE_S if patient else 0.0)
    seen: dict[int, str] = {}
    for one in listeners:
        variable = f"HANLU_{one.setting.upper().replace('.', '__')}"
        if one.port in seen:
            raise UsageError(f"port {one.port} is given to both {seen[one.port]} and {one.setting}: change one of them")
        seen[one.port] = one.setting
        while (reason := _taken(one)) is not None:
            if time.monotonic() >= deadline:
                flag = "--port or " if one.setting == "web.port" else ""
                raise UsageError(f"port {one.port} {reason}: choose another with {flag}{one.setting} ({variable})")
            time.sleep(_POLL_S)


def _as_json(value: Any) -> str:
    """Write a secret in clear, for these files are read by nobody else, and anything without a JSON form as text."""
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def _taken(listener: Listener) -> str | None:
    family = socket.AF_INET6 if ":" in listener.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((listener.host, listener.port))
        except OSError as exc:
            if exc.errno == errno.EADDRINUSE:
                return f"is taken by another program (on {listener.host})"
            return f"cannot be used on {listener.host} ({exc.strerror})"
    return None
