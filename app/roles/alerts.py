"""The role `alerts`: the alarm engine."""

from __future__ import annotations

import threading
from collections.abc import Callable

from hanlu.alerts.config import EngineConfig
from hanlu.alerts.engine import run
from hanlu.app.settings import Settings
from hanlu.app.wiring import database_url

__all__ = ["main"]


def main(settings: Settings, stop: threading.Event, ready: Callable[[], None]) -> int:
    """Judge what arrives until `stop`."""
    run(EngineConfig(), database_url(settings), stop, ready)
    return 0
