"""Write the password file and access list of a production Mosquitto, from the register.

One login for each gateway that enrolled and was not revoked, as salted hashes, and one for the platform, whose name and
password are those of broker.url. Every gateway may use its own topics only, written out one by one. Run it after each
enrolment and revocation (a timer does); files that say the same are left alone. With --reload Mosquitto is told to read
them again: it then ends the sessions of whoever may not sign in any more.

examples:
  hanlu broker files --out /etc/mosquitto/hanlu
  hanlu broker files --out /etc/mosquitto/hanlu --reload /run/mosquitto/mosquitto.pid
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
from pathlib import Path

from hanlu.app.embedded.logins import write_private
from hanlu.app.gateway_admin import at_the_machine
from hanlu.app.settings import Settings
from hanlu.app.wiring import platform_broker
from hanlu.core.errors import UsageError
from hanlu.registry.broker_rules import access_list, password_file, password_hash, password_matches


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="where `passwd` and `acl` are written"
    )
    parser.add_argument("--owner", metavar="USER", help="give the files to this account, e.g. mosquitto")
    parser.add_argument("--reload", type=Path, metavar="PIDFILE", help="signal this Mosquitto when something changed")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Write the files where they differ."""
    with at_the_machine(settings, own_config=bool(args.config)) as here:
        logins = here.gateways.logins()
        platform = platform_broker(here.settings)
    if platform.username is None or platform.password is None:
        raise UsageError("broker.url names no user and password for the platform: mqtt://platform:...@host")
    if platform.username in {code for code, _, _ in logins}:
        raise UsageError(f"broker.url: {platform.username!r} is a gateway's code; give the platform another name")
    out: Path = args.out
    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    own = _own_hash(out / "passwd", platform.username, platform.password.get_secret_value())
    texts = {
        "passwd": password_file({platform.username: own} | {code: stored for code, _, stored in logins}),
        "acl": access_list([(code, partition) for code, partition, _ in logins], platform.username),
    }
    changed = [name for name, text in texts.items() if _differs(out / name, text)]
    for name in changed:
        write_private(out / name, texts[name])
        if args.owner:
            try:
                shutil.chown(out / name, args.owner)
            except (LookupError, OSError) as error:
                raise UsageError(f"--owner {args.owner}: {error}") from error
    if changed and args.reload:
        _reload(args.reload)
    print(f"{len(logins)} gateways; {', '.join(changed) + ' written' if changed else 'nothing changed'} in {out}")
    return 0


def _own_hash(path: Path, user: str, password: str) -> str:
    """Return the platform's hash: the one in the file while it fits, so that a file that says the same is the same."""
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            name, _, stored = line.partition(":")
            if name == user and password_matches(stored, password):
                return stored
    return password_hash(password)


def _differs(path: Path, text: str) -> bool:
    return not path.exists() or path.read_text(encoding="utf-8") != text


def _reload(pid_file: Path) -> None:
    try:
        os.kill(int(pid_file.read_text()), signal.SIGHUP)
    except (OSError, ValueError) as error:
        raise UsageError(f"--reload {pid_file}: {error}") from error
