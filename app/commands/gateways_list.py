"""List the gateways: state, last heard, key, partition, channels, software.

States: online, offline (heard before), silent (enrolled, never heard), waiting (no key yet), revoked.

examples:
  hanlu gateways list
  hanlu gateways list --json
"""

from __future__ import annotations

import argparse
import json
from datetime import datetime
from typing import Any

from hanlu.app.gateway_admin import at_the_machine
from hanlu.app.settings import Settings
from hanlu.registry.gateways import GatewayRow


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Print the list."""
    with at_the_machine(settings, own_config=bool(args.config)) as here:
        rows = here.gateways.list()
    if args.json:
        print(json.dumps([_as_json(row) for row in rows]))
        return 0
    print(f"{'GATEWAY':<24} {'STATE':<8} {'LAST HEARD (UTC)':<17} {'KEY':<16} {'PART':>4} {'CHANNELS':>8}  SITE")
    for row in rows:
        heard = f"{row.last_seen_at:%F %R}" if row.last_seen_at else "-"
        key = row.kid.hex() if row.kid else "-"
        print(f"{row.code:<24} {row.state:<8} {heard:<17} {key:<16} {row.partition:>4} {row.channels:>8}  {row.site}")
    return 0


def _as_json(row: GatewayRow) -> dict[str, Any]:
    def moment(at: datetime | None) -> str | None:
        return at.isoformat() if at else None

    return {
        "gateway": row.code,
        "state": row.state,
        "site": row.site,
        "partition": row.partition,
        "channels": row.channels,
        "kid": row.kid.hex() if row.kid else None,
        "key_since": moment(row.key_since),
        "last_seen_at": moment(row.last_seen_at),
        "revoked_at": moment(row.revoked_at),
        "software": row.software,
        "config_version": row.config_version,
    }
