"""Runs services and roles as child processes: starts them in order, keeps them, stops them in reverse order.

One thread, one loop, no locks: it waits for output, notifications, signals and time. What is to be done is decided in
`lifecycle.py`; here it is done. Children are bound to us by the kernel (`process.py`), so that even our SIGKILL
leaves none.

A child tells us something by JSON lines on a pipe it was given (`--notify-fd`): `{"ready": true}`, or `{"say":
"text"}` for a line that belongs on the terminal and in no log, such as a first password. A service is asked instead
(`Service.ready`).
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from hanlu.app import lifecycle, process
from hanlu.app.lifecycle import Action, Life, Limits, State
from hanlu.app.logfile import LogFile, tail
from hanlu.app.process import Command
from hanlu.app.stop_signals import StopSignals

__all__ = ["Outcome", "Supervisor", "Unit"]

_TICK_S = 0.05
_STATUS_EVERY_S = 2.0
_READ_BYTES = 65536
_START_ATTEMPTS = 3
_NOT_EXECUTABLE = 127  # as a shell says it


@dataclass(slots=True)
class Unit:
    """One process to keep.

    Attributes:
        name: short, unique; also of its log. command: gives the command line for a start; it gets the number of the
        notification pipe, None when `probe` is set. log: where its output goes. stage: it is first started when all
        of lower stages were ready; stops go the other way. probe: asks whether it is ready; None when it tells us
        itself. once: whether it is a task that ends by itself. awaited: whether later stages and the ready line wait
        for it.
    """

    name: str
    command: Callable[[int | None], Command]
    log: LogFile
    stage: int = 0
    probe: Callable[[], bool] | None = None
    once: bool = False
    awaited: bool = True
    life: Life = field(default_factory=Life)
    child: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    started_with: Command | None = field(default=None, repr=False)
    notices: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: exit code for the shell, and why if not asked for."""

    code: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Ear:
    """Reads one pipe of one unit."""

    selector: selectors.BaseSelector
    unit: Unit
    use: Callable[[bytes], None]

    def __call__(self, fd: int) -> bool:
        """Take one piece; at the end of the pipe forget it. Returns whether there may be more at once."""
        try:
            piece = os.read(fd, _READ_BYTES)
        except BlockingIOError:
            return False
        if piece:
            self.use(piece)
            return True
        self.selector.unregister(fd)
        os.close(fd)
        return False


@dataclass(slots=True)
class Supervisor:
    """Keeps some units until a signal asks it to stop.

    Args:
        units: in any order; `Unit.stage` orders them.
        limits: of their lives.
        stop: counts the signals that ask for the end; the second one hurries.
        say: one line for the person at the terminal.
        on_ready: called once, when all awaited units are ready.
        publish: takes the status, at every change and every few seconds.
    """

    units: Sequence[Unit]
    limits: Limits
    stop: StopSignals
    say: Callable[[str], None]
    on_ready: Callable[[], None] = lambda: None
    publish: Callable[[dict[str, Any]], None] = lambda status: None
    _selector: selectors.BaseSelector = field(init=False, default_factory=selectors.DefaultSelector)
    _stopping: bool = field(init=False, default=False)
    _outcome: Outcome = field(init=False, default=Outcome(0))
    _all_ready: bool = field(init=False, default=False)
    _published: tuple[float, object] = field(init=False, default=(0.0, None))

    def run(self) -> Outcome:
        """Start everything, keep it, and return after a stop, when no child is left. Call it in the main thread."""
        with self._woken_by_signals(), contextlib.closing(self._selector):
            try:
                while not (self._stopping and all(unit.life.over for unit in self.units)):
                    self._step()
            finally:
                for unit in self.units:
                    if unit.child is not None:  # only after an error of our own
                        process.kill_group(unit.child)
                        unit.child.wait()
                    unit.log.close()
            self._publish(time.monotonic(), force=True)
        return self._outcome

    def status(self) -> dict[str, Any]:
        """Return what is known now, as JSON values."""
        now = time.monotonic()
        state = "stopping" if self._stopping else "ready" if self._all_ready else "starting"
        if self._stopping and all(unit.life.over for unit in self.units):
            state = "stopped"
        return {
            "state": state,
            "pid": os.getpid(),
            "processes": [
                {
                    "name": unit.name,
                    "state": unit.life.state.value,
                    "pid": unit.child.pid if unit.child else None,
                    "since_s": round(now - unit.life.since_s, 1),
                    "starts": unit.life.starts,
                    "last_exit": unit.life.last_exit,
                    "log": str(unit.log.path),
                }
                for unit in self.units
            ],
        }

    # One step of the loop

    def _step(self) -> None:
        for key, _ in self._selector.select(_TICK_S):
            key.data(key.fd)
        now = time.monotonic()
        for unit in self.units:
            self._reap(unit, now)
            self._probe(unit, now)
        if self.stop.count and not self._stopping:
            self._begin_stop(Outcome(0))
        for unit in self.units:
            self._act(unit, now)
        if self._stopping:
            self._stop_next_stage(now)
        self._notice_all_ready()
        self._publish(now)

    def _reap(self, unit: Unit, now: float) -> None:
        if unit.child is None or (status := unit.child.poll()) is None:
            return
        process.kill_group(unit.child)  # what it may have left behind
        self._drain(unit)
        unit.child = None
        self._note_exit(unit, now, status)

    def _note_exit(self, unit: Unit, now: float, status: int) -> None:
        """Take note of an end, and decide whether the whole start is given up."""
        unit.life = lifecycle.exited(unit.life, now, status, self.limits, once=unit.once)
        if unit.life.state is not State.BACKING_OFF or self._stopping:
            return
        if not unit.life.was_ready and (unit.once or unit.life.crashes >= _START_ATTEMPTS) and unit.awaited:
            reason = f"{unit.name} does not start ({_how(status)}). The end of {unit.log.path}:\n{tail(unit.log.path)}"
            self._begin_stop(Outcome(1, reason))
            return
        pause = lifecycle.pause_before_restart(unit.life.crashes, self.limits)
        self.say(f"{unit.name} {_how(status)}; it starts again in {pause:g} s (log: {unit.log.path})")

    def _probe(self, unit: Unit, now: float) -> None:
        if unit.probe is not None and unit.life.state is State.STARTING and unit.probe():
            unit.life = lifecycle.became_ready(unit.life, now)

    def _act(self, unit: Unit, now: float) -> None:
        may_start = not self._stopping and all(
            other.life.was_ready or not other.awaited for other in self.units if other.stage < unit.stage
        )
        action = lifecycle.due(unit.life, now, self.limits, may_start=may_start)
        if action is Action.START and not self._stopping:
            self._start(unit, now)
        elif unit.child is not None and (action is Action.KILL or (self._stopping and self.stop.count > 1)):
            process.kill_group(unit.child)

    def _start(self, unit: Unit, now: float) -> None:
        """Start a unit. A program that cannot even be executed counts as one that crashed at once."""
        output_read, output_write = os.pipe()
        notify_read, notify_write = os.pipe()
        unit.notices = b""
        unit.life = lifecycle.started(unit.life, now)
        try:
            unit.started_with = unit.command(None if unit.probe else notify_write)
            keep = () if unit.probe else (notify_write,)
            unit.child = process.start(unit.started_with, output_write, keep)
        except OSError as exc:
            unit.log.write(f"cannot start: {exc}\n".encode())
            os.close(output_read)
            os.close(notify_read)
            self._note_exit(unit, now, _NOT_EXECUTABLE)
        else:
            for fd, use in ((output_read, unit.log.write), (notify_read, self._hearing(unit))):
                os.set_blocking(fd, False)
                self._selector.register(fd, selectors.EVENT_READ, _Ear(self._selector, unit, use))
        finally:
            os.close(output_write)
            os.close(notify_write)

    # Stopping

    def _begin_stop(self, outcome: Outcome) -> None:
        self._stopping = True
        self._outcome = outcome
        if outcome.code == 0:
            self.say("stopping")

    def _stop_next_stage(self, now: float) -> None:
        """Ask the highest stage that still lives to end; the others keep serving it meanwhile."""
        living = [unit for unit in self.units if not unit.life.over]
        highest = max((unit.stage for unit in living), default=0)
        for unit in living:
            hurry = self.stop.count > 1
            if (unit.stage < highest and not hurry) or unit.life.state is State.STOPPING:
                continue
            unit.life = lifecycle.asked_to_stop(unit.life, now)
            if unit.child is not None and unit.started_with is not None:
                with contextlib.suppress(ProcessLookupError):
                    unit.child.send_signal(unit.started_with.stop_signal)

    # What children write

    def _hearing(self, unit: Unit) -> Callable[[bytes], None]:
        def hear(piece: bytes) -> None:
            *lines, unit.notices = (unit.notices + piece).split(b"\n")
            for line in lines:
                self._hear(unit, line)

        return hear

    def _drain(self, unit: Unit) -> None:
        """Take what a dead child's pipes still hold, so that its last words are in the log before we quote them."""
        for key in list(self._selector.get_map().values()):
            if isinstance(key.data, _Ear) and key.data.unit is unit:
                while key.data(key.fd):
                    pass

    def _hear(self, unit: Unit, line: bytes) -> None:
        try:
            notice = json.loads(line)
        except ValueError:
            return
        if notice.get("ready"):
            unit.life = lifecycle.became_ready(unit.life, time.monotonic())
        if text := notice.get("say"):
            self.say(str(text))

    # What we say

    def _notice_all_ready(self) -> None:
        if self._all_ready or self._stopping:
            return
        if all(unit.life.was_ready for unit in self.units if unit.awaited):
            self._all_ready = True
            self.on_ready()

    def _publish(self, now: float, *, force: bool = False) -> None:
        key = (self._stopping, self._all_ready, [(u.life, u.child and u.child.pid) for u in self.units])
        when, last = self._published
        if force or key != last or now - when >= _STATUS_EVERY_S:
            self._published = (now, key)
            self.publish(self.status())

    @contextlib.contextmanager
    def _woken_by_signals(self) -> Iterator[None]:
        """Let a stop signal and a child's end wake the loop at once."""
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_read, False)
        os.set_blocking(wake_write, False)
        # Without any handler the kernel's signal would not reach Python at all.
        before = signal.signal(signal.SIGCHLD, lambda number, frame: None)
        old_wake = signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        self._selector.register(wake_read, selectors.EVENT_READ, lambda fd: os.read(fd, _READ_BYTES))
        try:
            yield
        finally:
            signal.set_wakeup_fd(old_wake)
            signal.signal(signal.SIGCHLD, before)
            os.close(wake_read)
            os.close(wake_write)


def _how(status: int) -> str:
    """Say an exit status in words."""
    if status >= 0:
        return f"ended with status {status}"
    with contextlib.suppress(ValueError):
        return f"was ended by {signal.Signals(-status).name}"
    return f"was ended by signal {-status}"
