"""Show one dead letter: reason, bytes as text and in hexadecimal, and what replays of it moved.

examples:
  hanlu letters show 17
  hanlu letters show 17 --json
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from hanlu.app.letter_desk import letters_connection
from hanlu.app.settings import Settings
from hanlu.core.clock import from_ms
from hanlu.core.errors import UsageError
from hanlu.ingest.letter_read import preview, read_body, read_letter, read_replays


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("letter", type=int, metavar="NUMBER", help="of the letter, as `hanlu letters list` gives it")
    parser.add_argument("--json", action="store_true", help="as JSON, the bytes in hexadecimal")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Print the letter."""
    with letters_connection(args, settings) as connection:
        letter = read_letter(connection, args.letter)
        if letter is None:
            raise UsageError(f"there is no dead letter {args.letter}")
        body, replays = read_body(connection, args.letter), read_replays(connection, args.letter)
    if args.json:
        row = asdict(letter) | {"body": body.hex(), "replays": [asdict(each) for each in replays]}
        print(json.dumps(row, ensure_ascii=False, indent=2))
        return 0
    for name, value in asdict(letter).items():
        if value is not None:
            print(f"{name.removesuffix('_ms'):<16}{from_ms(value).isoformat() if name.endswith('_ms') else value}")
    for each in replays:
        when = from_ms(each.at_ms).isoformat(timespec="seconds")
        print(
            f"replay {each.attempt:<9}{when} by {each.done_by}: {each.stored} stored, {each.duplicate} duplicate, "
            f"{each.lost} lost"
        )
    shown = preview(body)
    if shown.text is not None:
        print(f"\n{shown.text}")
    print()
    for offset, bytes_, letters in shown.rows:
        print(f"{offset}  {bytes_:<47}  {letters}")
    if shown.cut:
        print(f"and {shown.cut} bytes more: hanlu letters export writes them all")
    return 0
