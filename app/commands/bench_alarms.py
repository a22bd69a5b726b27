"""Judge recorded rooms by the alarm rules that come with Hanlu, beside two simple baselines.

Each FILE is a CSV export of one room with a header (comma, semicolon or tab; decimal comma or point; times with or
without an offset): its columns are recognised as by `hanlu replay`. Needed is a column of air temperature; contacts of
defrost, door and compressor and the evaporator's temperature are used where there are any. Readings are taken as they
are: nothing is resampled, filled or filtered; cells without a value are left out and counted.

Every room goes through the same judges as in the running system, with the shipped rules and no tuning. The table says
how many alarms would have called a person, by kind and a room and day; how many were held by design; how many of the
long excursions (three hours and more above the limit, bridged over gaps of at most 30 min) had an alarm that tells of
warmth active at some moment of them, and after how many minutes (0 where it stood already); and how many hours a day
such an alarm stood. Percentiles are by nearest rank: a delay that was observed, never one between two. Beside it: the
plain threshold, and 30 min of delay with 1 K of deadband. Alarms of missing data are not part of it, since an export
does not say when its rows arrived.

Exit code 0 when every file was judged, 2 for a file that cannot be used.

examples:
  hanlu bench alarms room.csv --time-zone=-03:00
  hanlu bench alarms room-1.csv room-2.csv --without-defrost-flag
  hanlu bench alarms rooms/*.csv --limit -18 --json
"""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from hanlu.alerts.rules.assign import Versioned
from hanlu.alerts.rules.store import shipped_rules
from hanlu.app.bench.alarms import Figures, RoomFigures, judged, total
from hanlu.app.bench.recordings import AIR, load
from hanlu.app.settings import Settings
from hanlu.core.clock import SystemClock
from hanlu.core.errors import UsageError
from hanlu.registry.profiles import shipped_profiles
from hanlu.registry.records import LimitProfile

_LOGICS: Final = {
    "rules": "Hanlu's rules",
    "threshold": "plain threshold",
    "delay": "30 min delay, 1 K deadband",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="CSV export of one room, with a header")
    parser.add_argument(
        "--limit", type=float, metavar="C", help="upper limit of the air, degrees Celsius; else the profile's"
    )
    parser.add_argument(
        "--profile", default="frozen-room", metavar="CODE", help="limit profile the rooms are judged by (frozen-room)"
    )
    parser.add_argument(
        "--without-defrost-flag", action="store_true", help="withhold the defrost's contact: the curve must tell"
    )
    parser.add_argument(
        "--time-zone", default="UTC", metavar="ZONE", help="of times without an offset: a name or -03:00 (UTC)"
    )
    parser.add_argument("--json", action="store_true", help="print the figures for machines")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Judge and print."""
    profiles = _profiles(args.profile, args.limit)
    rules = [Versioned(rule, 1) for rule in shipped_rules()]
    now_ms = SystemClock().now_ms()
    recordings = [load(path, args.time_zone, now_ms) for path in args.files]
    rooms = [
        judged(each, rules, profiles, args.limit, without_defrost=args.without_defrost_flag) for each in recordings
    ]
    together = total(rooms)
    high = args.limit if args.limit is not None else next(each.high for each in profiles if each.metric == AIR)
    if args.json:
        files = [_room_json(room, recording.invalid) for room, recording in zip(rooms, recordings, strict=True)]
        print(
            json.dumps(
                {
                    "limit": high,
                    "profile": args.profile,
                    "without_defrost_flag": args.without_defrost_flag,
                    "files": files,
                    "total": _logics_json(together),
                },
                indent=1,
            )
        )
        return 0
    for room, recording in zip(rooms, recordings, strict=True):
        _show(room.name, room.figures, _about(room, recording.invalid))
    if len(rooms) > 1:
        _show(f"all {len(rooms)} rooms", together, "")
    print(f"limit {high:g} Cel, profile {args.profile}; a long excursion lasts 3 h and more")
    return 0


def _profiles(code: str, limit: float | None) -> list[LimitProfile]:
    """Return the profile's entries that are in force today, one a metric."""
    today = datetime.now(UTC).date()
    newest: dict[str, LimitProfile] = {}
    for each in shipped_profiles():
        before = newest.get(each.metric)
        newer = before is None or before.effective_from < each.effective_from
        if each.code == code and each.effective_from <= today and newer:
            newest[each.metric] = each
    known = sorted({each.code for each in shipped_profiles() if each.metric == AIR})
    if AIR not in newest:
        raise UsageError(f"--profile: {code!r} judges no air temperature; there are {', '.join(known)}")
    air = newest[AIR]
    if limit is None and air.high is None:
        raise UsageError(f"--profile: {code!r} has no upper limit of the air; give --limit")
    if limit is not None and air.low is not None and limit <= air.low:
        raise UsageError(f"--limit: {limit:g} does not lie above the profile's lower limit, {air.low:g}")
    return list(newest.values())


def _room_json(room: RoomFigures, invalid: dict[str, int]) -> dict[str, Any]:
    return {
        "file": room.name,
        "readings": room.readings,
        "invalid_cells": invalid,
        "rules": room.rules,
        "defrost_contact": room.defrost_contact,
        **_logics_json(room.figures),
        "alarms": [{"kind": each.kind, "from_ms": each.from_ms, "until_ms": each.until_ms} for each in room.spans],
    }


def _logics_json(figures: dict[str, Figures]) -> dict[str, Any]:
    return {
        "room_days": round(figures["rules"].room_days, 3),
        "rules": figures["rules"].as_json(),
        "baselines": {name: figures[name].as_json() for name in ("threshold", "delay")},
    }


def _about(room: RoomFigures, invalid: dict[str, int]) -> str:
    cells = ", ".join(f"{reason} {count:,}" for reason, count in invalid.items())
    contact = "defrost told by its contact" if room.defrost_contact else "defrost told by the curve"
    return f"{room.readings:,} readings; {contact}" + (f"; cells left out: {cells}" if cells else "")


def _show(name: str, figures: dict[str, Figures], about: str) -> None:
    """Print one room's table."""
    rules = figures["rules"]
    print(f"{name}: {rules.room_days:.1f} room-days" + (f"; {about}" if about else ""))
    heads = ("", "alarms", "a room-day", "held", "long caught", "delay p50", "p95", "chatter", "repeats", "standing")
    rows = [heads]
    for key, label in _LOGICS.items():
        each = figures[key]
        rows.append(
            (
                label,
                f"{each.alarms:,}",
                f"{each.per_room_day:.2f}",
                f"{each.held:,}",
                f"{each.caught}/{each.long}",
                _minutes(each.percentile(0.5)),
                _minutes(each.percentile(0.95)),
                f"{each.chattering:,}",
                f"{each.repeats:,}",
                f"{each.standing_h / each.room_days:.1f} h/d" if each.room_days else "-",
            )
        )
    widths = [max(len(row[index]) for row in rows) for index in range(len(heads))]
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        print("  " + "  ".join(cells).rstrip())
    if rules.by_kind:
        print("  by kind: " + ", ".join(f"{kind} {count}" for kind, count in rules.by_kind.most_common()))
    for at_ms in rules.missed:
        print(f"  missed: {datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC")
    print()


def _minutes(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} min"
