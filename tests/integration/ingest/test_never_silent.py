"""A database that leaves rows out without a word, and a message that is refused for ever: neither loses anything."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from fix_edge import NOON_MS, Edge, temperature
from fix_ingest import Platform

from hanlu.app.settings import BrokerSettings
from hanlu.core.errors import TransientError
from hanlu.db.migrate import discover
from hanlu.ingest.decode import decode
from hanlu.ingest.directory import read_snapshot
from hanlu.ingest.letters import Replayer
from hanlu.ingest.writer import Writer

pytestmark = pytest.mark.postgres

_LEAVES_OUT = """
CREATE SEQUENCE telemetry.left_out;
GRANT USAGE ON SEQUENCE telemetry.left_out TO PUBLIC;
CREATE FUNCTION telemetry.leave_out() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.value = -30 AND nextval('telemetry.left_out') <= {times} THEN RETURN NULL; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER leave_out BEFORE INSERT ON telemetry.reading FOR EACH ROW EXECUTE FUNCTION telemetry.leave_out();
"""


@pytest.fixture
def edge(platform: Platform) -> Edge:
    edge = Edge()
    platform.register(edge)
    return edge


@contextmanager
def leaving_out(platform: Platform, times: int) -> Iterator[None]:
    """Make the database leave out readings of -30 so many times, as one that stops at its first conflict does."""
    platform.execute(_LEAVES_OUT.format(times=times))
    yield
    platform.execute("DROP TRIGGER leave_out ON telemetry.reading")


def test_rows_the_database_leaves_out_without_a_word_are_offered_again(platform: Platform, edge: Edge) -> None:
    writer = Writer(platform.url)
    snapshot = read_snapshot(writer.connection)
    known = [temperature(-18, NOON_MS - i) for i in range(5)]
    fresh = [temperature(-30, NOON_MS - 100 - i) for i in range(5)]
    writer.commit([decode(*edge.readings(known), NOON_MS, snapshot)])
    with leaving_out(platform, 5):
        writer.commit([decode(*edge.readings([*known, *fresh]), NOON_MS, snapshot)])
    writer.close()
    account = platform.account(edge)
    assert (account["stored"], account["duplicate"], account["produced"]) == (10, 5, 15)
    assert platform.one("SELECT count(*) FROM telemetry.reading WHERE value = -30") == 5
    platform.check()


@pytest.mark.parametrize("count", [5, 200])
def test_batch_of_which_the_database_will_not_take_a_row_is_not_committed_and_comes_again(
    platform: Platform, edge: Edge, count: int
) -> None:
    writer = Writer(platform.url)
    snapshot = read_snapshot(writer.connection)
    outcome = decode(*edge.readings([temperature(-30, NOON_MS - i) for i in range(count)]), NOON_MS, snapshot)
    with leaving_out(platform, 1_000_000):
        with pytest.raises(TransientError, match="neither stored nor showed"):
            writer.commit([outcome])
        assert platform.account(edge) == {}
        assert platform.one("SELECT count(*) FROM telemetry.arrival") == 0
    (committed,) = writer.commit([outcome])
    writer.close()
    assert committed.standing.watermark == 1
    assert platform.account(edge)["stored"] == count
    platform.check()


def test_letter_refused_again_and_again_keeps_its_bytes_and_holds_up_nobody(one_platform: Platform) -> None:
    platform, edge = one_platform, Edge()
    platform.register(edge)
    writer, replayer = Writer(platform.url), Replayer(one_platform.url, 10)
    snapshot = read_snapshot(writer.connection)
    poison = edge.readings([temperature(500, NOON_MS), temperature(-18, NOON_MS)])
    writer.commit([decode(*poison, NOON_MS, snapshot)])
    letter_id = platform.one("SELECT dead_letter_id FROM telemetry.dead_letter")
    for step in range(30):
        assert replayer.replay(letter_id, snapshot, NOON_MS + step, "li") != "replayed"
        (committed,) = writer.commit(
            [decode(*edge.readings([temperature(-18, NOON_MS + 1 + step)]), NOON_MS, snapshot)]
        )
        assert committed.standing.watermark == 2 + step
    replayer.close()
    writer.close()
    assert platform.rows("SELECT body, reading_count FROM telemetry.dead_letter WHERE resolved_at IS NULL") == [
        (poison[1], 1)
    ]
    account = platform.account(edge)
    assert (account["produced"], account["stored"], account["dead"]) == (32, 31, 1)
    platform.check()


def test_readings_are_compressed_long_after_the_longest_outage_has_come_home() -> None:
    """Late rows into compressed chunks are slow everywhere and were lost somewhere: ours come before."""
    text = next(each for each in discover("ingest", "repeatable") if each.name == "0001_hypertable.sql").text
    (days,) = re.findall(r"add_compression_policy\([^;]*INTERVAL ''(\d+) days''", text)
    assert timedelta(days=int(days)) >= 4 * timedelta(hours=72)
    assert timedelta(days=int(days)) >= timedelta(days=BrokerSettings().session_expiry_days)
