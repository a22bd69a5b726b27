"""Everything on record outlives a restart, the chain included, and the killing of every process while it runs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fix_running import RunningHanlu, running_hanlu
from fix_services import temporary_folder, wait_until
from fix_trace import amount, event, lot
from fix_visitor import visiting
from psycopg.rows import dict_row

from hanlu.trace.anchor.web3_chain import ask_anchor
from hanlu.trace.log.checkpoint import parse_signed_checkpoint
from hanlu.trace.log.merkle import MemoryTree, verify_consistency
from hanlu.trace.log.store import log_identity

pytestmark = [pytest.mark.postgres, pytest.mark.broker, pytest.mark.chain, pytest.mark.slow]

QUICK = {"HANLU_CHAIN__ANCHOR_EVERY_S": "2"}
"""An anchor every two seconds instead of every minute, so that both runs make some."""
GROWN_S = 60.0
COUNTED = (
    "telemetry.reading", "telemetry.arrival", "trace.event", "trace.leaf", "trace.checkpoint", "trace.anchor",
    "alerts.journal", "registry.channel", "registry.audit",
)  # fmt: skip
ROLES = ("ingest", "alerts", "trace", "web", "simulator")


@dataclass(frozen=True, slots=True)
class Record:
    """What a running system has on record.

    Attributes:
        counts: rows by table.
        origin: of the log.
        checkpoint: the newest, size, root and signed note.
        anchors: the final ones, by tree size.
    """

    counts: dict[str, int]
    origin: str
    checkpoint: tuple[int, bytes, str]
    anchors: dict[int, dict[str, Any]]


@pytest.fixture
def folder() -> Iterator[Path]:
    with temporary_folder() as made:
        yield made / "data"


def rows(hanlu: RunningHanlu, statement: str) -> list[dict[str, Any]]:
    with psycopg.connect(hanlu.database_url, row_factory=dict_row) as connection:
        return connection.execute(statement).fetchall()  # type: ignore[arg-type]


def record(hanlu: RunningHanlu) -> Record:
    """Read what is on record, in one snapshot."""
    tables = ", ".join(f'(SELECT count(*) FROM {table}) AS "{table}"' for table in COUNTED)
    with psycopg.connect(hanlu.database_url, row_factory=dict_row) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        counts = connection.execute(f"SELECT {tables}").fetchone()
        [log] = connection.execute("SELECT origin FROM trace.log").fetchall()
        newest = connection.execute(
            "SELECT tree_size, root_hash, note FROM trace.checkpoint ORDER BY tree_size DESC LIMIT 1"
        ).fetchone()
        anchors = connection.execute(
            "SELECT tree_size, root_hash, seq, mined_tx, contract, chain_id FROM trace.anchor AS a"
            " JOIN trace.chain AS c USING (chain_no) WHERE a.state = 'final'"
        ).fetchall()
    assert counts is not None
    assert newest is not None
    checkpoint = (newest["tree_size"], bytes(newest["root_hash"]), newest["note"])
    return Record(dict(counts), log["origin"], checkpoint, {each["tree_size"]: each for each in anchors})


def await_anchor(hanlu: RunningHanlu, beyond: int) -> None:
    """Wait until readings have come in and the chain holds a final anchor of more than `beyond` leaves."""

    def is_there() -> bool:
        now = record(hanlu) if rows(hanlu, "SELECT FROM trace.checkpoint LIMIT 1") else None
        return now is not None and now.counts["telemetry.reading"] > 0 and any(size > beyond for size in now.anchors)

    wait_until(is_there, f"an anchor beyond {beyond} leaves", GROWN_S)


def capture_event(hanlu: RunningHanlu, lot_number: str) -> None:
    """Record an event as the operator, so that the log grows whatever the simulated county has left to tell."""
    made = event(
        ms=time.time_ns() // 1_000_000, step="commissioning", action="ADD", quantityList=[amount(lot(lot_number), 5)]
    )
    with visiting(hanlu, "operator") as operator:
        headers = {"Content-Type": "application/json", "X-CSRF": operator.token(), "Accept": "application/json"}
        answer = operator.post("/api/epcis/events", content=json.dumps(made).encode(), headers=headers)
    assert answer.status_code == 201, answer.text


def assert_anchored(hanlu: RunningHanlu, anchor: dict[str, Any]) -> None:
    """Ask the chain itself what an anchor's transaction recorded."""
    url = hanlu.settings.chain.url
    assert url is not None
    said = ask_anchor(url, anchor["contract"], anchor["mined_tx"])
    assert (said.chain_id, said.seq, said.size) == (anchor["chain_id"], anchor["seq"], anchor["tree_size"])
    assert said.root == "0x" + bytes(anchor["root_hash"]).hex()


def assert_extends(hanlu: RunningHanlu, before: Record, after: Record) -> None:
    """The later checkpoint is the earlier one's log with more behind it, both signed by the same key."""
    with psycopg.connect(hanlu.database_url) as connection:
        identity = log_identity(connection)
        leaves = connection.execute("SELECT leaf_hash FROM trace.leaf ORDER BY leaf_index").fetchall()
    assert identity is not None
    for size, root, note in (before.checkpoint, after.checkpoint):
        signed = parse_signed_checkpoint(note)
        assert signed.signed_by(identity.key)
        assert (signed.checkpoint.size, signed.checkpoint.root) == (size, root)
    (old, old_root, _), (new, new_root, _) = before.checkpoint, after.checkpoint
    assert new > old
    path = MemoryTree(bytes(each) for (each,) in leaves).consistency_path(old, new)
    assert verify_consistency(old, new, old_root, new_root, path)


def assert_sound(hanlu: RunningHanlu) -> None:
    checked = hanlu.run("trace", "fsck")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def await_balance(hanlu: RunningHanlu) -> None:
    """Wait until every gateway's account closes: nothing on the way, nothing missing, nothing dead."""

    def balanced() -> bool:
        accounts = rows(hanlu, "SELECT * FROM telemetry.gateway_account")
        gaps = rows(hanlu, "SELECT * FROM telemetry.gap_v")
        return len(accounts) == 4 and not gaps and all(each["outstanding"] == each["dead"] == 0 for each in accounts)

    wait_until(balanced, "balanced accounts", GROWN_S)
    for each in rows(hanlu, "SELECT * FROM telemetry.gateway_account"):
        assert (
            each["produced"] == each["stored"] + each["duplicate"] + each["lost"] + each["dead"] + each["outstanding"]
        )


def test_restart_keeps_data_log_and_chain_and_goes_on_from_there(folder: Path) -> None:
    with running_hanlu(data=folder, environment=QUICK) as hanlu:
        assert set(hanlu.passwords) == {"operator", "inspector", "admin"}
        await_anchor(hanlu, beyond=0)
        first = record(hanlu)
        passwords = dict(hanlu.passwords)
    # Leaving the block has stopped it by SIGTERM and made sure that no process is left.
    with running_hanlu(data=folder, environment=QUICK) as hanlu:
        assert hanlu.passwords == {}
        assert "passwords" not in hanlu.output.read_text(encoding="utf-8")
        again = record(hanlu)
        assert again.origin == first.origin
        assert all(again.counts[table] >= count for table, count in first.counts.items()), (first, again)
        for anchor in first.anchors.values():
            assert_anchored(hanlu, anchor)
        hanlu.passwords.update(passwords)
        capture_event(hanlu, "AFTER-RESTART")
        await_anchor(hanlu, beyond=first.checkpoint[0])
        later = record(hanlu)
        assert_extends(hanlu, first, later)
        assert_anchored(hanlu, later.anchors[max(later.anchors)])
        assert len(rows(hanlu, "SELECT FROM trace.chain")) == 1  # no second contract was needed
        await_balance(hanlu)
        assert_sound(hanlu)


def test_every_role_killed_once_comes_back_and_no_reading_is_missing(folder: Path) -> None:
    with running_hanlu(data=folder, environment=QUICK) as hanlu:
        await_anchor(hanlu, beyond=0)
        before = record(hanlu)
        killed = {role: hanlu.kill(role) for role in ROLES}
        for role, pid in killed.items():
            wait_until(lambda role=role, pid=pid: hanlu.pid(role) != pid, f"{role} back", 60)
        capture_event(hanlu, "AFTER-KILLS")
        await_anchor(hanlu, beyond=before.checkpoint[0])
        await_balance(hanlu)
        assert_extends(hanlu, before, record(hanlu))
        assert_sound(hanlu)
        starts = {name: one["starts"] for name, one in hanlu.status().items()}
        assert {role: starts[role] for role in ROLES} == dict.fromkeys(ROLES, 2)
        assert {starts[name] for name in starts.keys() - set(ROLES)} == {1}
