"""Plays a planned export through a gateway of its own: keeps the gateway running, sends, waits for the receipts.

The gateway is a child process under the same supervisor as `hanlu up` uses: killed, it is started again with growing
pauses and goes on with its spool, and it never outlives us. The main thread supervises, a second one plays.
"""

from __future__ import annotations

import fcntl
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from hanlu.app.datafolder import DataFolder
from hanlu.app.edge_process import EdgeStatus, read_status
from hanlu.app.lifecycle import Limits
from hanlu.app.logfile import LogFile
from hanlu.app.process import Command
from hanlu.app.replay_account import Account, Outcome
from hanlu.app.settings import SupervisorSettings, process_environment
from hanlu.app.stop_signals import StopSignals
from hanlu.app.supervisor import Supervisor, Unit
from hanlu.core.errors import ConflictError, FatalError, TransientError
from hanlu.firmware_sim.line_client import CONNECT_S, Connect
from hanlu.firmware_sim.replay.plan import Plan
from hanlu.firmware_sim.replay.play import Summary, play
from hanlu.gateway.config import GatewayConfig

__all__ = ["Progress", "Replay", "socket_folder", "status_file"]

Progress = Callable[[int, str, str], "tuple[Callable[[int], None], Callable[[], None]]"]
"""Makes a progress bar of (total, what it is of, unit); returns what moves it on and what closes it."""

_LIMITS: Final = Limits(
    ready_deadline_s=30.0, stop_deadline_s=10.0, backoff_first_s=0.2, backoff_max_s=5.0, stable_after_s=10.0
)
_ACCOUNT_S: Final = 30.0
"""Seconds the database may be away while the account is asked for."""
_POLL_S: Final = 0.2
_MIB: Final = 2**20


def status_file(folder: DataFolder, gateway: str) -> Path:
    """Return the file in which the gateway's process says its pid and how it is (`edge_process.EdgeStatus`)."""
    return folder.run / f"gateway-{gateway}.json"


@contextmanager
def socket_folder() -> Iterator[Path]:
    """A folder for the line driver's socket: closed to others, and of a path that fits into a socket's address."""
    with tempfile.TemporaryDirectory(prefix="hanlu-replay-") as folder:
        yield Path(folder)


@dataclass(slots=True)
class Replay:
    """One replay, from the gateway's start to its end.

    Args:
        plan: what to play.
        config: of the gateway; its line driver listens on a Unix socket.
        folder: the data folder.
        settings: how large logs may grow.
        account: asks the platform for the gateway's account.
        progress: makes progress bars.
        say: takes one line for the person who waits.
        speed: recorded seconds per second; None plays as fast as the gateway takes it.
        patience_s: seconds without any progress after which to give up.
    """

    plan: Plan
    config: GatewayConfig
    folder: DataFolder
    settings: SupervisorSettings
    account: Callable[[], Account]
    progress: Progress
    say: Callable[[str], None]
    speed: float | None = None
    patience_s: float = 120.0
    _outcome: Outcome | None = field(init=False, default=None)
    _failure: BaseException | None = field(init=False, default=None)

    def run(self) -> tuple[Outcome, bool]:
        """Play; return how it went and whether somebody broke it off. Call it in the main thread.

        Raises:
            ConflictError: the same file is being replayed already.
            FatalError: the gateway does not start.
            TransientError: the gateway or the database was away for too long.
        """
        code = self.config.code
        with self._alone(code), StopSignals() as stop:
            before = self.account()
            worker = threading.Thread(target=self._guarded, args=(before, stop), name="replay")
            supervisor = Supervisor(
                units=[self._unit(code)], limits=_LIMITS, stop=stop, say=self._say_unless_end, on_ready=worker.start
            )
            ended = supervisor.run()
            interrupted = stop.event.is_set()
            stop.event.set()  # the gateway is gone: the player has nobody left to wait for
            if worker.ident is not None:
                worker.join()
        if ended.code:
            raise FatalError(ended.reason)
        if self._failure is not None:
            raise self._failure
        if self._outcome is None:  # broken off before the gateway was ready
            self._outcome = Outcome(self.plan, Summary(), None, before, before, 0.0)
        return self._outcome, interrupted

    @contextmanager
    def _alone(self, code: str) -> Iterator[None]:
        with (self.folder.run / f"gateway-{code}.lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConflictError(f"a replay through gateway {code} is running already") from None
            yield

    def _unit(self, code: str) -> Unit:
        configuration = self.config.data_dir / "gateway.json"
        self.config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.write(configuration, self.config.model_dump())
        status = status_file(self.folder, code)
        status.unlink(missing_ok=True)
        words = ("gateway", str(configuration), "--status", str(status), "--data", str(self.folder.path))
        log = LogFile(self.folder.log(code), self.settings.log_max_mb * _MIB, self.settings.log_files)
        return Unit(code, partial(_hanlu, words), log)

    def _say_unless_end(self, line: str) -> None:
        if line != "stopping":
            self.say(line)

    def _guarded(self, before: Account, stop: StopSignals) -> None:
        try:
            self._outcome = self._work(before, stop.event)
        except BaseException as error:  # noqa: BLE001 - kept, and raised by `run` in the main thread
            self._failure = error
        finally:
            stop.count += 1  # like a signal to the supervisor, but `stop.event` tells that it was none

    def _work(self, before: Account, stop: threading.Event) -> Outcome:
        begun = time.monotonic()
        advance, close = self.progress(self.plan.rows, self.plan.path.name, "row")
        try:
            connect = _unix(self.config.line.listen.removeprefix("unix:"))
            sent = play(self.plan, connect, advance, stop, speed=self.speed, patience_s=self.patience_s)
        finally:
            close()
        pending = self._await_receipts(stop)
        return Outcome(self.plan, sent, pending, before, self._account(stop), time.monotonic() - begun)

    def _await_receipts(self, stop: threading.Event) -> int | None:
        """Wait until the gateway's spool is empty; return what is left in it, None when the gateway never said."""
        since = moved = time.monotonic()
        found: EdgeStatus | None = None
        committed = 0
        advance: Callable[[int], None] | None = None
        close: Callable[[], None] = lambda: None  # noqa: E731 - nothing to close yet
        try:
            while not stop.wait(_POLL_S) and time.monotonic() - moved < self.patience_s:
                status = read_status(status_file(self.folder, self.config.code))
                if status is None or status.at_s < since:
                    continue  # said before everything was sent
                if found is None and status.pending:
                    advance, close = self.progress(status.pending, "receipts", "message")
                    committed = status.committed
                if status.committed > committed:
                    moved = time.monotonic()
                    if advance is not None:
                        advance(status.committed - committed)
                    committed = status.committed
                found = status
                if not status.pending:
                    break
        finally:
            close()
        return None if found is None else found.pending

    def _account(self, stop: threading.Event) -> Account:
        end = time.monotonic() + _ACCOUNT_S
        while True:
            try:
                return self.account()
            except TransientError:
                if time.monotonic() > end or stop.wait(_POLL_S):
                    raise


def _hanlu(words: tuple[str, ...], notify_fd: int | None) -> Command:
    argv = (sys.executable, "-P", "-m", "hanlu.app", *words, "--notify-fd", str(notify_fd))
    return Command(argv=argv, env=process_environment() | {"PYTHONUNBUFFERED": "1"})


def _unix(path: str) -> Connect:
    """Return what connects to a line driver's Unix socket."""

    def connect() -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(CONNECT_S)
            sock.connect(path)
        except BaseException:
            sock.close()
            raise
        return sock

    return connect
