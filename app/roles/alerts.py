"""The role `alerts`: the alarm engine, and beside it, in threads that mostly wait for it, what follows its journal."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Final

from hanlu.alerts.config import EngineConfig
from hanlu.alerts.engine import run
from hanlu.alerts.excursion import follower as excursions
from hanlu.alerts.people import notifier
from hanlu.app.settings import Settings
from hanlu.app.wiring import database_url
from hanlu.core.observe import log

__all__ = ["main"]

_AGAIN_S: Final = 10.0
"""Seconds after which a follower that failed begins anew, from what is on record."""

_logger = logging.getLogger(__name__)


def main(settings: Settings, stop: threading.Event, ready: Callable[[], None]) -> int:
    """Judge what arrives until `stop`; followers end what they have begun."""
    url = database_url(settings)
    public_url = settings.web.base_url if settings.web.public_url else None
    beside = [
        _beside("notifier", partial(notifier.run, settings.notify, url, stop, public_url=public_url), stop),
        _beside("excursions", partial(excursions.run, url, stop), stop),
    ]
    run(EngineConfig(), url, stop, ready)
    for thread in beside:
        thread.join(settings.supervisor.stop_deadline_s / 2)
    return 0


def _beside(name: str, work: Callable[[], None], stop: threading.Event) -> threading.Thread:
    """Run a follower in a thread of its own; whatever fails there, readings are judged all the same."""

    def keep_on() -> None:
        while not stop.is_set():
            try:
                work()
            except Exception as error:  # noqa: BLE001 - told, and tried again
                log(_logger, logging.ERROR, f"alerts.{name}.failed", f"{error}; trying again", retry_s=_AGAIN_S)
                stop.wait(_AGAIN_S)

    thread = threading.Thread(target=keep_on, name=name, daemon=True)
    thread.start()
    return thread
