"""What the connections of all rooms have in common, on a real server."""

from __future__ import annotations

import time

import pytest
from fix_ingest import Platform
from psycopg.conninfo import make_conninfo

from hanlu.core.errors import TransientError
from hanlu.db.pool import connect, open_pool, translated

pytestmark = pytest.mark.postgres


def test_transaction_left_open_is_ended_by_the_server_before_it_holds_followers_up(platform: Platform) -> None:
    connection = connect(platform.url, "hanlu_ingest", name="test", statement_timeout_ms=100)
    connection.execute("SELECT 1")
    time.sleep(0.5)
    with pytest.raises(TransientError), translated():
        connection.execute("SELECT 1")
    connection.close()


@pytest.mark.parametrize(("server", "ours"), [("off", "on"), ("remote_write", "remote_write"), ("on", "on")])
def test_commit_of_a_room_waits_for_the_flush_whatever_the_server_says(
    platform: Platform, server: str, ours: str
) -> None:
    """Or a receipt could promise what a power cut undoes."""
    url = make_conninfo(platform.url, options=f"-c synchronous_commit={server}")
    with connect(url, "hanlu_ingest", name="test") as connection:
        assert connection.execute("SHOW synchronous_commit").fetchone() == (ours,)
    with open_pool(url, "hanlu_trace", name="test", max_size=1) as pool, pool.connection() as connection:
        assert connection.execute("SHOW synchronous_commit").fetchone() == (ours,)
