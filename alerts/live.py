"""The live stream's messages as values and text: what changed, for whom, and where to take up again.

One stream carries these kinds of server-sent events. `reading`: the newest value of each channel that has one,
`{"now": ms, "readings": [[channel_id, observed_ms, value], …]}`. `alarm`: one transition,
`{"alarm_id", "event", "state", "quiet", "kind", "priority", "zone", "site"}`. `rows`, for pages that list alarms: those
that changed, as lines of the list, `{"rows": [html, …], "more": whether too many changed to be told}`. `tick`: the
counts at the top of the console and the platform's time, also when nothing happens, so that silence means a lost
connection. `reset` says that too much was missed to be replayed: the page loads itself anew.

Every message carries its `Position` as the event's id; a browser that lost its connection sends the last one back.

Source: WHATWG HTML Living Standard 9.2 (server-sent events).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from hanlu.alerts.views import Counts

__all__ = [
    "AlarmChange",
    "Batch",
    "ChannelPlace",
    "Position",
    "Viewer",
    "alarm_event",
    "messages",
    "reset",
    "rows_event",
    "tick",
]


class Position(NamedTuple):
    """How far a stream has come in the arrivals and in the alarms' journal.

    Attributes:
        txid: transaction of the last arrival told.
        arrival_id: its key.
        journal_txid: transaction of the last journal entry told.
        journal_id: its key.
    """

    txid: int
    arrival_id: int
    journal_txid: int
    journal_id: int

    @classmethod
    def parse(cls, text: str) -> Position | None:
        """Return the position a browser sent back; None when it is none of ours."""
        if not re.fullmatch(r"\d{1,20}-\d{1,19}-\d{1,20}-\d{1,19}", text, re.ASCII):
            return None
        txid, arrival_id, journal_txid, journal_id = (int(each) for each in text.split("-"))
        if max(txid, journal_txid) >= 2**64 or max(arrival_id, journal_id) >= 2**63:
            return None
        return cls(txid, arrival_id, journal_txid, journal_id)

    def __str__(self) -> str:
        """Return the event id, e.g. `812-44-810-3`."""
        return "-".join(str(each) for each in self)


class ChannelPlace(NamedTuple):
    """Whose a channel is and in which zone it stands."""

    path: str
    zone: str


@dataclass(frozen=True, slots=True)
class AlarmChange:
    """One transition of an alarm, with where it is; `txid` and `journal_id` are its position, `path` its owner's."""

    txid: str
    journal_id: int
    alarm_id: int
    event: str
    to_state: str
    kind: str
    priority: int
    suppression_state: str
    zone: str
    site: str
    path: str


@dataclass(frozen=True, slots=True)
class Batch:
    """What happened between two positions.

    Attributes:
        position: up to and with everything in the batch.
        readings: newest (observed_ms, value) by channel.
        alarms: transitions in order.
    """

    position: Position
    readings: Mapping[int, tuple[int, float]]
    alarms: tuple[AlarmChange, ...]


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks at what.

    Attributes:
        scope: path of the person's subtree.
        zone: code of the one zone the page shows, None for all.
        rows: language in which the page lists alarms, "" when it does not.
    """

    scope: str
    zone: str | None = None
    rows: str = ""

    def sees(self, place: ChannelPlace | None) -> bool:
        """Tell whether something in `place` concerns this viewer."""
        return place is not None and place.path.startswith(self.scope) and self.zone in (None, place.zone)


def placed(batch: Batch, places: Mapping[int, ChannelPlace]) -> dict[ChannelPlace, str]:
    """Return the readings of a batch by where they are, as text: made once, put together for each viewer.

    Readings of channels nobody knows are left out.
    """
    found: dict[ChannelPlace, list[str]] = {}
    for key in sorted(batch.readings):
        place = places.get(key)
        if place is not None:
            observed_ms, value = batch.readings[key]
            found.setdefault(place, []).append(f"[{key},{observed_ms},{json.dumps(value, allow_nan=False)}]")
    return {place: ",".join(texts) for place, texts in found.items()}


def messages(batch: Batch, viewer: Viewer, readings: Mapping[ChannelPlace, str], now_ms: int) -> str:
    """Return the text of a batch for one viewer, "" when nothing in it concerns the viewer.

    Args:
        batch: what happened.
        viewer: who looks at what; the language of its lines does not matter here.
        readings: those of the batch, as `placed` gives them.
        now_ms: the platform's time.
    """
    mine = [text for place, text in readings.items() if viewer.sees(place)]
    parts = []
    if mine:
        body = f'{{"now":{now_ms},"readings":[{",".join(mine)}]}}'
        parts.append(f"id: {batch.position}\nevent: reading\ndata: {body}\n\n")
    # An alarm is told to everybody of the subtree, whatever page is open: it must never be missed.
    parts += [alarm_event(each, batch.position) for each in batch.alarms if each.path.startswith(viewer.scope)]
    return "".join(parts)


def alarm_event(change: AlarmChange, position: Position) -> str:
    """Return the text of one transition."""
    told = {
        "alarm_id": change.alarm_id,
        "event": change.event,
        "state": change.to_state,
        "quiet": change.suppression_state,
        "kind": change.kind,
        "priority": change.priority,
        "zone": change.zone,
        "site": change.site,
    }
    return _event("alarm", position, told)


def rows_event(rows: Iterable[str], position: Position, *, more: bool) -> str:
    """Return the text that carries changed lines of the alarm list, as HTML."""
    return _event("rows", position, {"rows": list(rows), "more": more})


def tick(counts: Counts, position: Position, now_ms: int) -> str:
    """Return the text of a tick."""
    return _event("tick", position, {"now": now_ms, **asdict(counts)})


def reset(position: Position) -> str:
    """Return the text that tells a page to load itself anew."""
    return _event("reset", position, {})


def newest(arrivals: Iterable[tuple[list[int], list[int], list[float]]]) -> dict[int, tuple[int, float]]:
    """Return the newest (observed_ms, value) by channel of arrivals given as parallel lists."""
    found: dict[int, tuple[int, float]] = {}
    for channel_ids, observed_ms, values in arrivals:
        for channel_id, at_ms, value in zip(channel_ids, observed_ms, values, strict=True):
            known = found.get(channel_id)
            if known is None or at_ms > known[0]:
                found[channel_id] = (at_ms, value)
    return found


def _event(name: str, position: Position, data: Mapping[str, Any]) -> str:
    body = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return f"id: {position}\nevent: {name}\ndata: {body}\n\n"
