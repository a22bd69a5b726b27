"""When the registry is read again: on its own, on a miss, and never as fast as strangers would like."""

from __future__ import annotations

from typing import Any, cast

import pytest

from hanlu.core.clock import ManualClock
from hanlu.core.errors import TransientError
from hanlu.ingest import directory as directories
from hanlu.ingest.directory import Directory, Gateway, Snapshot

CONNECTION = cast("Any", None)


class Registry:
    """Counts how often it is read; each reading takes some time."""

    def __init__(self, clock: ManualClock, takes_s: float = 0.0) -> None:
        self.read, self.away = 0, False
        self._clock, self._takes_s = clock, takes_s

    def __call__(self, _connection: object) -> Snapshot:
        if self.away:
            raise TransientError
        self.read += 1
        self._clock.advance(self._takes_s)
        return Snapshot.of(Gateway(self.read, "gw-1", 0))


def _directory(monkeypatch: pytest.MonkeyPatch, takes_s: float = 0.0) -> tuple[Directory, Registry, ManualClock]:
    clock = ManualClock()
    registry = Registry(clock, takes_s)
    monkeypatch.setattr(directories, "read_snapshot", registry)
    return Directory(clock, refresh_s=15.0, miss_s=1.0), registry, clock


def test_snapshot_is_read_at_once_and_then_every_so_often(monkeypatch: pytest.MonkeyPatch) -> None:
    directory, registry, clock = _directory(monkeypatch)
    assert directory.snapshot.gateways == {}
    assert directory.refresh(CONNECTION)
    assert not directory.refresh(CONNECTION)
    clock.advance(14.9)
    assert not directory.refresh(CONNECTION)
    clock.advance(0.2)
    assert directory.refresh(CONNECTION)
    assert directory.snapshot.gateways["gw-1"].gateway_id == registry.read == 2


def test_miss_is_worth_a_look_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    directory, registry, clock = _directory(monkeypatch)
    directory.refresh(CONNECTION)
    for _ in range(100):
        clock.advance(0.1)
        directory.refresh(CONNECTION, missed=True)
    assert 9 <= registry.read - 1 <= 10


def test_slow_registry_is_asked_for_no_more_than_a_twentieth_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    directory, registry, clock = _directory(monkeypatch, takes_s=0.5)
    begin = clock.monotonic()
    while clock.monotonic() - begin < 200:
        clock.advance(0.1)
        directory.refresh(CONNECTION, missed=True)
    assert registry.read * 0.5 <= 200 / 20 + 0.5


def test_registry_away_keeps_the_old_snapshot_and_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    directory, registry, clock = _directory(monkeypatch)
    directory.refresh(CONNECTION)
    clock.advance(20)
    registry.away = True
    with pytest.raises(TransientError):
        directory.refresh(CONNECTION)
    assert directory.snapshot.gateways["gw-1"].gateway_id == 1
    registry.away = False
    assert directory.refresh(CONNECTION)
