"""Faults by name."""

from __future__ import annotations

import pytest

from hanlu.app.simulate_faults import FAULT_WORDS, fault_of
from hanlu.core.errors import UsageError
from hanlu.firmware_sim.faults import LinkLoss, Stuck, WrongClock
from hanlu.firmware_sim.yanling import demo_county

NOW = 1_790_000_000_000


def test_fault_strikes_from_now_on_where_it_is_told() -> None:
    county = demo_county()
    assert fault_of("stuck@room-3", county, NOW) == Stuck(device="room-3", from_ms=NOW)
    assert fault_of("wrong-clock", county, NOW) == WrongClock(from_ms=NOW, offset_ms=7_200_000)
    loss = fault_of("link-loss@gw-yanling", county, NOW)
    assert loss == LinkLoss(gateway="gw-yanling", from_ms=NOW, to_ms=NOW + 300_000)


@pytest.mark.parametrize("name", [part.partition(":")[0] for part in FAULT_WORDS.split("; ")])
def test_every_fault_in_the_help_can_be_made(name: str) -> None:
    assert fault_of(f"{name}@room-1", demo_county(), NOW).device == "room-1"


@pytest.mark.parametrize("text", ["fire", "stuck@nowhere", "", "@room-1"])
def test_unknown_fault_or_place_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--fault"):
        fault_of(text, demo_county(), NOW)
