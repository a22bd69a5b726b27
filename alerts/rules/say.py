"""A rule in a sentence, in both languages: what is watched, when it becomes an alarm, when it is over."""

from __future__ import annotations

import re
from typing import Any, Final

from hanlu.alerts.kind import LIMIT_KINDS, Kind
from hanlu.alerts.rules.model import Rule
from hanlu.alerts.rules.parameters import LimitParameters, Parameters
from hanlu.alerts.wording import metric_name, unit_label, words

__all__ = ["duration", "field_hint", "field_name", "field_value", "place", "sentence", "shown"]

_UP: Final = frozenset({Kind.HIGH, Kind.HIGH_HIGH})
_STEPS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_UNIT: Final = re.compile(r" \((?:s|min|W|K)\)$|（(?:秒|分钟|瓦|开)）$")
"""The unit at the end of a field's name."""
_ROUND: Final = 2
"""A time is said in one unit when it is a whole number of it, or at least two of the next smaller."""


def duration(seconds: float, lang: str) -> str:
    """Return seconds as people say them: 45 min, 6 h, 1 d 12 h."""
    if seconds == 0:
        return words(lang)("rules.say.none")
    left, parts = int(seconds), []
    for size, unit in _STEPS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {words(lang)(f'rules.unit.{unit}')}")
    return " ".join(parts[:_ROUND])


def shown(name: str, value: Any, lang: str, unit: str = "") -> str:
    """Return a parameter's value as people read it; `name` tells what it is measured in."""
    say = words(lang)
    if value is None:
        return say("rules.say.open")
    if isinstance(value, bool):
        return say("rules.say.yes" if value else "rules.say.no")
    if name in {"side", "direction"}:
        return say(f"rules.choice.{value}")
    if name == "unit":
        return unit_label(value) or str(value)
    if name.endswith("_s"):
        return duration(value, lang)
    if name == "used":
        return f"{value * 100:g} %"
    if name in {"minutes", "time_to_respond_min", "re_alarm_min"}:
        return duration(value * 60, lang)
    mark = {
        "least_w": "W", "days_before": say("rules.unit.d"), "warmer_by": "K", "coil_by": "K",
        "degree_minutes": say("rules.unit.dm"),
    }.get(name)  # fmt: skip
    if mark is None and name in {
        "setpoint",
        "beyond",
        "deadband",
        "per_hour",
        "margin",
        "differs_by",
        "least_change",
        "goods_inside",
    }:
        mark = unit_label(unit)
    return f"{value:g} {mark}".strip() if mark else f"{value:g}"


def sentence(rule: Rule, lang: str) -> str:
    """Return what a rule does, in a sentence or two."""
    say = words(lang)
    parameters = rule.parameters
    unit = getattr(parameters, "unit", None) or ""
    values = {name: shown(name, value, lang, unit) for name, value in parameters}
    if rule.kind in LIMIT_KINDS and isinstance(parameters, LimitParameters):
        text = _limit(rule.kind, parameters, values, lang)
    else:
        if "setpoint" in values:
            values["limit"] = _setpoint(parameters, values, lang, up=getattr(parameters, "side", "high") == "high")
        text = say(f"rules.says.{rule.kind}").format(**values)
    if rule.latch:
        text += say("rules.says.latch")
    if rule.re_alarm_min is not None:
        text += say("rules.says.re_alarm").format(after=duration(rule.re_alarm_min * 60, lang))
    return text


def place(rule: Rule, lang: str) -> str:
    """Return where a rule is meant to hold."""
    say, applies = words(lang), rule.applies
    parts = []
    for name, value in applies.model_dump(exclude_none=True).items():
        if name == "profiled":
            parts.append(say("rules.place.profiled" if value else "rules.place.unprofiled"))
        elif name == "high_at_most":
            parts.append(say("rules.place.high_at_most").format(limit=f"{value:g}".replace("-", "−")))
        else:
            parts.append(f"{say(f'rules.field.{name}')} {metric_name(value, lang) if name == 'metric' else value}")
    return say("rules.place.and").join(parts) if parts else say("rules.place.everywhere")


def field_name(name: str, lang: str, *, with_unit: bool = False) -> str:
    """Return what a dotted field is called; one without a word of its own keeps its name.

    Args:
        name: dotted, or its last part.
        lang: "zh" or "en".
        with_unit: for an input, whose number stands alone; beside a value that says its unit it would stand twice.
    """
    last = name.rsplit(".", 1)[-1]
    try:
        text = words(lang)(f"rules.field.{last}")
    except KeyError:
        return last
    return text if with_unit else _UNIT.sub("", text)


def field_hint(name: str, lang: str) -> str:
    """Return what a field means and what it is measured in, for below its input; "" where there is nothing to say."""
    try:
        return words(lang)(f"rules.hint.{name}")
    except KeyError:
        return ""


def field_value(name: str, value: Any, lang: str) -> str:
    """Return a field's value as people read it, in a list of changes."""
    last = name.rsplit(".", 1)[-1]
    if last in {"profiled", "enabled", "latch"} and value is not None:
        return words(lang)("rules.say.yes" if value else "rules.say.no")
    if isinstance(value, str) and last not in {"side", "direction", "unit"}:
        return value
    if value is None and not name.startswith("parameters."):
        return "—"
    if last == "priority":
        return words(lang)(f"alerts.priority.{value}")
    return shown(last, value, lang)


def _limit(kind: Kind, parameters: LimitParameters, values: dict[str, str], lang: str) -> str:
    say, up = words(lang), kind in _UP
    values = values | {
        "limit": _setpoint(parameters, values, lang, up=up),
        "beyond_word": say("rules.says.above" if up else "rules.says.under"),
    }
    text = say("rules.says.limit").format(**values)
    if parameters.hold_defrost:
        text += say("rules.says.hold_defrost")
    if parameters.hold_door_s:
        text += say("rules.says.hold_door").format(**values)
    return text


def _setpoint(parameters: Parameters, values: dict[str, str], lang: str, *, up: bool) -> str:
    say = words(lang)
    if getattr(parameters, "setpoint", None) is not None:
        return values["setpoint"]
    text = say("rules.says.profile_high" if up else "rules.says.profile_low")
    if getattr(parameters, "beyond", 0):
        text += say("rules.says.beyond").format(beyond=values["beyond"])
    return text
