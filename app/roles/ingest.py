"""The role `ingest`: MQTT to the database."""

from __future__ import annotations

import threading
from collections.abc import Callable

from hanlu.app.settings import Settings
from hanlu.app.wiring import database_url, ingest_config
from hanlu.ingest.service import run

__all__ = ["main"]


def main(settings: Settings, stop: threading.Event, ready: Callable[[], None]) -> int:
    """Take in messages until `stop`."""
    run(ingest_config(settings), database_url(settings), stop, ready)
    return 0
