"""The supervisor and the roles' frame with real, small processes."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from fix_services import wait_until

from hanlu.app.lifecycle import Limits, State
from hanlu.app.logfile import LogFile
from hanlu.app.process import Command
from hanlu.app.settings import process_environment
from hanlu.app.stop_signals import StopSignals
from hanlu.app.supervisor import Outcome, Supervisor, Unit

LIMITS = Limits(ready_deadline_s=5, stop_deadline_s=1, backoff_first_s=0.1, backoff_max_s=0.2, stable_after_s=30)

READY = 'import os, sys; fd = int(sys.argv[1]); tell = lambda text: os.write(fd, text.encode() + b"\\n");'


def python(code: str) -> Callable[[int | None], Command]:
    """A child that runs `code`, with `tell` for its notices."""

    def command(notify_fd: int | None) -> Command:
        argv = (sys.executable, "-S", "-c", READY + textwrap.dedent(code), str(notify_fd))
        return Command(argv, process_environment())

    return command


class Trial:
    """A supervisor with some units, which stops itself when a condition holds."""

    def __init__(self, folder: Path, until: Callable[[Trial], bool]) -> None:
        self.folder = folder
        self.until = until
        self.units: list[Unit] = []
        self.said: list[str] = []
        self.stop = StopSignals()
        self.seen: list[dict[str, str]] = []
        self.ready_at: float | None = None

    def add(self, name: str, code: str, **more: Any) -> Unit:
        unit = Unit(name, python(code), LogFile(self.folder / f"{name}.log", 10**6, 2), **more)
        self.units.append(unit)
        return unit

    def log(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def run(self, deadline_s: float = 15.0) -> Outcome:
        end = time.monotonic() + deadline_s

        def publish(status: dict[str, Any]) -> None:
            self.seen.append({one["name"]: one["state"] for one in status["processes"]})

        def on_ready() -> None:
            self.ready_at = time.monotonic()

        def watch() -> None:
            while not self.until(self) and time.monotonic() < end:
                if over.wait(0.02):
                    return
            self.stop.count += 1

        over = threading.Event()
        watcher = threading.Thread(target=watch)
        watcher.start()
        outcome = Supervisor(
            self.units, LIMITS, self.stop, say=self.said.append, on_ready=on_ready, publish=publish
        ).run()
        over.set()
        watcher.join()
        return outcome


WAIT = "import signal; signal.pause()"
SERVE = "tell('{\"ready\": true}'); " + WAIT


def test_later_stage_waits_for_the_earlier_one(tmp_path: Path) -> None:
    trial = Trial(tmp_path, until=lambda t: t.ready_at is not None)
    trial.add("late", SERVE, stage=2)
    trial.add("task", "import time; time.sleep(0.3)", stage=1, once=True)
    trial.add("early", "import time; time.sleep(0.3); tell('{\"ready\": true}'); " + WAIT, stage=0)
    assert trial.run() == Outcome(0)
    for states in trial.seen:
        if states["late"] in {"starting", "ready"} and states["task"] != "stopped":
            assert states["task"] == "done"
    assert [unit.life.state for unit in trial.units] == [State.STOPPED, State.DONE, State.STOPPED]


def test_higher_stage_is_gone_before_the_lower_one_is_asked(tmp_path: Path) -> None:
    # Each writes when it is asked to end; the upper one takes its time.
    code = """
        import signal, time
        def end(*_):
            time.sleep({wait}); print(time.monotonic(), flush=True); os._exit(0)
        signal.signal(signal.SIGTERM, end)
        tell('{{"ready": true}}')
        while True: signal.pause()
    """
    trial = Trial(tmp_path, until=lambda t: t.ready_at is not None)
    trial.add("lower", code.format(wait=0), stage=0)
    trial.add("upper", code.format(wait=0.3), stage=1)
    trial.run()
    assert float(trial.log("upper")) < float(trial.log("lower"))


def test_deaf_process_is_killed_after_the_deadline(tmp_path: Path) -> None:
    trial = Trial(tmp_path, until=lambda t: t.ready_at is not None)
    deaf = trial.add(
        "deaf",
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); tell('{\"ready\": true}')\nwhile 1: "
        "signal.pause()",
    )
    begun = time.monotonic()
    trial.run()
    assert deaf.life.last_exit == -signal.SIGKILL
    assert time.monotonic() - begun < 5


def test_second_signal_hurries(tmp_path: Path) -> None:
    trial = Trial(tmp_path, until=lambda t: t.ready_at is not None)
    trial.stop.count = 0
    deaf = trial.add(
        "deaf",
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); tell('{\"ready\": true}')\nwhile 1: "
        "signal.pause()",
    )

    def until(t: Trial) -> bool:
        if t.ready_at is not None:
            t.stop.count += 1  # the first; `run` adds the second
            return True
        return False

    trial.until = until
    begun = time.monotonic()
    trial.run()
    assert deaf.life.last_exit == -signal.SIGKILL
    assert time.monotonic() - begun < LIMITS.stop_deadline_s


def test_crashed_process_comes_back_and_the_others_stay(tmp_path: Path) -> None:
    trial = Trial(tmp_path, until=lambda t: t.units[0].life.starts >= 3 and t.units[0].life.state is State.READY)
    falling = trial.add(
        "falling",
        f"""
        import pathlib, signal
        tell('{{"ready": true}}')
        marks = pathlib.Path({str(tmp_path / "marks")!r})
        marks.open("a").write("x")
        if len(marks.read_text()) < 3:
            os.kill(os.getpid(), signal.SIGKILL)
        signal.pause()
        """,
    )
    steady = trial.add("steady", SERVE)
    trial.run()
    assert (falling.life.starts, steady.life.starts) == (3, 1)
    assert any(line.startswith("falling was ended by SIGKILL; it starts again in 0.1 s") for line in trial.said)


def test_word_for_the_terminal_is_said_and_in_no_log(tmp_path: Path) -> None:
    trial = Trial(tmp_path, until=lambda t: t.ready_at is not None)
    trial.add("task", "print('hello'); tell('{\"say\": \"password 桃\"}'); tell('no json')", once=True)
    trial.run()
    assert "password 桃" in trial.said
    assert trial.log("task") == "hello\n"


def test_failed_task_stops_everything_and_shows_its_last_words(tmp_path: Path) -> None:
    trial = Trial(tmp_path, until=lambda t: False)
    trial.add("service", SERVE)
    trial.add("task", "print('the disk is full'); sys.exit(3)", stage=1, once=True)
    outcome = trial.run()
    assert outcome.code == 1
    assert "task does not start (ended with status 3)" in outcome.reason
    assert "the disk is full" in outcome.reason


def test_program_that_is_not_there_is_reported_after_three_tries(tmp_path: Path) -> None:
    trial = Trial(tmp_path, until=lambda t: False)
    trial.units.append(
        Unit("ghost", lambda fd: Command(("/no/such/program",), {}), LogFile(tmp_path / "ghost.log", 10**6, 2))
    )
    outcome = trial.run()
    assert outcome.code == 1
    assert "cannot start" in outcome.reason
    assert trial.units[0].life.starts == 3


def test_unawaited_process_may_fail_without_holding_up_the_rest(tmp_path: Path) -> None:
    trial = Trial(tmp_path, until=lambda t: t.ready_at is not None and t.units[0].life.starts > 3)
    trial.add("optional", "sys.exit(1)", awaited=False)
    trial.add("main", SERVE, stage=1)
    assert trial.run() == Outcome(0)
    assert trial.ready_at is not None


def test_what_a_child_leaves_behind_goes_with_it(tmp_path: Path) -> None:
    trial = Trial(tmp_path, until=lambda t: t.ready_at is not None)
    trial.add(
        "parent",
        """
        import signal
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            while True: signal.pause()
        print(child, flush=True)
        tell('{"ready": true}')
        signal.pause()
        """,
    )
    trial.run()
    left = int(trial.log("parent"))
    wait_until(lambda: not psutil.pid_exists(left), "the grandchild's end", 5)


FRAME = """
import sys
from hanlu.app.role_process import run_main
from hanlu.app.notify import Notifier
from hanlu.app.settings import load
from hanlu.app import log_format, role_process
from hanlu.core.errors import FatalError

role_process._GRACE_S = 0.2
settings = load(environ={}, flags={"supervisor": {"stop_deadline_s": 0.3}})
log_format.configure(settings.log, "demo")
"""


def frame(main: str) -> subprocess.Popen[str]:
    code = FRAME + textwrap.dedent(main) + "\nsys.exit(run_main('demo', main, settings, Notifier(1)))"
    return subprocess.Popen(
        [sys.executable, "-P", "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_role_says_ready_and_ends_well_on_sigterm() -> None:
    child = frame("""
        def main(settings, stop, ready):
            ready(); stop.wait(); return 0
    """)
    assert child.stdout
    assert child.stdout.readline() == '{"ready": true}\n'
    child.send_signal(signal.SIGTERM)
    _, log = child.communicate(timeout=10)
    assert child.returncode == 0
    assert "action=app.role.ready" in log
    assert "action=app.role.stopped" in log


def test_role_that_does_not_end_is_ended() -> None:
    child = frame("""
        import time
        def main(settings, stop, ready):
            ready(); time.sleep(60); return 0
    """)
    assert child.stdout
    child.stdout.readline()
    begun = time.monotonic()
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=10)
    assert child.returncode == 1
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    ("error", "action", "traceback"),
    [("FatalError('no disk')", "app.role.failed", False), ("KeyError('x')", "app.role.crashed", True)],
)
def test_error_of_a_role_is_logged_and_status_one(error: str, action: str, traceback: bool) -> None:
    child = frame(f"""
        def main(settings, stop, ready):
            raise {error}
    """)
    _, log = child.communicate(timeout=10)
    assert child.returncode == 1
    assert f"action={action}" in log
    assert ("Traceback" in log) is traceback
