from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hanlu.core.clock import ManualClock
from hanlu.core.errors import TransientError
from hanlu.core.wire.documents import Birth, BirthChannel, Will
from hanlu.core.wire.envelope import ContentType, Envelope, digest, open_envelope
from hanlu.gateway.config import GatewayConfig, UplinkConfig
from hanlu.gateway.courier import Courier, Outgoing
from hanlu.gateway.item import Item, Kind
from hanlu.gateway.spool import Spool

BASE = "hanlu/1/07/gw-1/"


class Bench:
    """A courier on a real spool, with the clock in hand."""

    def __init__(self, folder: Path, **config: object) -> None:
        self.clock = ManualClock()
        self.config = GatewayConfig(code="gw-1", partition=7, data_dir=folder, **config)
        self.spool = Spool(self.config.spool_path, Ed25519PrivateKey.generate(), self.clock)
        self.courier = Courier(self.config, self.spool, self.clock, software="test", boot_ms=1)

    def append(self, *kinds: Kind) -> None:
        self.spool.append([Item(kind, ContentType.SENML_JSON, b"[]", 1) for kind in kinds or (Kind.READING,)])

    def sent(self, room: int = 1_000) -> list[tuple[str, int]]:
        out: list[Outgoing] = []
        while batch := self.courier.outgoing(room):
            out += batch
        return [(message.topic.removeprefix(BASE), header_of(message).seq) for message in out]

    def receipt(self, committed: int, missing: object = (), epoch: str = "", **more: object) -> None:
        document = {
            "epoch": epoch or self.spool.epoch.hex(), "committed": committed, "missing": missing,
            "now_ms": self.clock.now_ms() + 40,
        } | more  # fmt: skip
        self.hear("receipt", document)

    def hear(self, lane: str, document: object) -> None:
        self.courier.heard(BASE + lane, json.dumps(document).encode())
        self.courier.settle()


def header_of(message: Outgoing):
    envelope = open_envelope(message.payload)
    assert isinstance(envelope, Envelope)
    return envelope.header


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.spool.close()


def test_connection_begins_with_the_birth_then_live_then_backlog(bench):
    bench.append(Kind.READING, Kind.EVENT)
    (birth,) = bench.courier.connected()
    assert birth.topic == BASE + "birth"
    document = Birth.model_validate_json(open_envelope(birth.payload).payload)
    assert (document.gateway, document.replay, header_of(birth).seq) == ("gw-1", False, 3)
    bench.append(Kind.READING, Kind.EVENT)
    assert bench.sent() == [("live", 4), ("event", 5), ("backlog", 1), ("event", 2)]


def test_replaying_gateway_sends_in_order_on_the_live_lane(tmp_path):
    bench = Bench(tmp_path, replay=True)
    bench.append()
    (birth,) = bench.courier.connected()
    assert header_of(birth).replayed
    bench.append()
    assert bench.sent() == [("live", 1), ("birth", 2), ("live", 3)]
    bench.spool.close()


def test_receipt_deletes_and_nothing_else_does(bench):
    bench.courier.connected()
    bench.append()
    bench.append()
    bench.sent()
    assert bench.spool.stats().pending == 3
    bench.receipt(2)
    assert bench.spool.stats().pending == 1
    assert bench.courier.last_receipt_ms == bench.clock.now_ms()


@pytest.mark.parametrize(
    "document",
    [
        {"epoch": "00" * 16, "committed": 2, "now_ms": 1},
        {"epoch": "xyz", "committed": 2, "now_ms": 1},
        {"committed": 2},
        [],
        "nonsense",
        None,
    ],
)
def test_receipt_of_another_spool_or_none_at_all_deletes_nothing(bench, document):
    bench.courier.connected()
    bench.append()
    bench.sent()
    bench.hear("receipt", document)
    bench.courier.heard(BASE + "receipt", b"\xff" * 10)
    bench.courier.heard(BASE + "receipt", b"[" * 100_000)
    bench.courier.heard("hanlu/1/07/gw-2/receipt", b"{}")
    assert bench.spool.stats().pending == 2


def test_receipt_beyond_the_head_deletes_nothing_and_sends_all_in_a_new_epoch(bench, caplog):
    bench.courier.connected()
    bench.append(Kind.READING, Kind.EVENT)
    bench.sent()
    epoch = bench.spool.epoch
    bench.receipt(99)
    assert any(getattr(record, "action", "") == "gateway.receipt.ahead" for record in caplog.records)
    assert bench.spool.epoch != epoch
    assert bench.sent() == [("birth", 1), ("backlog", 2), ("event", 3)]
    bench.append()
    assert bench.sent() == [("live", 4)]
    bench.receipt(99, epoch=epoch.hex())
    assert bench.spool.stats().pending == 4
    bench.receipt(4)
    assert bench.spool.stats().pending == 0


def test_receipt_for_another_message_of_that_number_deletes_nothing_and_sends_all_in_a_new_epoch(bench, caplog):
    bench.append()
    bench.append()
    bench.courier.connected()
    epoch = bench.spool.epoch
    messages = bench.spool.next_after(0, 10)
    bench.receipt(1, [[2, 2]], digest=digest(messages[0].raw).hex())
    assert bench.spool.epoch == epoch
    bench.receipt(2, digest=digest(b"what the original sent").hex())
    assert any(getattr(record, "action", "") == "gateway.receipt.forked" for record in caplog.records)
    assert bench.spool.epoch != epoch
    assert bench.sent() == [("backlog", 1), ("birth", 2)]


def test_platform_that_asks_on_for_what_it_receipted_gets_a_new_epoch(bench, caplog):
    bench.courier.connected()
    bench.append()
    bench.append()
    bench.sent()
    bench.receipt(2)
    bench.append()
    bench.sent()
    epoch = bench.spool.epoch
    bench.receipt(0, [[1, 2]])
    bench.clock.advance(9)
    bench.receipt(0, [[1, 2]])
    assert (bench.spool.epoch, bench.spool.stats().pending) == (epoch, 2)
    bench.clock.advance(1)
    bench.receipt(0, [[1, 2]])
    assert any(getattr(record, "action", "") == "gateway.receipt.behind" for record in caplog.records)
    assert bench.spool.epoch != epoch
    assert bench.sent() == [("backlog", 1), ("backlog", 2)]
    bench.receipt(2)
    assert bench.spool.stats().pending == 0


def test_old_receipt_handed_on_again_changes_nothing(bench):
    bench.courier.connected()
    for _ in range(3):
        bench.append()
    bench.sent()
    epoch = bench.spool.epoch
    for _ in range(5):
        bench.receipt(1, [[2, 3]])
        bench.receipt(4)
        bench.clock.advance(60)
    assert (bench.spool.epoch, bench.spool.stats().pending) == (epoch, 0)


def test_spool_without_room_for_a_new_epoch_stays_as_it_is(bench, monkeypatch):
    bench.courier.connected()
    bench.sent()
    epoch = bench.spool.epoch

    def refuse() -> None:
        raise TransientError("disk full")

    monkeypatch.setattr(bench.spool, "begin_epoch", refuse)
    bench.receipt(99)
    assert (bench.spool.epoch, bench.spool.stats().pending) == (epoch, 1)


def test_missing_range_goes_again_as_the_same_bytes(bench):
    bench.courier.connected()
    for _ in range(4):
        bench.append()
    first = bench.courier.outgoing(100)
    bench.receipt(1, [[2, 3]])
    again = bench.courier.outgoing(100)
    assert [message.payload for message in again] == [message.payload for message in first[:2]]


def test_overdue_receipt_sends_all_again_as_backlog(bench):
    bench.courier.connected()
    bench.append()
    assert bench.sent() == [("live", 2)]
    bench.clock.advance(11)
    assert bench.sent() == [("birth", 1), ("backlog", 2)]
    assert bench.sent() == []


def test_live_message_that_waited_too_long_goes_as_backlog(bench):
    bench.courier.connected()
    bench.append()
    bench.clock.advance(31)
    bench.append()
    bench.receipt(1)
    assert bench.sent() == [("backlog", 2), ("backlog", 3)]
    bench.append()
    assert bench.sent() == [("live", 4)]


def test_rebirth_command_appends_a_birth_that_goes_live(bench):
    bench.courier.connected()
    bench.hear("command", {"action": "rebirth"})
    assert bench.sent() == [("birth", 2)]


def test_resend_command_repeats_what_is_still_here_and_refuses_nonsense(bench):
    bench.courier.connected()
    for _ in range(5):
        bench.append()
    bench.sent()
    bench.receipt(2)
    bench.hear("command", {"action": "resend", "from_seq": 1, "to_seq": 4})
    bench.hear("command", {"action": "resend", "from_seq": 5, "to_seq": 3})
    bench.hear("command", {"action": "explode"})
    assert bench.sent() == [("backlog", 3), ("backlog", 4)]
    assert bench.spool.stats().pending == 4


def test_spool_that_cannot_be_written_still_drains(bench, monkeypatch):
    bench.append()

    def refuse(*_args: object) -> None:
        raise TransientError("disk full")

    monkeypatch.setattr(bench.spool, "append", refuse)
    assert bench.courier.connected() == []
    assert bench.sent() == [("backlog", 1)]


def test_will_names_gateway_and_epoch(bench):
    will = bench.courier.will()
    assert will.topic == BASE + "will"
    assert Will.model_validate_json(will.payload) == Will(gateway="gw-1", epoch=bench.spool.epoch.hex())


def test_restored_spool_with_nothing_left_to_send_is_recognised_by_the_chain_alone(bench):
    """Its head is the platform's highest, and both have receipted all: only the digests differ."""
    for _ in range(3):
        bench.append()
    bench.courier.connected()
    bench.sent()
    bench.receipt(3)
    epoch = bench.spool.epoch
    assert bench.spool.committed == 3
    bench.receipt(3, digest=bench.spool.digest_of(3).hex())
    assert bench.spool.epoch == epoch
    bench.receipt(3, digest=digest(b"what the original sent").hex())
    assert bench.spool.epoch != epoch
    assert bench.sent() == [("birth", 1)]


def test_only_receipts_for_what_this_connection_sent_tell_the_time(bench):
    told: list[int] = []
    bench.courier.hears_time = told.append
    for _ in range(3):
        bench.append()
    bench.receipt(1, now_ms=1)
    bench.courier.connected()  # its birth is 4
    bench.sent()
    bench.receipt(2, now_ms=2)  # may have waited in the broker for days
    assert told == []
    bench.receipt(2, [[3, 3]], now_ms=3)  # it has heard 4
    bench.receipt(3, now_ms=4)
    assert told == [3, 4]
    bench.courier.connected()
    bench.receipt(4, now_ms=5)
    assert told == [3, 4]


def test_births_on_command_are_bounded(bench):
    bench.courier.connected()
    for _ in range(50):
        bench.hear("command", {"action": "rebirth"})
    assert bench.spool.head == 2
    bench.clock.advance(6)
    bench.hear("command", {"action": "rebirth"})
    assert bench.spool.head == 3


def test_resend_commands_without_end_are_remembered_as_few_ranges(bench):
    bench.courier.connected()
    for _ in range(300):
        bench.append()
    bench.sent()
    for start in range(2, 300, 2):
        bench.hear("command", {"action": "resend", "from_seq": start, "to_seq": start})
    assert len(bench.courier._window._repeats) <= 100


def test_configuration_is_handed_on_and_one_without_text_refused(bench):
    heard = []
    bench.courier.hears_configuration = lambda version, text: heard.append((version, text))
    bench.hear("command", {"action": "configure", "version": 3, "config": "[limits]\n" + "#" * 150_000})
    bench.hear("command", {"action": "configure", "version": 4})
    bench.hear("command", {"action": "configure", "version": 0, "config": ""})
    assert [(version, text[:8]) for version, text in heard] == [(3, "[limits]")]


def test_new_rates_hold_from_the_next_look_on(bench):
    bench.courier.connected()
    for _ in range(40):
        bench.append()
    bench.courier.change_uplink(UplinkConfig(live_rate=10))
    assert len(bench.sent()) == 10
    bench.clock.advance(1)
    assert len(bench.sent()) == 10


def test_rebirth_says_which_configuration_is_in_force(bench):
    bench.courier.connected()
    channel = BirthChannel(name="room-9/air_temperature", unit="Cel", period_s=5)
    bench.courier.reborn((channel,), 7, "x" * 900)
    bench.courier.connected()
    births = [open_envelope(m.raw).payload for m in bench.spool.next_after(0, 10)]
    for birth in map(Birth.model_validate_json, births[1:]):
        assert (birth.channels, birth.config_version, birth.config_error) == ((channel,), 7, "x" * 500)
