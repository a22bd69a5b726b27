"""Check the proof of a lot, with nothing but the file.

FILE is what the shopper's page offers for download (a list of bundles: the lot and those it was made from), or a single
bundle; - reads standard input. No network, database or server of ours is asked. Who wants more than that the file is
whole gives the log's key, got elsewhere, and has a node of the chain asked for its own record.

Exit code 0 when everything that could be checked holds, 1 when something is false, 2 when it could not be checked.

examples:
  hanlu trace verify hanlu-TAO-2026-07.json
  hanlu trace verify proof.json --key 'hanlu.example/yanling+1f2e3d4c+AZ...'
  hanlu trace verify proof.json --rpc http://127.0.0.1:8079 --json
"""

from __future__ import annotations

import argparse
import json
import locale
import sys
from pathlib import Path
from typing import Any

from hanlu.app.settings import Settings
from hanlu.app.trace_report import Lang, Verified, as_json, told, verdict
from hanlu.core.errors import TransientError, UsageError, VerificationError
from hanlu.trace.log.leaf import MAX_DEPTH
from hanlu.trace.log.notes import parse_verifier_key
from hanlu.trace.log.strict_json import parse_json
from hanlu.trace.log.verify import MAX_BYTES, ChainAnswer, verify_bundle

_NOWHERE = ChainAnswer(chain_id=0, contract="", seq=0, size=0, root="")
"""The answer of a chain that has no such anchor: it agrees with none."""
_BUNDLE_DEPTH = MAX_DEPTH + 4
"""Nesting accepted: a document stands within an item, the items' list, the bundle, and the list of bundles."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("file", metavar="FILE", help="the downloaded proof, or - for standard input")
    parser.add_argument("--key", metavar="VKEY", help="the log's verifier key, from a source you trust")
    parser.add_argument("--rpc", metavar="URL", help="JSON-RPC URL of a node that is asked for the chain's own record")
    parser.add_argument("--lang", choices=["zh", "en"], help="language of the answers; else the terminal's")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Check and tell; `settings` are not needed."""
    if args.key is not None:
        _demand_key(args.key)
    bundles = _read(args.file)
    verified = [_verified(bundle, args.key, args.rpc) for bundle in bundles]
    if args.json:
        print(json.dumps(as_json(verified), ensure_ascii=False, indent=2))
    else:
        print("\n".join(told(verified, args.lang or _language())))
    return 0 if verdict(verified) == "ok" else 1


def _read(name: str) -> list[Any]:
    """Return the bundles in the file; what is no JSON is one bundle of the wrong form."""
    try:
        data = sys.stdin.buffer.read(MAX_BYTES + 1) if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror or error}") from error
    try:
        value = parse_json(data, max_bytes=MAX_BYTES, max_depth=_BUNDLE_DEPTH)
    except ValueError as error:
        print(f"hanlu: {name}: {error}", file=sys.stderr)
        return [None]
    return value if isinstance(value, list) and value else [value]


def _verified(bundle: Any, key: str | None, rpc: str | None) -> Verified:
    report = verify_bundle(bundle, trusted_key=key)
    if report.checks[0].state == "failed":  # its form: nothing in it may be taken for what it is called
        return Verified(report, None, None)
    if rpc is not None and bundle["anchor"] is not None:
        report = verify_bundle(bundle, trusted_key=key, chain=_ask(rpc, bundle["anchor"]))
    return Verified(report, bundle["lot"], bundle["origin"])


def _ask(rpc: str, anchor: dict[str, Any]) -> ChainAnswer:
    from hanlu.trace.anchor.web3_chain import ask_anchor

    try:
        return ask_anchor(rpc, anchor["contract"], anchor["tx"])
    except VerificationError as error:
        print(f"hanlu: {error}", file=sys.stderr)
        return _NOWHERE
    except TransientError as error:
        raise UsageError(f"--rpc: {error}; without --rpc the file alone is checked") from error


def _demand_key(text: str) -> None:
    try:
        parse_verifier_key(text)
    except ValueError as error:
        raise UsageError(f"--key: {error}") from error


def _language() -> Lang:
    language = (locale.getlocale()[0] or "").lower()
    return "zh" if language.startswith(("zh", "chinese")) else "en"
