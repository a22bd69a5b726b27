"""List messages to people: state, receiver, alarms, attempts, the newest first.

States: waiting, sending, sent, failed, dropped (not sent, with the reason). Times are UTC. --json has the text as well,
without the link that acknowledges.

examples:
  hanlu notify list
  hanlu notify list --state failed --json
"""

from __future__ import annotations

import argparse
import json
from contextlib import closing
from typing import Any

from hanlu.alerts.people.read import list_messages
from hanlu.app.running import settings_of_running
from hanlu.app.settings import Settings
from hanlu.app.wiring import database_url
from hanlu.core.clock import from_ms
from hanlu.db.pool import connect, translated

_STATES = ("waiting", "sending", "sent", "failed", "dropped")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("--state", choices=_STATES, help="only those in this state")
    parser.add_argument("--receiver", metavar="CODE", help="only those to this receiver")
    parser.add_argument("--limit", type=int, default=50, help="at most so many (50)")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Print the list."""
    url = database_url(settings if args.config else settings_of_running(settings))
    with translated(), closing(connect(url, "hanlu_alerts", name="hanlu notify list", autocommit=True)) as connection:
        rows = list_messages(
            connection, "/", state=args.state, receiver=args.receiver, limit=min(max(args.limit, 1), 10_000)
        )
    if args.json:
        print(json.dumps([_as_json(row) for row in rows], ensure_ascii=False))
        return 0
    layout = "{:<8} {:<17} {:<8} {:<20} {:<9} {:>3}  {}"
    print(layout.format("MESSAGE", "MADE (UTC)", "STATE", "RECEIVER", "CHANNEL", "TRY", "ALARMS, REASON"))
    for row in rows:
        alarms = " ".join(str(each) for each in row["alarm_ids"][:8])
        more = "; ".join(each for each in (alarms, row["reason"], "repeat?" if row["possible_repeat"] else "") if each)
        made = f"{from_ms(row['made_ms']):%F %R}"
        print(
            layout.format(row["notification_id"], made, row["state"], row["code"], row["kind"], row["attempts"], more)
        )
    return 0


def _as_json(row: dict[str, Any]) -> dict[str, Any]:
    times = {"made_ms": "made_at", "due_ms": "due_at", "finished_ms": "finished_at"}
    values = {
        times.get(name, name): from_ms(value).isoformat() if name in times and value is not None else value
        for name, value in row.items()
    }
    return {"message" if name == "notification_id" else "text" if name == "message" else name: value
            for name, value in values.items()}  # fmt: skip
