"""List the gateways: state, last heard, key, partition, channels, configuration.

States: online, offline (heard before), silent (enrolled, never heard), waiting (no key yet), revoked. Configuration is
the number of the one given from here, `own` where there is none, with the reason below it when it was refused. --json
has the software as well.

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
    layout = "{:<20} {:<8} {:<17} {:<16} {:>4} {:>8} {:>6}  {}"
    print(layout.format("GATEWAY", "STATE", "LAST HEARD (UTC)", "KEY", "PART", "CHANNELS", "CONFIG", "SITE"))
    for row in rows:
        heard = f"{row.last_seen_at:%F %R}" if row.last_seen_at else "-"
        key = row.kid.hex() if row.kid else "-"
        part = f"{row.partition:02d}"
        print(layout.format(row.code, row.state, heard, key, part, row.channels, row.config_version or "own", row.site))
        if row.config_error:
            print(f"{'':<20} configuration refused: {row.config_error}")
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
        "config_error": row.config_error,
    }
