"""What the connections of all rooms have in common, on a real server."""

from __future__ import annotations

import time

import pytest
from fix_ingest import Platform

from hanlu.core.errors import TransientError
from hanlu.db.pool import connect, translated

pytestmark = pytest.mark.postgres


def test_transaction_left_open_is_ended_by_the_server_before_it_holds_followers_up(platform: Platform) -> None:
    connection = connect(platform.url, "hanlu_ingest", name="test", statement_timeout_ms=100)
    connection.execute("SELECT 1")
    time.sleep(0.5)
    with pytest.raises(TransientError), translated():
        connection.execute("SELECT 1")
    connection.close()
