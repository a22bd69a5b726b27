"""The life of one supervised process as values: what state it is in and what is due now, without doing it.

Theory of operation: `due` looks at a `Life` and the time and names the one thing to do; the supervisor does it and says
what happened through `started`, `became_ready`, `exited` and `asked_to_stop`, each of which gives the next `Life`.

    WAITING --start--> STARTING --ready--> READY
       ^                  |                  |
       |                  +------exit--------+--> BACKING_OFF --start--> STARTING ...
       +-- (first)             any of them --asked to stop--> STOPPING --exit--> STOPPED

All times are seconds of one monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

__all__ = [
    "Action",
    "Life",
    "Limits",
    "State",
    "asked_to_stop",
    "became_ready",
    "due",
    "exited",
    "pause_before_restart",
    "started",
]


class State(StrEnum):
    """Where a process is in its life."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    BACKING_OFF = "backing_off"
    DONE = "done"
    STOPPING = "stopping"
    STOPPED = "stopped"


class Action(StrEnum):
    """What the supervisor shall do."""

    START = "start"
    KILL = "kill"


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a life, all in seconds; see `SupervisorSettings` for their meaning."""

    ready_deadline_s: float
    stop_deadline_s: float
    backoff_first_s: float
    backoff_max_s: float
    stable_after_s: float


@dataclass(frozen=True, slots=True)
class Life:
    """One process's life so far.

    Attributes:
        state: where it is.
        since_s: when it came into that state.
        crashes: how often in a row it ended unasked without having been stable.
        starts: how often it was started in all.
        was_ready: whether it has ever been ready (or, for a task that runs once, done).
        last_exit: its last exit status; negative for a signal, as `subprocess` has it.
    """

    state: State = State.WAITING
    since_s: float = 0.0
    crashes: int = 0
    starts: int = 0
    was_ready: bool = False
    last_exit: int | None = None

    @property
    def alive(self) -> bool:
        """Whether there is a process now."""
        return self.state in {State.STARTING, State.READY, State.STOPPING}

    @property
    def over(self) -> bool:
        """Whether nothing will happen any more."""
        return self.state in {State.DONE, State.STOPPED}


def due(life: Life, now_s: float, limits: Limits, *, may_start: bool) -> Action | None:
    """Name what is due; None when it is to wait.

    Args:
        life: of the process.
        now_s: the time.
        limits: the limits.
        may_start: whether those it needs are ready.
    """
    waited = now_s - life.since_s
    match life.state:
        case State.WAITING if may_start:
            return Action.START
        case State.BACKING_OFF if waited >= pause_before_restart(life.crashes, limits):
            return Action.START
        case State.STARTING if waited > limits.ready_deadline_s:
            return Action.KILL
        case State.STOPPING if waited > limits.stop_deadline_s:
            return Action.KILL
        case _:
            return None


def pause_before_restart(crashes: int, limits: Limits) -> float:
    """Return the pause in seconds after so many crashes in a row: doubling from the first to the longest."""
    doublings = min(max(crashes - 1, 0), 32)
    return float(min(limits.backoff_first_s * 2**doublings, limits.backoff_max_s))


def started(life: Life, now_s: float) -> Life:
    """It was started."""
    return replace(life, state=State.STARTING, since_s=now_s, starts=life.starts + 1)


def became_ready(life: Life, now_s: float) -> Life:
    """It says it is ready; said in any other state than STARTING it means nothing new."""
    if life.state is not State.STARTING:
        return life
    return replace(life, state=State.READY, since_s=now_s, was_ready=True)


def exited(life: Life, now_s: float, status: int, limits: Limits, *, once: bool) -> Life:
    """It ended with `status`. A task that runs `once` may end with 0; everything else that ends unasked has crashed."""
    if life.state is State.STOPPING:
        return replace(life, state=State.STOPPED, since_s=now_s, last_exit=status)
    if once and status == 0:
        return replace(life, state=State.DONE, since_s=now_s, was_ready=True, last_exit=status)
    stable = life.state is State.READY and now_s - life.since_s >= limits.stable_after_s
    crashes = 1 if stable else life.crashes + 1
    return replace(life, state=State.BACKING_OFF, since_s=now_s, crashes=crashes, last_exit=status)


def asked_to_stop(life: Life, now_s: float) -> Life:
    """Its end is wanted: a living process is stopping from now, one that does not live is stopped already."""
    if life.over or life.state is State.STOPPING:
        return life
    return replace(life, state=State.STOPPING if life.alive else State.STOPPED, since_s=now_s)
