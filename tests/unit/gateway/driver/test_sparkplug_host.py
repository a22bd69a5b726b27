"""A Sparkplug host: births, aliases, sequence, deaths, rebirths, STATE."""

from __future__ import annotations

import json
import random

import pytest
from fix_sparkplug import BOOLEAN, DATASET, DOUBLE, INT16, STRING, EdgeNode, metric, payload
from hypothesis import given, settings
from hypothesis import strategies as st

from hanlu.core.reading import Quality, Reading
from hanlu.core.rejected import Reason
from hanlu.gateway.driver.contract import Batch
from hanlu.gateway.driver.mqtt_dialogue import Handled
from hanlu.gateway.driver.sparkplug import SparkplugConfig, SparkplugHost
from hanlu.gateway.driver.sparkplug_payload import encode_rebirth

NOW = 1_750_000_000_000
REBIRTH_TOPIC = "spBv1.0/G/NCMD/E"
KEY = ("G", "E")


def host(**others: object) -> SparkplugHost:
    made = SparkplugHost(SparkplugConfig.model_validate({"name": "sp", "host_id": "H"} | others))
    made.will(NOW - 5)
    made.connected(NOW)
    return made


def said(made: SparkplugHost, *messages: tuple[str, bytes], at: int = NOW) -> list[Handled]:
    return [made.heard(topic, raw, at) for topic, raw in messages]


def values(handled: Handled | list[Handled] | None) -> list[tuple[str, float]]:
    each = [] if handled is None else handled if isinstance(handled, list) else [handled]
    return [
        (reading.name, reading.value)
        for one in each
        for batch in (*one.earlier, one.batch)
        for reading in batch.readings
    ]


def asked(handled: Handled | None) -> bool:
    return handled is not None and any(each.topic == REBIRTH_TOPIC for each in handled.answers)


def reasons(handled: Handled) -> list[Reason]:
    return [each.why.reason for each in handled.batch.undecodable]


def born() -> tuple[SparkplugHost, EdgeNode]:
    made, edge = host(), EdgeNode()
    said(made, edge.nbirth())
    return made, edge


def test_birth_brings_values_and_aliases() -> None:
    made, edge = host(), EdgeNode()
    (birth,) = said(made, edge.nbirth())
    assert values(birth) == [("e/temp", -18.5)]
    assert not birth.answers
    (data,) = said(made, edge.ndata(metric(alias=1, value=-19.0, datatype=DOUBLE, at=NOW - 1_000)))
    assert data.batch.readings == (Reading("e/temp", "", NOW - 1_000, -19.0),)


def test_device_has_channels_of_its_own() -> None:
    made, edge = born()
    birth, data, late = said(
        made,
        edge.dbirth("Room 1", metric("T", 1, INT16, alias=2), metric("Door/Open", True, BOOLEAN, alias=3)),
        edge.ddata("Room 1", metric(alias=2, value=-5), metric(alias=3, value=False)),
        edge.ddata("Room 1", metric("T", value=-6)),
    )
    assert values(birth) == [("e-room-1/t", 1.0), ("e-room-1/door_open", 1.0)]
    assert values(data) == [("e-room-1/t", -5.0), ("e-room-1/door_open", 0.0)]
    assert values(late) == [("e-room-1/t", -6.0)]


def test_alias_never_born_is_kept_unread_and_a_rebirth_asked_for() -> None:
    made, edge = born()
    raw = edge.ndata(metric(alias=1, value=1.0), metric(alias=99, value=2.0))
    (data,) = said(made, raw)
    assert values(data) == [("e/temp", 1.0)]
    assert [(each.body, each.why.reason) for each in data.batch.undecodable] == [(raw[1], Reason.UNKNOWN_CHANNEL)]
    assert data.answers == (type(data.answers[0])(REBIRTH_TOPIC, encode_rebirth(NOW), 0, False),)


def test_alias_of_another_device_is_not_guessed_at() -> None:
    made, edge = born()
    said(made, edge.dbirth("a", metric("T", 1.0, DOUBLE, alias=2)), edge.dbirth("b", metric("U", 1.0, DOUBLE, alias=3)))
    (data,) = said(made, edge.ddata("b", metric(alias=2, value=9.0)))
    assert not values(data)
    assert reasons(data) == [Reason.UNKNOWN_CHANNEL]


def test_data_before_any_birth_asks_for_one_and_takes_what_names_itself() -> None:
    made, edge = host(), EdgeNode()
    first, second = said(
        made, edge.ndata(metric(alias=1, value=1.0)), edge.ndata(metric("Temp", 2.0, DOUBLE), metric("Raw", 3))
    )
    assert asked(first)
    assert reasons(first) == [Reason.UNKNOWN_CHANNEL]
    assert values(second) == [("e/temp", 2.0)]
    assert reasons(second) == [Reason.UNKNOWN_CHANNEL], "an integer without a type may be signed or not"
    assert not asked(second), "asked just now"


def test_aliases_end_with_the_death_they_belong_to() -> None:
    made, edge = born()
    said(made, edge.ndeath())
    assert not made.nodes[KEY].online
    assert made.nodes[KEY].is_stale("", "Temp")
    (data,) = said(made, edge.ndata(metric(alias=1, value=1.0)))
    assert not values(data)
    assert asked(data)


def test_death_of_an_earlier_connection_means_nothing() -> None:
    made, edge = host(), EdgeNode(bd_seq=4)
    old = edge.ndeath()
    edge.bd_seq = 5
    said(made, edge.nbirth(), old)
    assert made.nodes[KEY].online
    said(made, edge.ndeath())
    assert not made.nodes[KEY].online
    assert made.nodes[KEY].changed_ms == NOW


def test_death_without_its_number_is_kept_unread() -> None:
    made, edge = born()
    (death,) = said(made, (edge.topic("NDEATH"), payload(at=NOW)))
    assert reasons(death) == [Reason.FOREIGN_SCHEMA]
    assert made.nodes[KEY].online


def test_death_of_a_node_ends_its_devices() -> None:
    made, edge = born()
    said(made, edge.dbirth("a", metric("T", 1.0, DOUBLE, alias=2)))
    assert not made.nodes[KEY].is_stale("a", "T")
    said(made, edge.ndeath())
    assert made.nodes[KEY].devices == {"a": False}
    assert made.nodes[KEY].is_stale("a", "T")


def test_death_of_a_device_ends_it_alone() -> None:
    made, edge = born()
    said(made, edge.dbirth("a", metric("T", 1.0, DOUBLE, alias=2)), edge.ddeath("a"))
    assert made.nodes[KEY].is_stale("a", "T")
    assert not made.nodes[KEY].is_stale("", "Temp")
    (data,) = said(made, edge.ddata("a", metric(alias=2, value=1.0)))
    assert reasons(data) == [Reason.UNKNOWN_CHANNEL]
    assert asked(data)


def test_sequence_wraps_after_255() -> None:
    made, edge = born()
    handled = said(made, *(edge.ndata(metric(alias=1, value=float(number))) for number in range(600)))
    assert len(values(handled)) == 600
    assert not made.nodes[KEY].waiting
    assert made.due(NOW + 60_000) is None


def test_message_out_of_order_waits_for_the_one_before() -> None:
    made, edge = born()
    first, second, third = (edge.ndata(metric(alias=1, value=float(number))) for number in range(3))
    assert not values(said(made, third, second))
    assert made.due(NOW + 1_999) is None
    assert values(said(made, first, at=NOW + 1_999)) == [("e/temp", 0.0), ("e/temp", 1.0), ("e/temp", 2.0)]
    assert made.due(NOW + 60_000) is None, "the gap has closed"


def test_gap_that_stays_costs_only_the_missing_message_and_asks_for_a_rebirth() -> None:
    made, edge = born()
    edge.ndata()
    said(made, edge.ndata(metric(alias=1, value=2.0)), edge.ndata(metric(alias=1, value=3.0)))
    assert made.due(NOW + 1_999) is None
    due = made.due(NOW + 2_000)
    assert due is not None
    assert values(due) == [("e/temp", 2.0), ("e/temp", 3.0)]
    assert [(loss.reason, loss.count) for loss in due.batch.losses] == [("sequence_gap", 1)]
    assert asked(due)
    (on,) = said(made, edge.ndata(metric(alias=1, value=4.0)))
    assert values(on) == [("e/temp", 4.0)]


def test_gap_that_may_hide_a_birth_ends_the_aliases() -> None:
    made, edge = born()
    said(made, *(edge.ndata() for _ in range(9)))
    edge.metrics = (metric("Hum", 80.0, DOUBLE, alias=1),)
    edge.nbirth()
    (data,) = said(made, edge.ndata(metric(alias=1, value=81.0)))
    assert not values(data)
    due = made.due(NOW + 2_000)
    assert due is not None
    assert not values(due)
    assert reasons(due) == [Reason.UNKNOWN_CHANNEL]
    assert asked(due)


def test_reorder_time_can_be_set() -> None:
    made, edge = host(reorder_timeout_s=10), EdgeNode()
    said(made, edge.nbirth())
    edge.ndata()
    said(made, edge.ndata(metric(alias=1, value=2.0)))
    assert made.due(NOW + 9_999) is None
    assert asked(made.due(NOW + 10_000))


def test_clock_set_back_does_not_hold_a_message_for_ever() -> None:
    made, edge = born()
    edge.ndata()
    said(made, edge.ndata(metric(alias=1, value=2.0)))
    assert values(made.due(NOW - 3_600_000)) == [("e/temp", 2.0)]


def test_repeated_message_changes_nothing() -> None:
    made, edge = born()
    data = edge.ndata(metric(alias=1, value=1.0))
    once, twice = said(made, data, data)
    assert once.batch == twice.batch
    assert not made.nodes[KEY].waiting


def test_waiting_messages_are_bounded() -> None:
    made, edge = born()
    edge.ndata()
    big = metric("Blob", b"x" * 100_000, 17)
    handled = said(made, *(edge.ndata(metric(alias=1, value=float(n)), big) for n in range(8)))
    assert values(handled)
    assert made.nodes[KEY].waiting < 8
    assert any(asked(each) for each in handled)


def test_new_birth_begins_anew_and_keeps_what_waited() -> None:
    made, edge = born()
    edge.ndata()
    said(made, edge.ndata(metric(alias=1, value=2.0)))
    edge.bd_seq, edge.metrics = 1, (metric("Hum", 80.0, DOUBLE, alias=1),)
    (birth,) = said(made, edge.nbirth())
    assert values(birth) == [("e/temp", 2.0), ("e/hum", 80.0)]
    assert values(said(made, edge.ndata(metric(alias=1, value=81.0)))) == [("e/hum", 81.0)]


def test_rebirths_are_asked_for_less_and_less_often() -> None:
    made, edge = host(), EdgeNode()
    times = []
    for second in range(400):
        handled = made.heard(*edge.ndata(metric(alias=1, value=1.0)), NOW + second * 1_000)
        if asked(handled) or asked(made.due(NOW + second * 1_000 + 500)):
            times.append(second)
    assert times == [0, 30, 90, 210]
    made.heard(*edge.nbirth(), NOW + 400_000)
    edge.ndata()
    made.heard(*edge.ndata(metric(alias=1, value=1.0)), NOW + 401_000)
    assert asked(made.due(NOW + 403_000)), "a node that answered is trusted again"


def test_history_is_not_live_and_comes_apart() -> None:
    made, edge = born()
    (data,) = said(
        made,
        edge.ndata(
            metric(alias=1, value=1.0, at=NOW - 86_400_000, historical=True), metric(alias=1, value=2.0, at=NOW)
        ),
    )
    assert data.earlier == (Batch((Reading("e/temp", "", NOW - 86_400_000, 1.0),), live=False),)
    assert data.batch == Batch((Reading("e/temp", "", NOW, 2.0),))


def test_what_is_no_number_is_counted_and_left_out() -> None:
    made, edge = born()
    (data,) = said(
        made,
        edge.ndata(
            metric("S", "text", STRING),
            metric("D", b"\x08\x01", DATASET),
            metric(alias=1, null=True),
            metric("N", float("nan"), DOUBLE),
        ),
    )
    assert data.batch == Batch()
    assert made.counts["ignored"] == 4


def test_time_is_the_metrics_then_the_payloads_then_ours() -> None:
    made, edge = born()
    raw = payload(metric(alias=1, value=1.0, at=NOW - 9), metric(alias=1, value=2.0), seq=1, at=NOW - 7)
    (data,) = said(made, (edge.topic("NDATA"), raw))
    (bare,) = said(made, (edge.topic("NDATA"), payload(metric(alias=1, value=3.0), seq=2)), at=NOW + 3)
    assert [each.observed_ms for each in data.batch.readings + bare.batch.readings] == [NOW - 9, NOW - 7, NOW + 3]


def test_rule_names_scales_and_converts_a_metric() -> None:
    rule = {"source": "Room 1/Temp", "metric": "air_temperature", "unit": "°F", "scale": 0.1}
    made = host(channels=[rule], take_all=False)
    edge = EdgeNode(metrics=(metric("Room 1/Temp", 500, INT16, alias=1), metric("Other", 1.0, DOUBLE)))
    (birth,) = said(made, edge.nbirth())
    assert [(each.name, each.unit, round(each.value, 9)) for each in birth.batch.readings] == [
        ("e/air_temperature", "Cel", 10.0)
    ]
    assert made.counts["unmapped"] == 3


def test_value_scaled_beyond_all_numbers_is_a_declared_loss() -> None:
    rule = {"source": "A", "metric": "a", "unit": "kWh", "scale": 1e10}
    made = host(channels=[rule])
    edge = EdgeNode(metrics=(metric("A", 1e308, DOUBLE), metric("B", 1e308, DOUBLE, properties={"engUnit": "kWh"})))
    (birth,) = said(made, edge.nbirth())
    assert not birth.batch.readings
    assert [(loss.reason, loss.channel) for loss in birth.batch.losses] == [
        ("not_finite", "e/a"),
        ("not_finite", "e/b"),
    ]


def test_engineering_unit_and_quality_are_taken_where_they_are_known() -> None:
    made = host()
    edge = EdgeNode(
        metrics=(
            metric("F", 50.0, DOUBLE, alias=1, properties={"engUnit": "°F", "Quality": 500}),
            metric("X", 7.0, DOUBLE, properties={"engUnit": "furlong"}),
        )
    )
    (birth,) = said(made, edge.nbirth())
    (data,) = said(made, edge.ndata(metric(alias=1, value=32.0)))
    assert [(each.name, each.unit, round(each.value, 9), each.quality) for each in birth.batch.readings] == [
        ("e/f", "Cel", 10.0, Quality.UNCERTAIN),
        ("e/x", "", 7.0, Quality.GOOD),
    ]
    assert [(each.unit, round(each.value, 9)) for each in data.batch.readings] == [("Cel", 0.0)]


def test_two_metrics_never_share_a_channel() -> None:
    made = host()
    edge = EdgeNode(metrics=(metric("Temp-1", 1.0, DOUBLE), metric("temp 1", 2.0, DOUBLE)))
    (birth,) = said(made, edge.nbirth())
    assert values(birth) == [("e/temp_1", 1.0)]
    assert [loss.reason for loss in birth.batch.losses] == ["channel_taken"]


def test_names_without_a_latin_letter_and_long_ones_stay_apart() -> None:
    made = host()
    named = [metric(name, float(place), DOUBLE) for place, name in enumerate(["温度", "湿度", "a" * 91, "a" * 92])]
    edge = EdgeNode(edge="冷库", metrics=tuple(named))
    (birth,) = said(made, edge.nbirth())
    names = [name for name, _ in values(birth)]
    assert len(set(names)) == 4
    assert all(len(name) <= 101 for name in names)


@pytest.mark.parametrize(
    ("topic", "raw", "reason"),
    [
        ("spBv1.0/G/NDATA/E", b"{}", Reason.MALFORMED),
        ("spBv1.0/G/NDATA/E", b"", Reason.FOREIGN_SCHEMA),
        ("spBv1.0/G/NFOO/E", b"", Reason.BAD_TOPIC),
        ("other", b"", Reason.BAD_TOPIC),
    ],
)
def test_junk_is_kept_unread(topic: str, raw: bytes, reason: Reason) -> None:
    made, _ = born()
    (junk,) = said(made, (topic, raw))
    assert reasons(junk) == [reason]
    assert made.nodes[KEY].online


def test_nodes_and_devices_are_bounded() -> None:
    made = host(max_nodes=1)
    first, second = said(made, EdgeNode().nbirth(), EdgeNode(edge="F").nbirth())
    assert values(first)
    assert reasons(second) == [Reason.OVERSIZED]


def test_host_says_when_it_is_there_with_the_time_of_its_will() -> None:
    made = SparkplugHost(SparkplugConfig(name="sp", host_id="H"))
    will = made.will(NOW)
    (birth,) = made.connected(NOW + 40)
    (death,) = made.farewell(NOW + 90)
    for each, online, at in ((will, False, NOW), (birth, True, NOW), (death, False, NOW + 90)):
        assert (each.topic, each.qos, each.retain) == ("spBv1.0/STATE/H", 1, True)
        assert json.loads(each.payload) == {"online": online, "timestamp": at}


@pytest.mark.parametrize("payload_said", [b'{"online": false, "timestamp": 1}', b"", b"\xff", b"[]"])
def test_host_contradicts_an_old_death_of_its_own(payload_said: bytes) -> None:
    made = host()
    (handled,) = said(made, ("spBv1.0/STATE/H", payload_said))
    assert [json.loads(each.payload) for each in handled.answers] == [{"online": True, "timestamp": NOW - 5}]
    (own,) = said(made, ("spBv1.0/STATE/H", handled.answers[0].payload))
    assert not own.answers


def test_new_connection_of_ours_ends_all_births_and_asks_for_new_ones() -> None:
    made, edge = born()
    edge.ndata()
    said(made, edge.ndata(metric(alias=1, value=2.0)))
    made.will(NOW + 10)
    state, *requests = made.connected(NOW + 20)
    assert json.loads(state.payload)["online"] is True
    assert [each.topic for each in requests] == [REBIRTH_TOPIC]
    assert values(made.due(NOW + 21)) == [("e/temp", 2.0)], "what waited is not lost"
    (data,) = said(made, edge.ndata(metric(alias=1, value=3.0)))
    assert not values(data)


# Random lives of an edge node: whatever is lost, late, repeated or senseless on the way, no value is made up.

_STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "nbirth",
                "nbirth",
                "ndata",
                "ndata",
                "ndata",
                "dbirth",
                "ddata",
                "ddeath",
                "ndeath",
                "unknown",
                "reconnect",
                "wait",
            ]
        ),
        st.sampled_from(["ok", "ok", "ok", "lost", "late", "twice"]),
    ),
    min_size=15,
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(_STEPS, st.integers(0, 2**32))
def test_random_life_never_gives_a_value_to_another_channel(  # noqa: C901 - one story, told in order
    steps: list[tuple[str, str]], seed: int
) -> None:
    made, edge, chance = host(), EdgeNode(), random.Random(seed)
    now, number, late = NOW, 0, []
    sent: dict[float, str] = {}
    aliases: dict[str, int] = {}

    def value(channel: str) -> float:
        nonlocal number
        number += 1
        sent[float(number)] = channel
        return float(number)

    def message(step: str) -> tuple[str, bytes]:
        if step == "nbirth":
            aliases.update(zip(["e/a", "e/b", "e-d/t"], chance.sample(range(4), 3), strict=True))
            edge.bd_seq += 1
            edge.metrics = tuple(metric(key[2:], value(key), DOUBLE, alias=aliases[key]) for key in ("e/a", "e/b"))
            return edge.nbirth()
        if step == "dbirth":
            return edge.dbirth("D", metric("T", value("e-d/t"), DOUBLE, alias=aliases.get("e-d/t", 9)))
        if step == "ndata":
            key = chance.choice(["e/a", "e/b"])
            return edge.ndata(metric(alias=aliases.get(key, 9), value=value(key)))
        if step == "ddata":
            return edge.ddata("D", metric(alias=aliases.get("e-d/t", 9), value=value("e-d/t")))
        if step == "unknown":
            return edge.ndata(metric(alias=77, value=value("never")))
        return edge.ddeath("D") if step == "ddeath" else edge.ndeath()

    received: list[tuple[str, float]] = []
    for step, fate in steps:
        now += chance.randrange(1_500)
        if step == "reconnect":
            made.will(now)
            made.connected(now)
        elif step != "wait":
            if step == "nbirth":  # a broker tells of the end of the connection before; deaths are not lost (QoS 1)
                received += values(made.heard(*edge.ndeath(), now))
                late = []
            topic, raw = message(step)
            if fate == "late" and step != "nbirth":
                late.append((topic, raw))
            elif fate in {"ok", "twice"}:
                for _ in range(2 if fate == "twice" else 1):
                    received += values(made.heard(topic, raw, now))
                # A late message is the one before, as networks do it; never one of an earlier birth.
                received += [pair for topic, raw in late for pair in values(made.heard(topic, raw, now))]
                late = []
        received += values(made.due(now))
    received += values(made.due(now + 60_000))
    for name, number_received in received:
        assert sent[number_received] in {name, "never"}
        assert sent[number_received] == name
    assert made.due(now + 60_000) is None or not values(made.due(now + 60_000))
    assert all(not node.waiting for node in made.nodes.values())


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 255), min_size=2, max_size=60), st.randoms(use_true_random=False))
def test_order_within_the_window_is_restored(numbers: list[int], chance: random.Random) -> None:
    made, edge = born()
    messages = [
        edge.ndata(metric(alias=1, value=float(number), at=NOW + place)) for place, number in enumerate(numbers)
    ]
    shuffled = messages[:]
    for start in range(0, len(shuffled), 5):
        part = shuffled[start : start + 5]
        chance.shuffle(part)
        shuffled[start : start + 5] = part
    handled = said(made, *shuffled)
    assert [value for _, value in values(handled)] == [float(number) for number in numbers]
    assert made.due(NOW + 60_000) is None
    assert not any(asked(each) for each in handled)
