"""How the commands over dead letters reach the database."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import closing, contextmanager

from hanlu.app.running import settings_of_running
from hanlu.app.settings import Settings
from hanlu.app.wiring import database_url
from hanlu.db.pool import Connection, connect

__all__ = ["letters_connection", "letters_url"]


def letters_url(args: argparse.Namespace, settings: Settings) -> str:
    """Return the URL of the database: of the settings file named, or of the Hanlu that runs on the data folder.

    Raises:
        UsageError: there is neither.
    """
    return database_url(settings if args.config else settings_of_running(settings))


@contextmanager
def letters_connection(args: argparse.Namespace, settings: Settings) -> Iterator[Connection]:
    """Open a connection in the role of ingest, in autocommit, for the time of the block."""
    url = letters_url(args, settings)
    with closing(connect(url, "hanlu_ingest", name="hanlu letters", autocommit=True)) as connection:
        yield connection
