"""An alarm in one sentence: what, where, how bad, since when. The first thing an operator reads."""

from __future__ import annotations

from hanlu.alerts.alarm import SuppressionEvent
from hanlu.alerts.kind import LIMIT_KINDS, Cause
from hanlu.alerts.outcome import ENGINE_NOTES
from hanlu.alerts.views import Alarm, Entry
from hanlu.alerts.wording import hold_name, metric_name, span_text, unit_label, words

__all__ = ["headline", "note_text", "worst"]


def worst(alarm: Alarm) -> str:
    """Return the alarm's worst value with its unit, "" where there is none or it says nothing."""
    if alarm.peak is None or not alarm.has_value:
        return ""
    return _value(alarm.peak, alarm.unit)


def headline(alarm: Alarm, now_ms: int, lang: str) -> str:
    """Return the sentence.

    Args:
        alarm: which.
        now_ms: the platform's time.
        lang: "zh" or "en".
    """
    say = words(lang)
    span = alarm.span(now_ms)
    parts = {
        "zone": alarm.zone_name(lang),
        "site": alarm.site_name(lang),
        "kind": say(f"alerts.kind.{alarm.kind}"),
        "metric": metric_name(alarm.metric, lang),
        "worst": worst(alarm),
        "limit": "" if alarm.limit_value is None else _value(alarm.limit_value, alarm.unit),
        "span": span_text(span.to_ms - span.from_ms, lang),
    }
    detail = ""
    if parts["worst"] and parts["limit"] and alarm.kind in LIMIT_KINDS:
        detail = say("alerts.sentence.against").format(**parts)
    elif parts["worst"]:
        detail = say("alerts.sentence.worst").format(**parts)
    lasting = say("alerts.sentence.over" if alarm.returned_ms is not None else "alerts.sentence.since").format(**parts)
    return say("alerts.sentence.what").format(**parts) + detail + lasting


def _value(value: float, unit: str) -> str:
    return f"{value:,.1f}\u202f{unit_label(unit)}".rstrip("\u202f").replace("-", "−")


def note_text(entry: Entry, lang: str) -> str:
    """Return a journal entry's note in words: codes as what they mean, what people wrote as they wrote it."""
    say = words(lang)
    if entry.event == "cause" and entry.note in set(Cause):
        return say(f"alerts.cause.{entry.note}")
    if entry.event in set(SuppressionEvent):
        return hold_name(entry.note, lang)
    if entry.actor == "engine" and entry.note in ENGINE_NOTES:
        return say(f"alerts.note.{entry.note}")
    return entry.note
