from __future__ import annotations

import pytest
from pydantic import ValidationError

from hanlu.core.errors import UsageError
from hanlu.core.reading import Quality, Reading
from hanlu.gateway.driver.catalogue import config_class
from hanlu.gateway.driver.mapping import ChannelRule, code_of
from hanlu.gateway.driver.units import conversion


@pytest.mark.parametrize(
    ("value", "foreign", "unit", "expected"),
    [
        (0.0, "°F", "Cel", -17.7778),
        (212.0, "°F", None, 100.0),
        (253.15, "K", None, -20.0),
        (55.0, "%", "%RH", 55.0),
        (55.0, "%", None, 0.55),
        (3612.0, "mV", None, 3.612),
        (90.0, "km/h", None, 25.0),
        (-18.25, "Cel", None, -18.25),
    ],
)
def test_foreign_value_becomes_senml(value: float, foreign: str, unit: str | None, expected: float) -> None:
    assert conversion(foreign, unit)(value) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("foreign", "unit"), [("furlong", None), ("°C", "kg"), ("kg", "Cel")])
def test_unit_without_conversion_is_refused(foreign: str, unit: str | None) -> None:
    with pytest.raises(UsageError):
        conversion(foreign, unit)


def test_rule_scales_then_converts_and_names_the_channel() -> None:
    rule = ChannelRule(source="temp", metric="air_temperature", unit="°F", scale=0.1, offset=2.0)
    reading = rule.reading(300.0, 1_750_000_000_000, "A8:40:41-FF", Quality.UNCERTAIN)
    assert reading == Reading("a8-40-41-ff/air_temperature", "Cel", 1_750_000_000_000, 0.0, Quality.UNCERTAIN)


def test_rule_with_an_unknown_unit_is_refused_when_read() -> None:
    with pytest.raises((ValidationError, UsageError), match="furlong"):
        ChannelRule(source="x", metric="m", unit="furlong")


def test_device_id_without_a_letter_makes_no_code() -> None:
    with pytest.raises(ValueError, match="no letter"):
        code_of("冷库")


def test_unknown_kind_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="there is no driver 'abacus'; known are"):
        config_class("abacus")
