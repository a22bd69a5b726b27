"""The role `trace`: capture from gateways, the log, its checkpoints and their anchors."""

from __future__ import annotations

import threading
from collections.abc import Callable

from hanlu.app.settings import Settings
from hanlu.app.wiring import database_url, trace_config
from hanlu.trace.service import run

__all__ = ["main"]


def main(settings: Settings, stop: threading.Event, ready: Callable[[], None]) -> int:
    """Keep the log until `stop`."""
    run(trace_config(settings), database_url(settings), stop, ready)
    return 0
