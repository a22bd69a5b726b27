"""What the console concludes from rows: spans of switches, points of the browser's chart, words."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from unittest.mock import Mock

from hanlu.alerts.alarm import Event, ProcessState, SuppressionEvent, SuppressionState
from hanlu.alerts.desk import SHELF_REASONS
from hanlu.alerts.kind import Cause, Hold, Kind
from hanlu.alerts.lines import Tab
from hanlu.alerts.trend import Trend, payload
from hanlu.alerts.views import ChannelNow, Named, Standing, Switch, ZoneNow, on_spans
from hanlu.alerts.wording import live_words, metric_name, reason_name, words
from hanlu.core.curve import Sample, Span
from hanlu.core.rejected import Reason

MINUTE = 60_000
CHANNEL = ChannelNow(
    1, "air_temperature", "Cel", 60.0, None, -15.0, "frozen", 600, "room", "冻结间", "Frozen room", "store", "冷库",
    "Store", "cold_store", "gw", "room-1", 0, 0, -18.0, True, False,
)  # fmt: skip
ROOM = Path(str(files("hanlu.alerts")))


def test_switch_is_on_between_its_changes() -> None:
    rows = [Switch(0, None, False, True, False), Switch(10, 5, True, False, False), Switch(30, 25, False, False, True)]
    assert list(on_spans(rows, 5)) == [Span(10, 30)]


def test_switch_is_neither_on_nor_off_where_readings_are_missing() -> None:
    rows = [Switch(0, None, True, True, False), Switch(100, 10, True, True, False), Switch(120, 115, True, False, True)]
    assert list(on_spans(rows, 5)) == [Span(0, 15), Span(100, 125)]


def test_switch_read_once_speaks_for_one_period() -> None:
    assert list(on_spans([Switch(50, None, True, True, True)], 5)) == [Span(50, 55)]


def trend(samples: list[Sample]) -> Trend:
    return Trend(CHANNEL, Span(0, 600 * MINUTE), samples, [], [], 0, 600)


def test_chart_data_has_a_hole_where_readings_are_missing() -> None:
    data = payload(trend([Sample(0, 1.0), Sample(MINUTE, 2.0), Sample(13 * MINUTE, 3.0)]), unit="°C", words=words("zh"))
    assert data["t"] == [0, MINUTE, 7 * MINUTE, 13 * MINUTE]
    assert data["v"] == [1.0, 2.0, None, 3.0]
    assert data["lo"] is None


def test_chart_data_of_summaries_has_a_band_and_the_holes_inside_buckets() -> None:
    samples = [Sample(0, 1.0, 0.5, 1.5), Sample(MINUTE, 2.0, 1.0, 3.0, after_gap=True)]
    data = payload(trend(samples), unit="°C", words=words("en"))
    assert data["v"] == [1.0, None, 2.0]
    assert (data["lo"], data["hi"]) == ([0.5, None, 1.0], [1.5, None, 3.0])


def test_metric_or_reason_without_a_word_keeps_its_own() -> None:
    assert metric_name("air_temperature", "en") == "Air temperature"
    assert metric_name("ph", "zh") == "ph"
    assert metric_name("oil_level", "en") == "oil level"
    assert reason_name("sensor_fell_off", "zh") == "sensor_fell_off"


def test_values_of_one_metric_are_told_apart_by_their_devices_and_others_are_not() -> None:
    room = Named("room", "冻结间", "Frozen room")
    channels = (CHANNEL, replace(CHANNEL, device="logger-1"), replace(CHANNEL, metric="power", device="plant"))
    zone = ZoneNow(room, room, "cold_store", channels, (), (), Standing.NORMAL, pending=False)
    assert zone.shared == {"air_temperature"}


def test_zone_beyond_its_limit_is_held_only_when_an_alarm_that_calls_nobody_says_so() -> None:
    room = Named("room", "冻结间", "Frozen room")
    warm = replace(CHANNEL, value=-9.0, high=-15.0)
    waiting = ZoneNow(room, room, "cold_store", (warm,), (), (), Standing.NORMAL, pending=True)
    assert not waiting.held
    alarm = Mock(channel_id=warm.channel_id, suppression_state="SUPPRESSED_BY_DESIGN")
    assert replace(waiting, alarms=(alarm,)).held
    assert not replace(waiting, alarms=(Mock(channel_id=warm.channel_id, suppression_state="SHELVED"),)).held
    other = replace(warm, channel_id=warm.channel_id + 1)
    assert not replace(waiting, channels=(warm, other), alarms=(alarm,)).held, "another channel waits for its delay"


def test_every_reason_of_refusal_has_words() -> None:
    for reason in Reason:
        assert reason_name(reason, "zh") != reason


def test_every_word_the_templates_and_the_code_ask_for_is_there_in_both_languages() -> None:
    texts = {}
    for path in ROOM.rglob("i18n.json"):
        texts |= json.loads(path.read_text(encoding="utf-8"))
    assert all(set(each) == {"zh", "en"} and all(each.values()) for each in texts.values())
    asked: set[str] = set()
    for file in ROOM.glob("templates/alerts/*.html"):
        asked |= set(re.findall(r"['\"](alerts\.[a-z0-9_]+\.[A-Za-z0-9_.]*[A-Za-z0-9_])['\"]", file.read_text("utf-8")))
    for file in ROOM.rglob("*.py"):
        asked |= set(re.findall(r"\bsay\(\s*['\"](alerts\.[A-Za-z0-9_.]+)['\"]", file.read_text("utf-8")))
    assert asked <= set(texts)
    for group, codes in {
        "kind": Kind,
        "cause": Cause,
        "hold": Hold,
        "event": [*Event, *SuppressionEvent, "correct", "cause", "assign", "explain"],
        "process": ProcessState,
        "suppression": [each for each in SuppressionState if each != "NONE"],
        "standing": Standing,
        "shelve.reason": SHELF_REASONS,
        "tab": Tab,
    }.items():
        assert {f"alerts.{group}.{each}" for each in codes} <= set(texts), group
    assert set(json.loads(live_words("zh"))) == {"live.on", "live.wait", "live.off", "age.seconds", "age.minutes",
                                                 "age.hours", "age.days", "span.minutes", "span.hours", "span.days",
                                                 "left.left", "left.over"}  # fmt: skip
