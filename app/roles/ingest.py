"""The role `ingest`: MQTT to the database, and beside it, in threads that mostly wait for it, what is derived."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Final

from hanlu.app.settings import Settings
from hanlu.app.wiring import database_url, ingest_config
from hanlu.core.observe import log
from hanlu.ingest import quality
from hanlu.ingest.history import rollup
from hanlu.ingest.service import run

__all__ = ["main"]

_AGAIN_S: Final = 60.0
"""Seconds after which derived figures that failed are tried again."""

_logger = logging.getLogger(__name__)


def main(settings: Settings, stop: threading.Event, ready: Callable[[], None]) -> int:
    """Take in messages until `stop`; a sum cut off at the end is undone and done again after the next start."""
    url = database_url(settings)
    _beside("quality", partial(quality.run, url, stop), stop)
    _beside("roll-up", partial(rollup.run, rollup.RollUpConfig(), url, stop), stop)
    run(ingest_config(settings), url, stop, ready)
    return 0


def _beside(name: str, work: Callable[[], None], stop: threading.Event) -> None:
    """Run what is derived in a thread of its own; whatever fails there, readings are taken in all the same."""

    def keep_on() -> None:
        while not stop.is_set():
            try:
                work()
            except Exception as error:  # noqa: BLE001 - told, and tried again
                log(_logger, logging.ERROR, f"ingest.{name}.failed", f"{error}; trying again", retry_s=_AGAIN_S)
                stop.wait(_AGAIN_S)

    threading.Thread(target=keep_on, name=name, daemon=True).start()
