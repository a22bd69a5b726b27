"""Write dead letters with their bytes as lines of JSON, for a maker's workshop or another platform.

One object a line: the fields of the letter, and `body`, the bytes in base64. The oldest of the pages last.

examples:
  hanlu letters export > letters.jsonl
  hanlu letters export --gateway gw-yanling --all > letters.jsonl
"""

from __future__ import annotations

import argparse
import base64
import json
from dataclasses import asdict

from hanlu.app.letter_desk import letters_connection
from hanlu.app.settings import Settings
from hanlu.ingest.letter_read import read_body, read_letters

_PAGE = 500


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("--gateway", metavar="CODE", help="of this gateway only")
    parser.add_argument("--reason", help="refused for this reason only")
    parser.add_argument("--all", action="store_true", help="resolved ones too")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Print them all."""
    before: int | None = None
    open_only = None if args.all else True
    with letters_connection(args, settings) as connection:
        while page := read_letters(
            connection, _PAGE, gateway=args.gateway, reason=args.reason, open_only=open_only, before=before
        ):
            for each in page:
                body = base64.b64encode(read_body(connection, each.dead_letter_id)).decode()
                print(json.dumps(asdict(each) | {"body": body}, ensure_ascii=False))
            before = page[-1].dead_letter_id
    return 0
