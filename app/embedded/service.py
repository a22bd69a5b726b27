"""What every embedded service offers, and the small piece of work all of them share: run a tool to its end."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from hanlu.app.process import Account, Command
from hanlu.app.settings import process_environment
from hanlu.core.errors import FatalError, TransientError

__all__ = ["Service", "StoppedError", "ToolError", "Work", "port_is_open"]

_POLL_S = 0.05
_TAIL_CHARS = 600


class StoppedError(TransientError):
    """Stopped before the preparation was done; the next start takes it up again."""


class ToolError(FatalError):
    """A tool that prepares a service ended badly."""


class Service(Protocol):
    """A server that `hanlu up` runs when no URL replaces it.

    Order of calls: `prepare` once, then for every (re)start `command`, `ready` until true. `url` holds after `prepare`.
    """

    @property
    def name(self) -> str:
        """Short name, also of its log file."""
        ...

    @property
    def url(self) -> str:
        """Where clients reach it, with the platform's own credentials: a secret."""
        ...

    @property
    def description(self) -> str:
        """One line for people: which program in which version, and what is missing."""
        ...

    def prepare(self, work: Work) -> None:
        """Fetch, build and initialise what is not there yet; quick when everything is.

        Raises:
            HanluError: with a sentence that names the remedy.
        """
        ...

    def command(self) -> Command:
        """Return how to start it; writes its configuration files first."""
        ...

    def ready(self) -> bool:
        """Whether it answers its clients now; takes a second at most."""
        ...


@dataclass(frozen=True, slots=True)
class Work:
    """Progress and interruption for `Service.prepare`, which may take a minute on the first start.

    Attributes:
        say: takes one line of progress for the person who waits.
        stop: set when they no longer want to wait.
    """

    say: Callable[[str], None]
    stop: threading.Event = field(default_factory=threading.Event)

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        timeout_s: float,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        run_as: Account | None = None,
        stdin: bytes = b"",
    ) -> str:
        """Run a tool to its end and return what it wrote, both outputs together.

        Raises:
            ToolError: if it is not there, ends with an error, or takes longer than `timeout_s` seconds.
            StoppedError: if `stop` was set meanwhile; the tool and its children are killed.
        """
        name = Path(argv[0]).name
        # Files and not pipes: a tool may leave a child behind that would keep a pipe open.
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as given:
            given.write(stdin)
            given.seek(0)
            try:
                child = subprocess.Popen(
                    [str(part) for part in argv],
                    env=dict(process_environment() if env is None else env),
                    cwd=cwd,
                    stdin=given,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    user=run_as.uid if run_as else None,
                    group=run_as.gid if run_as else None,
                    extra_groups=[] if run_as else None,
                )
            except OSError as exc:
                raise ToolError(f"cannot start {name}: {exc.strerror}") from exc
            try:
                status = self._wait(child, name, time.monotonic() + timeout_s)
            finally:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(child.pid, signal.SIGKILL)
                child.wait()
            output.seek(0)
            text = output.read().decode("utf-8", "replace")
        if status != 0:
            raise ToolError(f"{name} ended with status {status}: {' '.join(text[-_TAIL_CHARS:].split())}")
        return text

    def _wait(self, child: subprocess.Popen[bytes], name: str, deadline: float) -> int:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return child.wait(_POLL_S)
            if self.stop.is_set():
                raise StoppedError
            if time.monotonic() > deadline:
                raise ToolError(f"{name} did not end in time")


def port_is_open(port: int, host: str = "127.0.0.1", timeout_s: float = 0.5) -> bool:
    """Whether something accepts TCP connections there."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=timeout_s):
        return True
    return False
