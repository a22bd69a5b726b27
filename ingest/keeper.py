"""The keeper: the housekeeping beside an ingest worker, in a thread and over a connection of its own.

Each round it lists what new dead letters and births wait for, replays the letters whose cause the registry shows as
mended, keeps the letters within their space, asks gateways for what is missing, and sends them their configuration. All
of it may be done twice, by two keepers, or later: nothing in the way of a reading waits for it. Whatever goes wrong is
logged and tried again; it never takes the worker along.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, Final

from hanlu.core.clock import Clock
from hanlu.core.errors import TransientError
from hanlu.core.observe import log
from hanlu.db.pool import translated
from hanlu.db.queries import load_queries
from hanlu.ingest.configure import send_configurations
from hanlu.ingest.directory import Directory, Snapshot
from hanlu.ingest.gaps import Post, ask_for_births, ask_for_gaps, close_replaced
from hanlu.ingest.keeper_config import KeeperConfig
from hanlu.ingest.letter_space import hold_space
from hanlu.ingest.letters import Replayer
from hanlu.ingest.replay import AUTOMATIC, cause

__all__ = ["Keeper", "keeping"]

_log = logging.getLogger(__name__)

_BY: Final = "keeper"
_REASONS: Final = sorted(AUTOMATIC)
_RETRY_MAX_S: Final = 30.0
_BIRTHS: Final = 50
"""Births held against the registry in one round."""


class Keeper:
    """Owns a connection; not for several threads."""

    def __init__(self, config: KeeperConfig, database_url: str, clock: Clock, post: Post) -> None:
        """Start with nothing seen.

        Args:
            config: how often and how much.
            database_url: libpq URL; never logged.
            clock: the platform's.
            post: takes commands to gateways.
        """
        self._post = post
        self._config = config
        self._clock = clock
        self._queries = load_queries("hanlu.ingest")
        self._replayer = Replayer(database_url, config.unapproved_channels)
        self._directory = Directory(clock, config.registry_s, min(config.registry_s, config.poll_s))
        self._swept: dict[str, object] = {}
        self._sweeping: dict[str, tuple[object, int]] = {}

    def close(self) -> None:
        """Let the connection go."""
        self._replayer.close()

    def run(self, stop: threading.Event) -> None:
        """Go round until `stop`."""
        pause = self._config.poll_s
        while not stop.wait(pause):
            try:
                busy = self.round()
                pause = 0.0 if busy else self._config.poll_s
            except TransientError as away:
                pause = min(max(2 * pause, self._config.poll_s), _RETRY_MAX_S)
                log(_log, logging.WARNING, "ingest.keeper.waits", str(away), retry_s=pause)
            except Exception:  # noqa: BLE001 - see below
                # Whatever is wrong with the house must not stop the readings: said loudly, tried again.
                pause = _RETRY_MAX_S
                _log.exception("the keeper failed", extra={"action": "ingest.keeper.failed", "fields": {}})
                self._replayer.close()

    def round(self) -> bool:
        """Do what there is to do and tell whether there is more of it at once.

        Raises:
            TransientError: the database is away.
        """
        with translated():
            connection = self._replayer.connection
            most = self._config.round_letters
            new = connection.execute(self._queries["new_letters"], {"most": most}).fetchall()
            births = connection.execute(self._queries["new_births"], {"most": _BIRTHS}).fetchall()
            rows = connection.execute(self._queries["waiting_gateways"], {"reasons": _REASONS})
            waiting = [code for (code,) in rows]
            hold_space(self._replayer, self._config)
            self._see_to_gaps()
            if not (new or births or waiting):
                return False
            self._directory.refresh(connection, missed=bool(new or births))
            self._note_births(births)
            for (dead_letter_id,) in new:
                if not self._tried(self._replayer.look_at, dead_letter_id):
                    # It would come first in every round, before all the others.
                    connection.execute(self._queries["note_letter"], {"dead_letter_id": dead_letter_id})
            unfinished = self._sweep(waiting, most - len(new))
            connection.execute(self._queries["forget_approved"])
        return unfinished or len(new) == most

    def _tried(self, attempt: Callable[[int, Snapshot, int, str], object], dead_letter_id: int) -> bool:
        """Try a letter, and tell whether that went through: one that cannot be dealt with must not stop the others."""
        try:
            attempt(dead_letter_id, self._directory.snapshot, self._clock.now_ms(), _BY)
        except TransientError:
            raise
        except Exception:  # noqa: BLE001 - see above
            fields = {"dead_letter_id": dead_letter_id}
            _log.exception("a dead letter failed", extra={"action": "ingest.letter.failed", "fields": fields})
            return False
        return True

    def _see_to_gaps(self) -> None:
        connection = self._replayer.connection
        close_replaced(connection, self._queries, self._config)
        ask_for_gaps(connection, self._queries, self._config, self._post)
        ask_for_births(connection, self._queries, self._config, self._post)
        send_configurations(connection, self._queries, self._config, self._post)

    def _note_births(self, births: Sequence[tuple[int, list[dict[str, Any]] | None, str]]) -> None:
        """List the channels that gateways announce and the registry does not know."""
        connection = self._replayer.connection
        names = {each.gateway_id: each.channels for each in self._directory.snapshot.gateways.values()}
        for gateway_id, channels, birth_md5 in births:
            known = names.get(gateway_id)
            if known is None:
                continue  # registered a moment ago: the next reading of the registry has it
            unknown = {each["name"]: each for each in channels or () if each["name"] not in known}
            with connection.transaction():
                connection.execute(
                    self._queries["add_announced"],
                    {
                        "gateway_id": gateway_id,
                        "names": list(unknown),
                        "units": [each["unit"] for each in unknown.values()],
                        "periods": [each["period_s"] for each in unknown.values()],
                        "most": self._config.unapproved_channels,
                    },
                )
                connection.execute(self._queries["note_birth"], {"gateway_id": gateway_id, "birth_md5": birth_md5})

    def _sweep(self, waiting: Iterable[str], most: int) -> bool:
        """Replay the letters of gateways of which the registry says something else than when they were last tried."""
        connection, snapshot = self._replayer.connection, self._directory.snapshot
        for code in waiting:
            present = cause(snapshot.gateways.get(code))
            if present is None or self._swept.get(code) == present:
                continue
            if most <= 0:
                return True
            at, after = self._sweeping.get(code, (present, 0))
            after = after if at == present else 0
            rows = connection.execute(
                self._queries["waiting_letters"], {"gateway": code, "reasons": _REASONS, "after": after, "most": most}
            ).fetchall()
            for (dead_letter_id,) in rows:
                self._tried(self._replayer.replay, dead_letter_id)
            if len(rows) < most:
                self._swept[code] = present
                self._sweeping.pop(code, None)
                if rows:
                    log(
                        _log,
                        logging.INFO,
                        "ingest.letters.replayed",
                        "tried a gateway's dead letters again",
                        gateway=code,
                    )
            else:
                self._sweeping[code] = (present, rows[-1][0])
                return True
            most -= len(rows)
        return False


@contextmanager
def keeping(config: KeeperConfig, database_url: str, clock: Clock, post: Post) -> Iterator[None]:
    """Run a keeper for the time of the block; `post` takes its commands to gateways."""
    if not config.enabled:
        yield
        return
    stop = threading.Event()
    with closing(Keeper(config, database_url, clock, post)) as keeper:
        thread = threading.Thread(target=keeper.run, args=(stop,), name="keeper")
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
