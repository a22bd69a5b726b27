"""The role `ingest`: MQTT to the database, and beside it, in threads that mostly wait for it, what is derived."""

from __future__ import annotations

import threading
from collections.abc import Callable

from hanlu.app.settings import Settings
from hanlu.app.wiring import database_url, ingest_config
from hanlu.ingest import quality
from hanlu.ingest.history import rollup
from hanlu.ingest.service import run

__all__ = ["main"]


def main(settings: Settings, stop: threading.Event, ready: Callable[[], None]) -> int:
    """Take in messages until `stop`; a sum cut off at the end is undone and done again after the next start."""
    url = database_url(settings)
    threading.Thread(target=quality.run, args=(url, stop), name="quality", daemon=True).start()
    rolling = (rollup.RollUpConfig(), url, stop)
    threading.Thread(target=rollup.run, args=rolling, name="roll-up", daemon=True).start()
    run(ingest_config(settings), url, stop, ready)
    return 0
