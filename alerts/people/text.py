"""What a message says: within a glance what, where, how bad, since when, how long there is to act, and what to do.

One `compose` for all channels gives plain text, simple HTML, data for webhooks and short variables for an SMS, in the
receiver's language. Times are China's. The link that acknowledges is put in last, where `ACKNOWLEDGE` stands, so that
it is in no record.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any, Final

from hanlu.alerts.people.chain import Line
from hanlu.alerts.people.channels.contract import Letter
from hanlu.alerts.people.facts import AlarmFacts, Lang
from hanlu.alerts.people.workdays import CHINA
from hanlu.alerts.wording import SWITCHES, VALUELESS, metric_name, switch_text, unit_label, words
from hanlu.core.clock import from_ms

__all__ = ["ACKNOWLEDGE", "Composed", "compose", "headline", "letter_of", "test_letter"]

ACKNOWLEDGE: Final = "{acknowledge}"
"""Stands in a recorded text where the link was."""

MOST_LISTED: Final = 8
"""Alarms listed in one message; the others are counted."""
MOST_IN_DATA: Final = 100
"""Alarms given to a webhook in one message; the others are counted."""

_MINUTE_MS: Final = 60_000
_DAY_MIN: Final = 1440


@dataclass(frozen=True, slots=True)
class Composed:
    """A message before its link is put in.

    Attributes:
        subject: one line.
        text: with `ACKNOWLEDGE` on a line of its own where a link belongs.
        data: for webhooks.
        short: variables of an SMS.
        thread: see Letter.
        urgent: about a critical alarm.
    """

    subject: str
    text: str
    data: dict[str, Any]
    short: dict[str, str]
    thread: str
    urgent: bool


def headline(alarm: AlarmFacts, lang: Lang) -> str:
    """Return one line: how urgent, where, what; nothing else of an alarm is shown to who is not signed in."""
    say = words(lang)
    where = alarm.site(lang) if alarm.zone(lang) == alarm.site(lang) else f"{alarm.site(lang)} · {alarm.zone(lang)}"
    urgent = say(f"alerts.priority.{alarm.priority}")
    return f"【{urgent}】{where}：{_what(alarm, lang)}" if lang == "zh" else f"[{urgent}] {where}: {_what(alarm, lang)}"


def compose(
    lines: Sequence[Line], *, purpose: str, lang: Lang, now_ms: int, repeat: bool, public_url: str | None, link: bool
) -> Composed:
    """Return the message about some alarms.

    Args:
        lines: one or more, any order; an alarm that stands in several is told once.
        purpose: call, return or digest.
        lang: the receiver's.
        now_ms: the platform's time.
        repeat: an earlier attempt may have arrived: the text says so.
        public_url: where the console is reached, None when only this machine knows it.
        link: whether a link that acknowledges will be put in.
    """
    say = words(lang)
    alarms = _ordered({each.alarm.alarm_id: each.alarm for each in lines}.values())
    first = alarms[0]
    step = max(each.step for each in lines)
    parts: list[str] = []
    if len(alarms) == 1:
        subject = _marked(headline(first, lang), purpose, say)
        parts += [subject, *_details(first, lang, now_ms)]
    else:
        sites = {each.site_id for each in alarms}
        where = first.site(lang) if len(sites) == 1 else say("people.text.sites").format(count=len(sites))
        urgent = say(f"alerts.priority.{first.priority}")
        subject = _marked(say("people.text.many").format(urgent=urgent, where=where, count=len(alarms)), purpose, say)
        parts.append(subject)
        parts += [f"· {_brief(each, lang, now_ms, one_site=len(sites) == 1)}" for each in alarms[:MOST_LISTED]]
        if len(alarms) > MOST_LISTED:
            parts.append(say("people.text.more").format(count=len(alarms) - MOST_LISTED))
    if purpose == "call" and step > 0:
        parts.append(say("people.text.step").format(step=step + 1))
    if repeat:
        parts.append(say("people.text.repeat"))
    if link and purpose != "return":
        parts.append(say("people.text.acknowledge").format(link=ACKNOWLEDGE))
    address = _address(alarms, public_url)
    if address:
        parts.append(say("people.text.details").format(link=address))
    return Composed(
        subject,
        "\n".join(parts),
        _data(alarms, purpose, now_ms, repeat, address),
        _short(alarms, lang, now_ms, say("people.text.sms_more").format(count=len(alarms) - 1)),
        f"hanlu-alarm-{min(each.alarm_id for each in alarms)}",
        first.priority == 1 and purpose == "call",
    )


def letter_of(composed: Composed, uuid: str, now_ms: int, link: str | None) -> Letter:
    """Return the letter with the link put in, or its line taken out."""
    lines = composed.text.split("\n")
    if link is None:
        lines = [each for each in lines if ACKNOWLEDGE not in each]
    text = "\n".join(lines).replace(ACKNOWLEDGE, link or "")
    data = composed.data if link is None else {**composed.data, "data": {**composed.data["data"], "acknowledge": link}}
    return Letter(
        uuid, composed.subject, text, _html(text), data, composed.short, composed.thread, composed.urgent, now_ms
    )


def test_letter(name: str, lang: Lang, uuid: str, now_ms: int) -> Letter:
    """Return a test message; it says that it is one."""
    say = words(lang)
    subject = say("people.text.test").format(name=name)
    text = f"{subject}\n{say('people.text.test_more').format(when=_clock(now_ms))}"
    data = {"type": "test", "timestamp": _iso(now_ms), "data": {"receiver": name}}
    short = {
        "place": name[:20],
        "what": say("people.text.test_short"),
        "value": "-",
        "since": _clock(now_ms),
        "more": "-",
    }
    return Letter(uuid, subject, text, _html(text), data, short, "hanlu-test", False, now_ms)


def value_text(value: float | None, unit: str) -> str:
    """Return a value with its unit as people write it; "—" where there is none."""
    if value is None or not math.isfinite(value):
        return "—"
    shown = f"{value:.1f}".replace("-", "−")
    label = unit_label(unit)
    return f"{shown} {label}" if label else shown


def minutes_text(minutes: int, lang: Lang) -> str:
    """Return a duration in words."""
    if minutes < 60:
        return f"{minutes} 分钟" if lang == "zh" else f"{minutes} min"
    if minutes < _DAY_MIN:
        hours, rest = divmod(minutes, 60)
        if lang == "zh":
            return f"{hours} 小时{f' {rest} 分' if rest else ''}"
        return f"{hours} h{f' {rest} min' if rest else ''}"
    days, rest = divmod(minutes, _DAY_MIN)
    return f"{days} 天 {rest // 60} 小时" if lang == "zh" else f"{days} d {rest // 60} h"


def _ordered(alarms: Any) -> list[AlarmFacts]:
    return sorted(alarms, key=lambda each: (each.priority, each.exceeded_ms, each.alarm_id))


def _what(alarm: AlarmFacts, lang: Lang) -> str:
    title = alarm.title(lang)
    if title:
        return title
    kind = words(lang)(f"alerts.kind.{alarm.kind}")
    if alarm.limit_value is None or alarm.metric == alarm.kind:
        return kind
    return f"{metric_name(alarm.metric, lang)}{kind}" if lang == "zh" else f"{metric_name(alarm.metric, lang)}: {kind}"


def _marked(line: str, purpose: str, say: Any) -> str:
    return line if purpose == "call" else f"{say(f'people.text.{purpose}')} {line}"


def _details(alarm: AlarmFacts, lang: Lang, now_ms: int) -> list[str]:
    say = words(lang)
    lines: list[str] = []
    badness = _badness(alarm, lang)
    if badness:
        lines.append(badness)
    lasted = minutes_text(max(0, ((alarm.returned_ms or now_ms) - alarm.exceeded_ms) // _MINUTE_MS), lang)
    if alarm.returned_ms is not None:
        lines.append(
            say("people.text.over").format(
                since=_when(alarm.exceeded_ms, now_ms), until=_when(alarm.returned_ms, now_ms), lasted=lasted
            )
        )
    else:
        lines.append(say("people.text.since").format(since=_when(alarm.exceeded_ms, now_ms), lasted=lasted))
        if alarm.respond_by_ms is not None:
            left = (alarm.respond_by_ms - now_ms) // _MINUTE_MS
            key = "people.text.respond" if left > 0 else "people.text.respond_late"
            lines.append(say(key).format(until=_when(alarm.respond_by_ms, now_ms), left=minutes_text(abs(left), lang)))
    if alarm.cause != "unknown":
        lines.append(say("people.text.cause").format(cause=say(f"alerts.cause.{alarm.cause}")))
    response = alarm.response(lang)
    if response and alarm.returned_ms is None:
        lines.append(say("people.text.response").format(response=response))
    return lines


def _badness(alarm: AlarmFacts, lang: Lang) -> str:
    say = words(lang)
    parts = []
    if alarm.metric in SWITCHES:
        state = "" if alarm.returned_ms is not None or alarm.value is None else _state(alarm, lang)
        return say("people.text.now").format(value=state) if state else ""
    if alarm.kind in VALUELESS:
        return ""
    if alarm.value is not None:
        parts.append(say("people.text.now").format(value=value_text(alarm.value, alarm.unit)))
    if alarm.peak is not None and alarm.limit_value is not None:
        parts.append(say("people.text.worst").format(value=value_text(alarm.peak, alarm.unit)))
    if alarm.limit_value is not None:
        parts.append(say("people.text.limit").format(value=value_text(alarm.limit_value, alarm.unit)))
    return ("，" if lang == "zh" else ", ").join(parts)


def _brief(alarm: AlarmFacts, lang: Lang, now_ms: int, *, one_site: bool) -> str:
    say = words(lang)
    where = alarm.zone(lang) if one_site else f"{alarm.site(lang)} {alarm.zone(lang)}"
    shown = _state(alarm, lang)
    value = f" {shown}" if shown else ""
    state = f" {say('people.text.over_short')}" if alarm.returned_ms is not None else ""
    urgent, since = say(f"alerts.priority.{alarm.priority}"), _when(alarm.exceeded_ms, now_ms)
    return f"{urgent} {where} {_what(alarm, lang)}{value} {since}{state}"


def _short(alarms: Sequence[AlarmFacts], lang: Lang, now_ms: int, more: str) -> dict[str, str]:
    first = alarms[0]
    return {
        "place": first.zone(lang)[:20]
        if first.zone(lang) == first.site(lang)
        else f"{first.site(lang)}{first.zone(lang)}"[:20],
        "what": words(lang)(f"alerts.kind.{first.kind}")[:20],
        "value": _state(first, lang).replace("−", "-") or "-",
        "since": _clock(first.exceeded_ms),
        "more": more if len(alarms) > 1 else "-",
    }


def _state(alarm: AlarmFacts, lang: Lang) -> str:
    """Return its newest value as people read it, a switch in words; "" where a number would say nothing."""
    value = alarm.value if alarm.value is not None else alarm.peak
    if value is None:
        return ""
    if alarm.metric in SWITCHES:
        return switch_text(alarm.metric, value, lang)
    return "" if alarm.kind in VALUELESS else value_text(value, alarm.unit)


def _data(alarms: Sequence[AlarmFacts], purpose: str, now_ms: int, repeat: bool, address: str | None) -> dict[str, Any]:
    return {
        "type": f"alarm.{purpose}",
        "timestamp": _iso(now_ms),
        "data": {
            "possible_repeat": repeat,
            "console": address,
            "more": max(0, len(alarms) - MOST_IN_DATA),
            "alarms": [
                {
                    "alarm_id": each.alarm_id,
                    "version": each.version,
                    "kind": each.kind,
                    "priority": each.priority,
                    "site": {"zh": each.site_zh, "en": each.site_en},
                    "zone": {"zh": each.zone("zh"), "en": each.zone("en")},
                    "title": {"zh": _what(each, "zh"), "en": _what(each, "en")},
                    "metric": each.metric,
                    "unit": each.unit,
                    "value": each.value,
                    "peak": each.peak,
                    "limit": each.limit_value,
                    "since": _iso(each.exceeded_ms),
                    "returned": None if each.returned_ms is None else _iso(each.returned_ms),
                    "respond_by": None if each.respond_by_ms is None else _iso(each.respond_by_ms),
                    "cause": each.cause,
                    "response": {"zh": each.response_zh, "en": each.response_en},
                }
                for each in alarms[:MOST_IN_DATA]
            ],
        },
    }


def _address(alarms: Sequence[AlarmFacts], public_url: str | None) -> str | None:
    if public_url is None:
        return None
    return f"{public_url}/console/alarms/{alarms[0].alarm_id}" if len(alarms) == 1 else f"{public_url}/console/alarms"


def _html(text: str) -> str:
    """Return plain text as HTML: the first line large, addresses as links."""
    rows = []
    for number, line in enumerate(text.split("\n")):
        before, found, link = line.partition("http")
        escaped = html.escape(before)
        if found:
            address = html.escape(f"http{link}")
            escaped += f'<a href="{address}">{address}</a>'
        rows.append(f"<h2>{escaped}</h2>" if number == 0 else f"<p>{escaped}</p>")
    return f"<!doctype html><html><body>{''.join(rows)}</body></html>\n"


def _clock(ms: int) -> str:
    return f"{from_ms(ms).astimezone(CHINA):%H:%M}"


def _when(ms: int, now_ms: int) -> str:
    """Return the time of day, with the date when it is another day's."""
    local, today = from_ms(ms).astimezone(CHINA), from_ms(now_ms).astimezone(CHINA)
    return f"{local:%H:%M}" if local.date() == today.date() else f"{local:%m-%d %H:%M}"


def _iso(ms: int) -> str:
    return from_ms(ms).astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
