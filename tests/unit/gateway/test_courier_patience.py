"""What a gateway does with a platform that says nothing for ever, and with a store that is locked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hanlu.core.clock import ManualClock
from hanlu.core.errors import TransientError
from hanlu.core.wire.envelope import ContentType, Envelope, open_envelope
from hanlu.gateway.config import GatewayConfig
from hanlu.gateway.courier import Courier
from hanlu.gateway.item import Item, Kind
from hanlu.gateway.spool import Spool


class Bench:
    """A connected courier with some messages, and the clock in hand."""

    def __init__(self, folder: Path, messages: int) -> None:
        self.clock = ManualClock()
        config = GatewayConfig(code="gw-1", partition=7, data_dir=folder)
        self.patience_s = config.uplink.receipt_timeout_max_s
        self.spool = Spool(config.spool_path, Ed25519PrivateKey.generate(), self.clock)
        self.courier = Courier(config, self.spool, self.clock, software="test", boot_ms=1)
        self.courier.connected()
        self.spool.append([Item(Kind.READING, ContentType.SENML_JSON, b"[]", 1)] * messages)

    def sent(self) -> list[int]:
        """Return the numbers of all that may go now."""
        found = []
        while batch := self.courier.outgoing(1_000):
            envelopes = [open_envelope(message.payload) for message in batch]
            found += [each.header.seq for each in envelopes if isinstance(each, Envelope)]
        return found

    def receipt(self, committed: int) -> None:
        document = {"epoch": self.spool.epoch.hex(), "committed": committed, "missing": [], "now_ms": 1}
        self.courier.heard("hanlu/1/07/gw-1/receipt", json.dumps(document).encode())
        self.courier.settle()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path, 4)
    yield bench
    bench.spool.close()


def test_message_that_two_hundred_sendings_did_not_bring_home_is_still_there_and_still_sent(bench):
    assert bench.sent() == [2, 3, 4, 5]
    for _ in range(200):
        bench.clock.advance(bench.patience_s)
        assert set(bench.sent()) == {1, 2, 3, 4, 5}
    assert bench.spool.stats().pending == 5
    bench.receipt(5)
    assert bench.spool.stats().pending == 0


def test_store_that_is_locked_when_a_receipt_comes_makes_nothing_go_twice(bench, monkeypatch):
    """What was receipted is known to the window at once; the file follows when it can."""
    assert bench.sent() == [2, 3, 4, 5]
    with monkeypatch.context() as locked:

        def refuse(_seq: int) -> int:
            raise TransientError("the spool cannot be written: database is locked")

        locked.setattr(bench.spool, "delete_committed", refuse)
        for _ in range(50):
            bench.receipt(4)
            assert bench.sent() == []
        assert bench.spool.stats().pending == 5
    bench.courier.settle()
    assert bench.spool.stats().pending == 1
    assert bench.sent() == []


def test_hour_of_silence_costs_few_repetitions(bench):
    sendings = len(bench.sent())
    for _ in range(3_600):
        bench.clock.advance(1)
        sendings += len(bench.sent())
    rounds = sendings / 5
    assert rounds < 3_600 / bench.patience_s + 10
