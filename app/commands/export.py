"""Write readings, hours or days to a CSV or Parquet file, whatever the span.

The same files as the download in the browser, without its limits. Memory stays the same however long the file gets;
a file that could not be finished is removed. `-` writes to standard output.

examples:
  hanlu export --site store-1 --from 2026-03-01T00:00+08:00 --to 2026-04-01T00:00+08:00 march.parquet
  hanlu export --channel gw-1/room-1/air_temperature --from 2026-03-01T00:00+08:00 --bom march.csv
  hanlu export --all --resolution day --from 2025-01-01T00:00+08:00 - --format csv | gzip > days.csv.gz
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import BinaryIO

from hanlu.app.running import settings_of_running
from hanlu.app.settings import Settings
from hanlu.app.wiring import database_url
from hanlu.core.clock import SystemClock
from hanlu.core.errors import NotFoundError, UsageError
from hanlu.db.pool import connect, translated
from hanlu.ingest.history.export import Format, export
from hanlu.ingest.history.plan import Resolution, span
from hanlu.ingest.history.read import Channel, Read

_MOST_CHANNELS = 10_000_000


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--all", action="store_true", help="every channel")
    what.add_argument("--site", metavar="CODE", help="the channels of a site")
    what.add_argument("--zone", metavar="CODE", help="the channels of a zone")
    what.add_argument("--channel", action="append", metavar="NAME", help="gateway/device/metric; may be given again")
    parser.add_argument(
        "--from", dest="begin", metavar="TIME", help="ISO 8601 with offset, or Unix ms; default a day before the end"
    )
    parser.add_argument("--to", dest="end", metavar="TIME", help="end, not included; default now")
    parser.add_argument("--resolution", choices=[each.value for each in Resolution], default="raw", help="default raw")
    parser.add_argument("--format", choices=[each.value for each in Format], help="default: by the file's name")
    parser.add_argument("--bom", action="store_true", help="CSV: begin with a byte order mark, for Excel")
    parser.add_argument("file", type=Path, help="file to write; - for standard output")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Write the file."""
    asked = span(args.begin, args.end, SystemClock().now_ms())
    kind = _kind(args)
    url = database_url(settings if args.config else settings_of_running(settings))
    total = 0

    def count(rows: int) -> None:
        nonlocal total
        total += rows
        if sys.stderr.isatty():
            print(f"\r{total:,} rows", end="", file=sys.stderr, flush=True)

    with (
        translated(),
        closing(connect(url, "hanlu_reader", name="hanlu export", autocommit=True)) as connection,
        _opened(args.file) as file,
    ):
        read = Read(connection, "/")
        channels = _chosen(read, args)
        for piece in export(read, channels, asked, Resolution(args.resolution), kind, bom=args.bom, progress=count):
            file.write(piece)
    print(f"{total:,} rows of {len(channels)} channels in {args.file}", file=sys.stderr)
    return 0


def _kind(args: argparse.Namespace) -> Format:
    name = args.format or args.file.suffix.removeprefix(".").lower()
    if name not in {each.value for each in Format}:
        raise UsageError(f"{args.file}: name it .csv or .parquet, or give --format")
    return Format(name)


def _chosen(read: Read, args: argparse.Namespace) -> list[Channel]:
    if args.channel:
        return read.named(args.channel)
    channels = read.channels(site=args.site, zone=args.zone, limit=_MOST_CHANNELS)
    if not channels:
        where = f"site {args.site}" if args.site else f"zone {args.zone}" if args.zone else "the register"
        raise NotFoundError(f"there is no channel in {where}; `hanlu gateways list` shows the codes of sites")
    return channels


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file that is whole in the end or not there."""
    if str(path) == "-":
        yield sys.stdout.buffer
        return
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(path)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
