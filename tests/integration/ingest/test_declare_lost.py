"""`hanlu gateways declare-lost`: a gateway that burnt leaves a balanced account with a reason, and no gap."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fix_edge import NOON_MS, Edge, Message, temperature
from fix_ingest import Platform

from hanlu.app import cli
from hanlu.db.queries import load_queries
from hanlu.ingest.decode import decode
from hanlu.ingest.directory import read_snapshot
from hanlu.ingest.gaps import close_replaced
from hanlu.ingest.keeper_config import KeeperConfig
from hanlu.ingest.writer import Writer

pytestmark = pytest.mark.postgres

OUTSTANDING = "SELECT outstanding, lost FROM telemetry.gateway_account"


class Burnt:
    """A platform whose gateway sent six messages of two readings, of which three arrived."""

    def __init__(self, platform: Platform, settings: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.platform, self._settings, self._capture = platform, settings, capture
        edge = Edge()
        platform.register(edge)
        self.writer = Writer(platform.url)
        self.sent = [edge.readings([temperature(4, NOON_MS - i * 9 - j) for j in range(2)]) for i in range(6)]
        self.take(self.sent[0], self.sent[2], self.sent[5])

    def take(self, *messages: Message) -> None:
        snapshot = read_snapshot(self.writer.connection)
        self.writer.commit([decode(*message, NOON_MS, snapshot) for message in messages])

    def type(self, *words: str) -> tuple[int, str, str]:
        """Return exit code, output and complaints."""
        self._capture.readouterr()
        code = cli.main(["gateways", "declare-lost", *words, "--config", str(self._settings)])
        shown = self._capture.readouterr()
        return code, shown.out, shown.err


@pytest.fixture
def burnt(one_platform: Platform, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Burnt]:
    settings = tmp_path / "hanlu.json"
    settings.write_text(json.dumps({"database": {"url": one_platform.url}, "data": {"folder": str(tmp_path)}}))
    burnt = Burnt(one_platform, settings, capsys)
    yield burnt
    burnt.writer.close()


def test_without_yes_it_shows_what_is_missing_and_changes_nothing(burnt: Burnt) -> None:
    code, out, err = burnt.type("gw-1")
    assert code == 1
    assert "3 messages with 6 readings missing" in out
    assert "--yes" in err
    assert burnt.platform.rows(OUTSTANDING) == [(6, 0)]
    assert burnt.platform.one("SELECT count(*) FROM telemetry.gap_v") == 2


def test_with_yes_the_account_balances_the_gap_closes_and_the_audit_tells_why(burnt: Burnt) -> None:
    code, out, _ = burnt.type("gw-1", "--reason", "flooded", "--yes", "--json")
    assert code == 0
    ((one),) = json.loads(out)
    assert (one["messages"], one["readings"], one["declared_lost"]) == (3, 6, True)
    assert burnt.platform.rows(OUTSTANDING) == [(0, 6)]
    assert burnt.platform.rows("SELECT FROM telemetry.gap_v") == [], "so its alarm returns"
    ((action, subject, detail),) = burnt.platform.rows("SELECT action, subject, detail FROM registry.audit")
    assert (action, subject) == ("registry.gateway.lost", "gw-1")
    assert detail == {"reason": "flooded", "readings": 6, "at_the_machine": True}
    ((reason, done_by),) = burnt.platform.rows("SELECT reason, done_by FROM telemetry.epoch_closed")
    assert reason == "flooded"
    assert done_by
    assert burnt.type("gw-1", "--yes") == (0, "nothing is missing of gateway gw-1\n", "")
    assert burnt.platform.one("SELECT count(*) FROM registry.audit") == 1


def test_disk_found_in_the_rubble_is_taken_and_the_account_corrected(burnt: Burnt) -> None:
    burnt.type("gw-1", "--yes")
    burnt.take(*burnt.sent)
    close_replaced(burnt.writer.connection, load_queries("hanlu.ingest"), KeeperConfig())
    assert burnt.platform.rows(OUTSTANDING) == [(0, 0)]
    assert burnt.platform.one("SELECT count(*) FROM telemetry.reading") == 12


@pytest.mark.parametrize(("words", "code"), [(["gw-9"], 1), (["gw-9", "--yes"], 1), (["gw-1", "--reason", "No!"], 2)])
def test_wrong_use_is_refused(burnt: Burnt, words: list[str], code: int) -> None:
    assert burnt.type(*words, "--yes")[0] == code
    assert burnt.platform.rows(OUTSTANDING) == [(6, 0)]
