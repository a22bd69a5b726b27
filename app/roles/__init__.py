"""The roles of a running Hanlu: each is one process, `hanlu run ROLE`, and one file here.

The file wires a room to its settings. Its `main(settings, stop, ready)` works until `stop` is set, calls `ready` once
when it serves, and returns its exit status. It is imported only in its own process.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

from hanlu.app.settings import Settings

__all__ = ["ROLES", "Role", "RoleMain", "load_role"]


class RoleMain(Protocol):
    """What a role's file offers as `main`."""

    def __call__(self, settings: Settings, stop: threading.Event, ready: Callable[[], None]) -> int:
        """Work until `stop`; return 0 for a good end."""
        ...


@dataclass(frozen=True, slots=True)
class Role:
    """One role.

    Attributes:
        name: as in `hanlu run NAME`; also the name of its file here.
        summary: what it does, for the help text.
    """

    name: str
    summary: str


ROLES: tuple[Role, ...] = (
    Role("ingest", "take messages from the broker into the database, and send receipts"),
    Role("alerts", "follow what arrives and raise, clear and pass on alarms"),
    Role("trace", "capture events, keep the log, sign checkpoints, anchor them on the chain"),
    Role("web", "serve the console, the consumer and the inspector pages"),
    Role("gateway", "the edge: take readings from devices and bring them to the broker"),
    Role("simulator", "a county at work: rooms, trucks, lockers, scales, scanners, drones"),
)
"""In the order of the way the data goes."""


def load_role(name: str) -> RoleMain:
    """Import a role's file and return its `main`.

    Raises:
        KeyError: if there is no such role.
    """
    if name not in {role.name for role in ROLES}:
        raise KeyError(name)
    return cast("RoleMain", importlib.import_module(f"hanlu.app.roles.{name}").main)
