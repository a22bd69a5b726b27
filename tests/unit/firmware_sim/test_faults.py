"""Faults strike what they name and nothing else, and compose."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanlu.core.senml import Pack, decode_json
from hanlu.firmware_sim.faults import (
    DoorOpen,
    Drift,
    Duplicate,
    Fault,
    LinkLoss,
    Replay,
    Silence,
    Stuck,
    WrongClock,
    apply,
    propped_doors,
)
from hanlu.firmware_sim.physics.chance import generator
from hanlu.firmware_sim.sample import Sample, packs, senml

T0 = 1_752_508_800_000
MINUTE = 60_000


def stream(count: int = 20, device: str = "room-1", gateway: str = "gw-1") -> list[Sample]:
    return [Sample(gateway, device, "air_temperature", "Cel", T0 + n * MINUTE, -18.0 + n / 10) for n in range(count)]


def run(samples: list[Sample], *faults: Fault) -> list[Sample]:
    return list(apply(faults, samples, generator(1)))


def test_no_fault_changes_nothing() -> None:
    assert run(stream()) == stream()


def test_stuck_channel_repeats_its_first_value_struck_while_its_neighbour_moves_on() -> None:
    both = sorted(stream() + stream(device="room-2"), key=lambda sample: sample.observed_ms)
    out = run(both, Stuck(device="room-1", from_ms=T0 + 5 * MINUTE, to_ms=T0 + 10 * MINUTE))
    stuck = [sample.value for sample in out if sample.device == "room-1"]
    assert stuck[5:10] == [-17.5] * 5
    assert stuck[10] == -17.0
    assert [sample for sample in out if sample.device == "room-2"] == stream(device="room-2")


def test_drift_grows_by_its_rate() -> None:
    out = run(stream(61), Drift(per_hour=2.0, from_ms=T0))
    assert out[0].value == -18.0
    assert out[60].value == pytest.approx(-12.0 + 2.0)


def test_silence_takes_its_share_and_no_more() -> None:
    assert run(stream(), Silence(metric="air_temperature")) == []
    kept = run(stream(2_000), Silence(share=0.25))
    assert 1_400 < len(kept) < 1_600


def test_wrong_clock_shifts_steps_and_gains() -> None:
    out = run(stream(61), WrongClock(offset_ms=-3_600_000, from_ms=T0 + 10 * MINUTE))
    assert out[9].observed_ms == T0 + 9 * MINUTE
    assert out[10].observed_ms == T0 + 10 * MINUTE - 3_600_000
    gained = run(stream(61), WrongClock(ppm=100.0, from_ms=T0))
    assert gained[60].observed_ms == T0 + 60 * MINUTE + 360


def test_duplicate_sends_twice_in_a_row() -> None:
    out = run(stream(3), Duplicate())
    assert out == [sample for sample in stream(3) for _ in range(2)]


def test_replay_repeats_the_window_once_when_it_is_over() -> None:
    samples = stream(10)
    out = run(samples, Replay(from_ms=T0 + 2 * MINUTE, to_ms=T0 + 4 * MINUTE))
    assert out == [*samples[:4], samples[2], samples[3], *samples[4:]]


def test_link_loss_delivers_late_in_order_and_loses_only_beyond_capacity() -> None:
    samples = stream(10)
    loss = LinkLoss(gateway="gw-1", from_ms=T0 + 2 * MINUTE, to_ms=T0 + 6 * MINUTE)
    line = [len(list(apply([loss], samples[:n], generator(1)))) for n in range(11)]
    assert line == [0, 1, 2, 2, 2, 2, 2, 7, 8, 9, 10]
    assert run(samples, loss) == samples
    small = LinkLoss(from_ms=T0 + 2 * MINUTE, to_ms=T0 + 6 * MINUTE, capacity=1)
    assert run(samples, small) == [*samples[:2], *samples[5:]]


def test_faults_compose_in_the_order_given() -> None:
    out = run(stream(4), Stuck(from_ms=T0), WrongClock(offset_ms=5), Duplicate(from_ms=T0 + 3 * MINUTE))
    assert [sample.value for sample in out] == [-18.0] * 5
    assert [sample.observed_ms - T0 for sample in out] == [5, 60_005, 120_005, 180_005, 180_005]


def test_one_seed_strikes_the_same_samples_again() -> None:
    faults = (Silence(share=0.3), Duplicate(share=0.3))
    first = list(apply(faults, stream(300), generator("a")))
    assert first == list(apply(faults, stream(300), generator("a")))
    assert first != list(apply(faults, stream(300), generator("b")))


@given(st.integers(0, 30), st.integers(0, 30))
def test_duplicate_replay_and_link_loss_never_invent_or_drop_a_sample(start: int, length: int) -> None:
    window = {"from_ms": T0 + start * MINUTE, "to_ms": T0 + (start + length) * MINUTE}
    samples = stream(70)
    out = run(samples, Duplicate(**window), Replay(**window), LinkLoss(**window))
    assert set(out) == set(samples)
    counts = Counter(out)
    assert all(counts[sample] in ({4} if start <= n < start + length else {1}) for n, sample in enumerate(samples))


def test_door_left_open_repeats_for_its_own_device() -> None:
    door = DoorOpen(device="room-3", from_ms=T0, to_ms=T0 + 12 * MINUTE, every_ms=30 * MINUTE)
    schedule = propped_doors("room-3", [door])
    assert [schedule.active(T0 + minute * MINUTE) for minute in (-1, 0, 11, 12, 30, 41, 42)] == [
        False, True, True, False, True, True, False,
    ]  # fmt: skip
    assert not propped_doors("room-1", [door]).active(T0)
    assert not DoorOpen(device="room-1", from_ms=T0, to_ms=T0 + 1).schedule().active(T0 + 30 * MINUTE)


def test_pack_reads_back_as_the_samples_it_was_made_of() -> None:
    import json

    samples = [*stream(3), Sample("gw-1", "room-1", "door_open", "", T0 + 1_500, 1.0)]
    pack = decode_json(json.dumps(senml(samples)).encode(), now_ms=0)
    assert isinstance(pack, Pack)
    assert pack.rejected == ()
    assert [(r.name, r.unit, r.observed_ms, r.value) for r in pack.readings] == [
        (f"{s.device}/{s.metric}", s.unit, s.observed_ms, s.value) for s in samples
    ]


def test_pack_of_two_devices_or_of_none_is_refused() -> None:
    with pytest.raises(ValueError, match="one device"):
        senml([*stream(1), *stream(1, device="room-2")])
    with pytest.raises(ValueError, match="one device"):
        senml([])


def test_packs_keep_devices_apart_and_their_order() -> None:
    mixed = [sample for pair in zip(stream(7), stream(7, device="room-2"), strict=True) for sample in pair]
    made = packs(mixed, most=5)
    assert [(gateway, pack[0]["bn"], len(pack)) for gateway, pack in made] == [
        ("gw-1", "room-1/", 5), ("gw-1", "room-1/", 2), ("gw-1", "room-2/", 5), ("gw-1", "room-2/", 2),
    ]  # fmt: skip
