"""Start a program so that it never outlives us, and stop it kindly, then firmly.

Children get their own session, so that a Ctrl-C in the terminal reaches only the supervisor, which stops them in
order. On Linux the kernel sends `death_signal` to the child when our process ends in whatever way, SIGKILL included
(prctl(2), PR_SET_PDEATHSIG); the signal is bound to the *thread* that started the child, so long-lived children are
started from the main thread.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from hanlu.core.errors import UsageError

__all__ = ["Account", "Command", "account_for", "kill_group", "start", "stop"]

_PR_SET_PDEATHSIG = 1
# Loaded here, because between fork and exec nothing may import or allocate much.
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass(frozen=True, slots=True)
class Account:
    """A system account a child runs as when we are root."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Command:
    """What to start.

    Attributes:
        argv: program and arguments; the program as an absolute path.
        env: the whole environment of the child.
        cwd: working directory, None for ours.
        run_as: account to change to, None to stay who we are.
        stop_signal: what asks this program to end in good order.
        death_signal: what it gets when we die ourselves.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    cwd: Path | None = None
    run_as: Account | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGTERM


def account_for(name: str) -> Account | None:
    """Return the account for programs that refuse root; None when we are not root and need no change.

    Raises:
        UsageError: if we are root and there is no such account, or it is root again; or if we are a user without any
            entry among the accounts, as in some containers.
    """
    if os.geteuid() != 0:
        try:
            pwd.getpwuid(os.geteuid())
        except KeyError as exc:
            raise UsageError(
                f"user id {os.geteuid()} has no entry in /etc/passwd, and PostgreSQL wants one: "
                "add it, or set database.url to a server of yours"
            ) from exc
        return None
    try:
        entry = pwd.getpwnam(name)
    except KeyError as exc:
        raise UsageError(f"database.run_as: there is no account {name!r} on this machine") from exc
    if entry.pw_uid == 0:
        raise UsageError("database.run_as: PostgreSQL refuses to run as root; name an ordinary account")
    return Account(name, entry.pw_uid, entry.pw_gid)


def start(
    command: Command,
    output: int | IO[bytes] = subprocess.DEVNULL,
    keep_fds: Iterable[int] = (),
) -> subprocess.Popen[bytes]:
    """Start `command` in a session of its own, both outputs to `output`, with `keep_fds` left open.

    Raises:
        OSError: if the program cannot be started.
    """
    account = command.run_as
    return subprocess.Popen(
        command.argv,
        env=dict(command.env),
        cwd=command.cwd,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        pass_fds=tuple(keep_fds),
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
        # Runs after the change of user, which would clear the setting again. No Python lock is taken there.
        preexec_fn=_bound_to(os.getpid(), int(command.death_signal)),  # noqa: PLW1509
    )


def _bound_to(parent: int, death_signal: int) -> Callable[[], None]:
    def bind() -> None:
        if _LIBC is None:
            return
        _LIBC.prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
        if os.getppid() != parent:  # the parent died before the kernel knew of our wish
            os._exit(1)

    return bind


def stop(child: subprocess.Popen[bytes], stop_signal: signal.Signals, deadline_s: float) -> int:
    """Ask the child to end; after `deadline_s` seconds kill its whole group. Returns its exit status."""
    if child.poll() is None:
        child.send_signal(stop_signal)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(deadline_s)
    kill_group(child)
    return child.wait()


def kill_group(child: subprocess.Popen[bytes]) -> None:
    """Kill whatever is left in the child's process group; the child leads it, so its pid names the group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
