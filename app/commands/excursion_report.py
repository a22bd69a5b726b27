"""Write the report of an excursion as PDF.

The same file the console offers: figures, curve, lots, acknowledgements, corrections, the digest of the readings used,
and lines to sign. Numbers are listed by `hanlu excursion list`; with --alarm the number is that of an alarm.

examples:
  hanlu excursion report 17
  hanlu excursion report 17 --lang en --out excursion-17.pdf
  hanlu excursion report 4211 --alarm --out - > report.pdf
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from hanlu.alerts.excursion.read import Reader
from hanlu.app.running import settings_of_running
from hanlu.app.settings import Settings
from hanlu.app.wiring import database_url
from hanlu.core.clock import SystemClock
from hanlu.core.errors import NotFoundError, UsageError
from hanlu.db.pool import connect, translated


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("number", metavar="ID", type=int, help="number of the excursion")
    parser.add_argument("--alarm", action="store_true", help="ID is the number of an alarm")
    parser.add_argument("--lang", choices=["zh", "en"], default="zh", help="language of the report (zh)")
    parser.add_argument("--out", metavar="FILE", help="file to write, - for standard output (excursion-ID-LANG.pdf)")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Write the report."""
    from hanlu.alerts.excursion.report import report_pdf

    url = database_url(settings if args.config else settings_of_running(settings))
    with translated(), connect(url, "hanlu_alerts", name="hanlu excursion report") as connection:
        reader = Reader(connection, "/")
        key = "alarm_id" if args.alarm else "excursion_id"
        number = reader.number(**{key: args.number})
        if number is None and args.alarm:
            raise NotFoundError(f"alarm {args.number} has no excursion: only alarms of a limit have one")
        detail = reader.detail(number or args.number)
    data = report_pdf(detail, args.lang, SystemClock().now_ms())
    name = args.out or f"excursion-{detail.excursion.excursion_id}-{args.lang}.pdf"
    if name == "-":
        sys.stdout.buffer.write(data)
        return 0
    try:
        Path(name).write_bytes(data)
    except OSError as error:
        raise UsageError(f"--out {name}: {error.strerror or error}") from error
    print(f"{name}: {len(data):,} bytes")
    return 0
