"""What goes wrong with a room's machine shows in its instruments as it does in real rooms."""

from __future__ import annotations

from itertools import pairwise
from statistics import fmean

import pytest

from hanlu.firmware_sim.faults import CompressorFailure, DoorOpen, IceOnEvaporator, PowerLoss, ailments, propped_doors
from hanlu.firmware_sim.fleet import Fleet
from hanlu.firmware_sim.physics.chance import generator
from hanlu.firmware_sim.physics.cold_room import HEALTHY, Ailments, ColdRoom, ColdRoomSpec, Frost
from hanlu.firmware_sim.physics.schedule import DAY_MS, HOUR_MS, Once
from hanlu.firmware_sim.plant import FROZEN, PEACHES
from hanlu.firmware_sim.yanling import demo_county

MIDNIGHT = 1_752_537_600_000
MINUTE = 60_000


def minutes(hours: int, ailing: Ailments = HEALTHY, spec: ColdRoomSpec = FROZEN) -> list[dict[str, float]]:
    """Return the room by the minute from midnight; stepped by the minute, which its air bears."""
    model = ColdRoom(spec, MIDNIGHT - 4 * HOUR_MS, generator("ailing"), ailments=ailing)
    rows = []
    for minute in range(-240, hours * 60):
        model.step(MIDNIGHT + minute * MINUTE, 60.0)
        if minute >= 0:
            rows.append(model.read())
    return rows


def runs(rows: list[dict[str, float]]) -> list[dict[str, float]]:
    """Return what was shown while the compressor had been running for some minutes."""
    return [b for a, b in pairwise(rows) if a["compressor"] and b["compressor"]]


@pytest.mark.parametrize(("spec", "least", "most"), [(FROZEN, -33.0, -27.0), (PEACHES, -11.0, -5.0)])
def test_coil_of_a_healthy_room_stands_as_far_below_the_air_as_measured(
    spec: ColdRoomSpec, least: float, most: float
) -> None:
    rows = minutes(24, spec=spec)
    running = runs(rows)
    assert least <= fmean(row["evaporator_temperature"] for row in running) <= most
    assert 5 <= fmean(row["air_temperature"] - row["evaporator_temperature"] for row in running) <= 15
    assert {row["mains"] for row in rows} == {1.0}


def test_coil_is_above_freezing_at_the_end_of_a_heated_defrost() -> None:
    rows = minutes(24)
    assert max(row["evaporator_temperature"] for row in rows if row["defrost"]) > 0.0
    assert max(row["evaporator_temperature"] for row in runs(rows)) < -10.0


def test_compressor_that_fails_rests_for_good_and_the_room_warms() -> None:
    rows = minutes(12, Ailments(compressor=Once(MIDNIGHT + 2 * HOUR_MS, MIDNIGHT + 9 * HOUR_MS)))
    failed = rows[121:539]
    assert not any(row["compressor"] for row in failed)
    assert failed[-1]["air_temperature"] > rows[100]["air_temperature"] + 4.0
    assert failed[-1]["product_temperature"] > rows[100]["product_temperature"] + 1.0
    assert any(row["compressor"] for row in rows[540:])


def test_room_without_mains_draws_nothing_and_does_not_defrost() -> None:
    rows = minutes(10, Ailments(mains=Once(MIDNIGHT, MIDNIGHT + 9 * HOUR_MS)))[:539]
    assert {row["mains"] for row in rows} == {0.0}
    assert {row["power"] for row in rows} == {0.0}
    assert not any(row["defrost"] or row["compressor"] for row in rows)


def test_ice_takes_the_coils_capacity_lowers_its_temperature_and_slows_the_recovery() -> None:
    clean = minutes(96)
    iced = minutes(96, Ailments(frost=(Frost(MIDNIGHT, 3.0),)))
    last = slice(72 * 60, 96 * 60)
    assert fmean(row["compressor"] for row in iced[last]) > fmean(row["compressor"] for row in clean[last]) + 0.2
    assert fmean(row["evaporator_temperature"] for row in runs(iced[last])) < -36.0
    warm_iced, warm_clean = (fmean(row["air_temperature"] for row in rows[last]) for rows in (iced, clean))
    assert warm_iced > warm_clean + 1.0


def test_ice_grows_to_a_half_within_its_days_and_never_closes_the_coil() -> None:
    frost = Frost(MIDNIGHT, 2.0, MIDNIGHT + 20 * DAY_MS)
    assert frost.share(MIDNIGHT - 1) == 1.0
    assert frost.share(MIDNIGHT + 2 * DAY_MS) == pytest.approx(0.5)
    assert frost.share(MIDNIGHT + 19 * DAY_MS) == 0.3
    assert frost.share(MIDNIGHT + 20 * DAY_MS) == 1.0


def test_faults_of_a_scenario_strike_the_device_they_name() -> None:
    scenario = (
        DoorOpen(device="room-1", from_ms=5, to_ms=9),
        CompressorFailure(device="room-2", from_ms=5, to_ms=9),
        PowerLoss(device="room-2", from_ms=7, to_ms=9),
        IceOnEvaporator(device="room-3", from_ms=0, days=1.0),
    )
    second = ailments("room-2", scenario)
    assert [second.compressor.active(at) for at in (4, 5, 9)] == [False, True, False]
    assert [second.mains.active(at) for at in (5, 7)] == [False, True]
    assert second.coil(DAY_MS) == 1.0
    assert ailments("room-3", scenario).coil(DAY_MS) == pytest.approx(0.5)
    assert propped_doors("room-1", scenario).active(5)
    assert not propped_doors("room-2", scenario).active(5)


def test_fleet_works_the_scenario_into_its_rooms_and_leaves_the_others_as_they_were() -> None:
    dark = PowerLoss(device="room-5", from_ms=MIDNIGHT)
    struck, plain = (Fleet(demo_county(), MIDNIGHT, scenario=scenario) for scenario in ((dark,), ()))
    ours, theirs = ({}, {})
    for _ in range(24):
        ours |= {(s.device, s.metric): s.value for s in struck.tick(live=True)}
        theirs |= {(s.device, s.metric): s.value for s in plain.tick(live=True)}
    assert (ours["room-5", "mains"], theirs["room-5", "mains"]) == (0.0, 1.0)
    assert ours["room-5", "power"] == 0.0
    assert {key: value for key, value in ours.items() if key[0] != "room-5"} == {
        key: value for key, value in theirs.items() if key[0] != "room-5"
    }
