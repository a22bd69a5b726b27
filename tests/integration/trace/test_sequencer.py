"""The log's writer on a real database: chains, curves, bundles, damage found, crashes survived."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fix_trace import BOX_OF_PEACHES, CHANNEL, HOUR, MINUTE, PEACH, T0, Ledger, Orchard, amount, event, lot

from hanlu.core.clock import ManualClock
from hanlu.core.errors import ConflictError, FatalError, NotFoundError
from hanlu.trace.bundle_service import lot_bundle
from hanlu.trace.config import CurveConfig
from hanlu.trace.log.inception import create_log, log_key
from hanlu.trace.log.sequencer import append
from hanlu.trace.log.verify import verify_bundle

pytestmark = pytest.mark.postgres

A, B, C = lot("A"), lot("B"), lot("C")


def _made(uri: str, hours: float = 0, to: str = "field") -> dict[str, Any]:
    return event(ms=T0 + round(hours * HOUR), step="commissioning", to=to, action="ADD", quantityList=[amount(uri, 9)])


def _seen(uri: str, hours: float, to: str = "room") -> dict[str, Any]:
    return event(ms=T0 + round(hours * HOUR), step="storing", to=to, quantityList=[{"epcClass": uri}])


def _joined(hours: float = 3) -> dict[str, Any]:
    return event(
        "TransformationEvent",
        ms=T0 + round(hours * HOUR),
        step="commissioning",
        to="room",
        inputQuantityList=[amount(A, 1), amount(B, 1)],
        outputQuantityList=[amount(C, 2)],
    )


def _bundle(ledger: Ledger, uri: str = A) -> dict[str, Any]:
    with ledger.orchard.connect() as connection:
        return json.loads(json.dumps(lot_bundle(connection, uri)))  # type: ignore[no-any-return]


def test_event_gets_one_leaf_in_the_chain_of_each_lot_it_touches(ledger: Ledger) -> None:
    ledger.orchard.capture(_made(A), _made(B), _joined())
    done = ledger.append()
    assert done is not None
    assert (done.leaves, done.size) == (5, 5)
    chains = ledger.orchard.query(
        "SELECT lot_uri, array_agg(lot_counter ORDER BY leaf_index) FROM trace.leaf GROUP BY 1 ORDER BY 1"
    )
    assert chains == [(A, [1, 2]), (B, [1, 2]), (C, [1])]
    assert ledger.findings() == []
    assert ledger.append() == type(done)(0, 5)
    assert ledger.orchard.query("SELECT count(*) FROM trace.checkpoint") == [(1,)]


def test_bundle_of_a_lot_passes_the_verifier_and_a_changed_byte_does_not(ledger: Ledger) -> None:
    ledger.orchard.capture(_made(A), _made(B), _joined())
    ledger.append()
    ledger.orchard.capture(_seen(A, 5))
    ledger.append()
    bundle = _bundle(ledger)
    assert [item["leaf"]["n"] for item in bundle["items"]] == [1, 2, 3]
    assert verify_bundle(bundle, trusted_key=bundle["key"]).verdict in {"ok", "unknown"}
    assert not [check for check in verify_bundle(bundle).checks if check.state == "failed"]
    bundle["items"][1]["document"]["eventTime"] = "2020-01-01T00:00:00Z"
    assert verify_bundle(bundle).verdict == "failed"


def test_bundle_without_the_newest_leaf_fails_its_head(ledger: Ledger) -> None:
    ledger.orchard.capture(_made(A), _seen(A, 5))
    ledger.append()
    bundle = _bundle(ledger)
    bundle["items"].pop()
    assert verify_bundle(bundle).verdict == "failed"


def test_lot_without_leaves_has_no_bundle(ledger: Ledger) -> None:
    with pytest.raises(NotFoundError):
        _bundle(ledger, lot("nobody"))


def test_log_larger_than_a_tile_keeps_roots_paths_and_tiles_right(ledger: Ledger) -> None:
    for batch in range(6):
        ledger.orchard.capture(*(_made(lot(f"L{batch}-{number}")) for number in range(97)), _seen(A, batch))
        while (done := ledger.append(most=60)) is not None and done.leaves:
            pass
    assert ledger.orchard.query("SELECT count(*) FROM trace.leaf") == [(588,)]
    widths = ledger.orchard.query("SELECT level, tile_index, width FROM trace.tile ORDER BY 1, 2")
    assert widths == [(0, 0, 256), (0, 1, 256), (0, 2, 76), (1, 0, 2)]
    assert ledger.findings() == []
    assert verify_bundle(_bundle(ledger)).verdict != "failed"


def _room(ledger: Ledger, minutes: range, value: float = 4.0) -> None:
    ledger.orchard.measure(CHANNEL["room"], [(T0 + each * MINUTE, value) for each in minutes])
    ledger.follow()


def _pieces(ledger: Ledger) -> list[tuple[Any, ...]]:
    return ledger.orchard.query(
        "SELECT revision, point_count, (extract(epoch FROM from_at) * 1000)::bigint,"
        " (extract(epoch FROM to_at) * 1000)::bigint FROM trace.curve_chunk ORDER BY bucket_at, event_id, revision"
    )


def test_curve_is_cut_at_clock_hours_and_at_the_bounds_of_custody(ledger: Ledger) -> None:
    # T0 is 15:06:40: the lot is in the room from 15:16:40, the first piece ends at 16:00.
    ledger.orchard.capture(_seen(A, 1 / 6))
    _room(ledger, range(120))
    ledger.append()
    first_hour = T0 - T0 % HOUR + HOUR
    assert _pieces(ledger) == [
        (1, 44, T0 + 10 * MINUTE, first_hour - 1),
        (1, 60, first_hour, first_hour + HOUR - 1),
    ]  # the third hour goes on
    bundle = _bundle(ledger)
    curves = [item["document"] for item in bundle["items"] if item["leaf"]["kind"] == "curve"]
    assert [document["channel"] for document in curves] == ["gw-store/room-1/air_temperature"] * 2
    assert curves[0]["custodyFrom"] == bundle["items"][0]["leaf"]["cbv"]
    assert verify_bundle(bundle).verdict != "failed"
    assert ledger.findings() == []


def test_late_reading_makes_a_higher_revision_and_a_repeated_one_none(ledger: Ledger) -> None:
    ledger.orchard.capture(_seen(A, 0))
    _room(ledger, range(30))
    _room(ledger, range(40, 60))
    ledger.append()
    assert [row[:2] for row in _pieces(ledger)] == [(1, 44)]
    _room(ledger, range(28, 42))
    ledger.append()
    assert [row[:2] for row in _pieces(ledger)] == [(1, 44), (2, 54)]
    _room(ledger, range(54))  # all known: nothing is stored, nothing arrives
    done = ledger.append()
    assert done is not None
    assert done.leaves == 0
    assert ledger.findings() == []


def test_custody_taken_back_empties_its_pieces(ledger: Ledger) -> None:
    wrong = _seen(A, 0)
    ledger.orchard.capture(wrong)
    _room(ledger, range(60))
    ledger.append()
    assert [row[:2] for row in _pieces(ledger)] == [(1, 54)]
    ledger.orchard.capture({**wrong, "errorDeclaration": {"declarationTime": "2025-06-16T00:00:00Z"}})
    ledger.append()
    assert [row[:2] for row in _pieces(ledger)] == [(1, 54), (2, 0)]
    assert ledger.findings() == []


def test_late_departure_shortens_the_piece_it_falls_into(ledger: Ledger) -> None:
    ledger.orchard.capture(_seen(A, 0))
    _room(ledger, range(60))
    ledger.append()
    ledger.orchard.capture(event(ms=T0 + 20 * MINUTE, step="shipping", quantityList=[{"epcClass": A}]))
    ledger.append()
    assert _pieces(ledger)[-1] == (2, 20, T0, T0 + 20 * MINUTE - 1)


def test_piece_of_a_silent_channel_is_taken_after_the_grace(ledger: Ledger) -> None:
    ledger.orchard.capture(_seen(A, 0))
    _room(ledger, range(50))
    ledger.append()
    assert _pieces(ledger) == []
    with psycopg.connect(ledger.orchard.url) as connection:
        connection.execute("UPDATE telemetry.latest SET received_at = to_timestamp(%s)", (T0 / 1000,))
    ledger.clock.advance(2 * 3600)
    ledger.append()
    assert [row[:2] for row in _pieces(ledger)] == [(1, 50)]


def test_log_is_created_once_and_on_purpose(orchard: Orchard, tmp_path: Path) -> None:
    orchard.capture(_made(A))
    with orchard.connect() as connection:
        with pytest.raises(NotFoundError):
            append(connection, Ed25519PrivateKey.generate(), CurveConfig(), ManualClock(T0), 10)
        made = create_log(connection, tmp_path / "k" / "log.key", created_by="zhou", now_ms=T0)
        assert made.origin.startswith("hanlu.local/log/")
        assert (tmp_path / "k" / "log.key").stat().st_mode & 0o777 == 0o600
        with pytest.raises(ConflictError):
            create_log(connection, tmp_path / "k" / "log.key", created_by="zhou", now_ms=T0)
        done = append(connection, log_key(tmp_path / "k" / "log.key"), CurveConfig(), ManualClock(T0), 10)
        assert done is not None
        assert done.size == 1
    assert orchard.query("SELECT origin, created_by FROM trace.log") == [(made.origin, "zhou")]


def test_foreign_key_signs_nothing(ledger: Ledger) -> None:
    ledger.orchard.capture(_made(A))
    ledger.key = Ed25519PrivateKey.generate()
    with pytest.raises(FatalError, match="split the log"):
        ledger.append()
    assert ledger.orchard.query("SELECT count(*) FROM trace.leaf") == [(0,)]


def test_second_writer_stands_aside(ledger: Ledger) -> None:
    ledger.orchard.capture(_made(A))
    with ledger.orchard.connect() as first, first.transaction():
        first.execute("SELECT pg_advisory_xact_lock(%s)", (0x4C4F47,))
        assert ledger.append() is None
    done = ledger.append()
    assert done is not None
    assert done.leaves == 1


DAMAGE: dict[str, tuple[str, str]] = {
    "leaf": ("UPDATE trace.leaf SET leaf = leaf || ' '::bytea WHERE leaf_index = 1", "leaf"),
    "leaf hash": ("UPDATE trace.leaf SET leaf_hash = sha256(leaf_hash) WHERE leaf_index = 1", "leaf"),
    "counter": ("UPDATE trace.leaf SET lot_counter = 7 WHERE leaf_index = 1", "leaf"),
    "lost leaf": ("DELETE FROM trace.leaf WHERE leaf_index = 1", "missing"),
    "document": (
        "UPDATE trace.event SET canonical = replace(convert_from(canonical, 'UTF8'), 'ADD', 'OBSERVE')::bytea",
        "document",
    ),
    "shown document": ('UPDATE trace.event SET document = document || \'{"action": "DELETE"}\'', "event"),
    "tile": ("UPDATE trace.tile SET hashes = overlay(hashes PLACING '\\x00' FROM 40)", "tile"),
    "lost tile": ("DELETE FROM trace.tile", "missing"),
    "root": ("UPDATE trace.checkpoint SET root_hash = sha256(root_hash)", "checkpoint"),
    "signature": (
        "UPDATE trace.checkpoint SET note = overlay(note PLACING 'AAAA' FROM length(note) - 20)",
        "signature",
    ),
    "lost checkpoint": ("DELETE FROM trace.checkpoint", "checkpoint"),
    "forgotten event": ("DELETE FROM trace.leaf WHERE leaf_index = 4", "missing"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_fsck_names_each_kind_of_damage(ledger: Ledger, kind: str) -> None:
    ledger.orchard.capture(_made(A), _made(B), _joined())
    ledger.append()
    assert ledger.findings() == []
    statement, code = DAMAGE[kind]
    ledger.orchard.query(statement)
    found = ledger.findings()
    assert code in {finding.code for finding in found}, found


def test_damaged_log_gets_no_further_leaf(ledger: Ledger) -> None:
    ledger.orchard.capture(_made(A), _made(B))
    ledger.append()
    ledger.orchard.query("UPDATE trace.tile SET hashes = overlay(hashes PLACING '\\x00' FROM 40)")
    ledger.orchard.capture(_made(C))
    with pytest.raises(FatalError, match="fsck"):
        ledger.append()
    assert ledger.orchard.query("SELECT count(*) FROM trace.leaf") == [(2,)]


class _Falling(psycopg.Cursor[Any]):
    """A cursor that dies at its n-th statement: before it is sent, or after the server has done it."""

    fall_at = 0
    kept = False
    count = 0

    def _step(self, run: Callable[[], Any]) -> Any:
        _Falling.count += 1
        if _Falling.count == _Falling.fall_at and not _Falling.kept:
            raise psycopg.OperationalError("cut before")
        result = run()
        if _Falling.count == _Falling.fall_at:
            raise psycopg.OperationalError("cut after")
        return result

    def execute(self, *args: Any, **more: Any) -> Any:
        return self._step(lambda: super(_Falling, self).execute(*args, **more))

    def executemany(self, *args: Any, **more: Any) -> Any:
        return self._step(lambda: super(_Falling, self).executemany(*args, **more))


def _append_falling(ledger: Ledger, at: int, kept: bool) -> bool:
    """Append on a connection that dies at statement `at`; return whether it got that far."""
    _Falling.fall_at, _Falling.kept, _Falling.count = at, kept, 0
    connection = ledger.orchard.connect()
    connection.cursor_factory = _Falling
    try:
        ledger.append(connection=connection)
    except psycopg.OperationalError:
        return True
    finally:
        connection.close()
    return False


@pytest.mark.parametrize("kept", [False, True], ids=["not kept", "kept"])
def test_writer_that_dies_at_any_statement_leaves_a_whole_log_and_loses_nothing(ledger: Ledger, kept: bool) -> None:
    ledger.orchard.capture(_made(A), _seen(A, 0.1))
    ledger.append()
    step, fell = 0, True
    while fell:
        step += 1
        ledger.orchard.capture(_made(lot(f"N{step}")), _seen(A, 1 + step))
        _room(ledger, range(60 * step - 60, 60 * step))
        before = ledger.orchard.query("SELECT max(tree_size) FROM trace.checkpoint")
        fell = _append_falling(ledger, step, kept)
        if fell:
            assert ledger.orchard.query("SELECT max(tree_size) FROM trace.checkpoint") == before
            assert ledger.findings() == []
            done = ledger.append()
            assert done is not None
            assert done.leaves >= 2
        assert ledger.findings() == []
    assert step > 10  # the walk went through every statement of the writer
    assert ledger.orchard.query("SELECT count(*) FROM trace.unsequenced") == [(0,)]
    assert verify_bundle(_bundle(ledger)).verdict != "failed"


class _Deaf(psycopg.Connection[Any]):
    """A connection that never hears the answer to a commit."""

    @contextmanager
    def transaction(self, *args: Any, **more: Any) -> Iterator[psycopg.Transaction]:
        with super().transaction(*args, **more) as inner:
            yield inner
        raise psycopg.OperationalError("the answer never came")


def test_commit_whose_answer_is_lost_is_found_kept_and_not_repeated(ledger: Ledger) -> None:
    ledger.orchard.capture(_made(A))
    with _Deaf.connect(ledger.orchard.url, autocommit=True) as deaf, pytest.raises(psycopg.OperationalError):
        ledger.append(connection=deaf)
    done = ledger.append()
    assert done is not None
    assert (done.leaves, done.size) == (0, 1)
    assert ledger.findings() == []


def test_curve_commits_the_first_reading_of_each_minute(ledger: Ledger) -> None:
    ledger.orchard.capture(_seen(A, 0))
    minute = T0 - T0 % MINUTE + MINUTE
    ledger.orchard.measure(CHANNEL["room"], [(minute + 5_000 * step, 4 + step / 100) for step in range(12 * 60)])
    ledger.follow()
    ledger.append()
    (document,) = (item["document"] for item in _bundle(ledger)["items"] if item["leaf"]["kind"] == "curve")
    assert document["points"] == [[minute + MINUTE * step, 4 + 12 * step / 100] for step in range(53)]


def test_goods_kept_at_any_temperature_have_no_curve_in_the_log(ledger: Ledger) -> None:
    ledger.orchard.query(
        "INSERT INTO registry.limit_profile (code, effective_from, metric, source)"
        " VALUES ('ambient', '2020-01-01', 'air_temperature', 'test')"
    )
    ledger.orchard.query("UPDATE registry.product SET limit_profile_code = 'ambient' WHERE gtin = %s", PEACH)
    ledger.orchard.capture(_seen(A, 0), _seen(lot("G", BOX_OF_PEACHES), 0))
    _room(ledger, range(120))
    ledger.append()
    assert ledger.orchard.query("SELECT DISTINCT lot_uri FROM trace.curve_chunk") == [(lot("G", BOX_OF_PEACHES),)]
