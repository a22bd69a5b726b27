"""The embedded MQTT broker: Mosquitto where it is installed, else amqtt, a pure-Python broker good for trials.

Either may lose messages it has acknowledged (Mosquitto between two snapshots, amqtt whenever it ends); that is
harmless, because a gateway deletes only on the platform's receipt. Both listen on loopback only and know nobody
without a login.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from hanlu.app.embedded.logins import PLATFORM, Logins
from hanlu.app.embedded.service import Work
from hanlu.app.process import Command
from hanlu.app.settings import BrokerSettings, process_environment
from hanlu.core.errors import UsageError
from hanlu.core.limits import MAX_MESSAGE_BYTES

__all__ = ["EmbeddedBroker", "find_mosquitto", "signs_in"]

_HOST = "127.0.0.1"
_SBIN = "/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin"
_AUTOSAVE_S = 5
"""Seconds between two snapshots of what the broker holds. By time and not by changes: a snapshot writes all of it, and
one every hundred messages took four fifths of the broker's speed. What a SIGKILL takes with it was not receipted, so
gateways send it again."""
_ANSWER_TIMEOUT_S = 1.0


@dataclass(slots=True)
class EmbeddedBroker:
    """The broker `hanlu up` runs.

    Args:
        folder: where it keeps its configuration, logins and stored sessions; below the data folder.
        settings: the broker section.
        gateways: codes of the gateways that must be able to sign in from the start.
    """

    folder: Path
    settings: BrokerSettings
    gateways: tuple[str, ...] = ()
    name: str = "broker"
    logins: Logins = field(init=False)
    _mosquitto: Path | None = field(init=False, default=None)
    _version: str = field(init=False, default="")

    def __post_init__(self) -> None:
        """Name the folder of the logins, which others read as well."""
        self.logins = Logins(self.folder)

    @property
    def kind(self) -> Literal["mosquitto", "amqtt"]:
        """Which broker it is; settled by `prepare`."""
        return "mosquitto" if self._mosquitto else "amqtt"

    @property
    def url(self) -> str:
        """The platform's own URL, with its password."""
        return self.url_for(PLATFORM)

    def url_for(self, user: str) -> str:
        """Return the URL with one user's password.

        Raises:
            NotFoundError: if the user has no login.
        """
        return f"mqtt://{quote(user, safe='')}:{self.logins.password(user)}@{_HOST}:{self.settings.port}"

    @property
    def description(self) -> str:
        """Which program, and for the trial broker what to do for more."""
        if self._mosquitto:
            return f"Mosquitto {self._version}".strip()
        return "amqtt, a trial broker: slower, and it forgets what waits when it stops; install Mosquitto for more"

    def prepare(self, work: Work) -> None:
        """Choose the broker and make the logins.

        Raises:
            UsageError: if Mosquitto is demanded and not installed.
        """
        self._mosquitto = None if self.settings.kind == "amqtt" else find_mosquitto()
        if self.settings.tls_port is not None and self._mosquitto is None:
            raise UsageError("broker.tls_port needs Mosquitto: sudo apt-get install mosquitto")
        if self.settings.kind == "mosquitto" and self._mosquitto is None:
            raise UsageError("broker.kind is mosquitto, but Mosquitto is not installed: sudo apt-get install mosquitto")
        if self._mosquitto:
            self._version = _version_of(self._mosquitto)
        elif self.settings.kind == "auto":
            work.say("Mosquitto is not installed; using the trial broker amqtt")
        self.logins.ensure(self.gateways)
        (self.folder / "store").mkdir(mode=0o700, exist_ok=True)

    def command(self) -> Command:
        """Write the configuration and say how to start the broker."""
        env = process_environment()
        if self._mosquitto is None:
            argv = [sys.executable, "-P", "-m", "hanlu.app.embedded.amqtt_broker"]
            argv += [str(self.folder), str(self.settings.port), str(self.settings.session_expiry_days)]
            return Command(argv=tuple(argv), env=env, cwd=self.folder)
        configuration = self.folder / "mosquitto.conf"
        configuration.write_text(self._configuration(), encoding="utf-8")
        return Command(argv=(str(self._mosquitto), "-c", str(configuration)), env=env, cwd=self.folder)

    def ready(self) -> bool:
        """Sign in as the platform; a foreign server on our port refuses that."""
        return signs_in(_HOST, self.settings.port, PLATFORM, self.logins.password(PLATFORM))

    def add_gateways(self, gateways: tuple[str, ...]) -> None:
        """Give more gateways a login, also while the broker runs, and from another process than its supervisor's."""
        if self.logins.ensure(gateways):
            self._read_again()

    def admit(self, code: str, stored: str) -> None:
        """Let a gateway elsewhere sign in with the password of this hash, at once (registry.enrolment.BrokerDoor)."""
        self.logins.admit(code, stored)
        self._read_again()

    def expel(self, code: str) -> None:
        """Let a gateway sign in no more; Mosquitto ends its session now, amqtt when it next connects."""
        self.logins.expel(code)
        self._read_again()

    def _read_again(self) -> None:
        """Make a running Mosquitto read its password file, and check who is connected by it; amqtt looks by itself."""
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, ValueError):
            pid = int((self.folder / "mosquitto.pid").read_text())
            os.kill(pid, signal.SIGHUP)

    def _configuration(self) -> str:
        """Mosquitto's configuration (mosquitto.conf(5)); written at every start."""
        days = self.settings.session_expiry_days
        lines = [
            "# Written at every start; change the broker settings instead.",
            f"listener {self.settings.port} {_HOST}",
            "allow_anonymous false",
            f"password_file {self.logins.password_file}",
            f"acl_file {self.logins.acl_file}",
            f"pid_file {self.folder / 'mosquitto.pid'}",
            "persistence true",
            f"persistence_location {self.folder / 'store'}/",
            "autosave_on_changes false",
            f"autosave_interval {_AUTOSAVE_S}",
            # By number nothing is dropped; by size it must be, or one forgotten session eats the machine.
            "max_queued_messages 0",
            # A consumer bounds what it holds by not reading; a window of 20 would only cut its batches to 20 messages.
            "max_inflight_messages 0",
            # Well above what is accepted: ingest must see an oversized message to say so.
            f"message_size_limit {64 * MAX_MESSAGE_BYTES}",
            f"max_queued_bytes {self.settings.max_queued_mb * 2**20}",
            f"persistent_client_expiration {days}d",
            "set_tcp_nodelay true",
            "connection_messages false",
            "log_dest stderr",
            "log_type error",
            "log_type warning",
            "log_type notice",
        ]
        lines += self._tls_lines()
        if os.geteuid() == 0:
            lines.append("user root")  # else it changes to an account that cannot read our closed folder
        return "\n".join(lines) + "\n"

    def _tls_lines(self) -> list[str]:
        """The listener for gateways elsewhere, where there is one."""
        kept = self.settings
        if kept.tls_port is None:
            return []
        lines = [
            f"listener {kept.tls_port} {kept.tls_host}",
            f"certfile {kept.certificate_file}",
            f"keyfile {kept.key_file}",
            "tls_version tlsv1.2",
            # A client id is its session: nobody shall take another's over.
            "use_username_as_clientid true",
        ]
        if kept.require_certificate:
            lines += ["require_certificate true", f"cafile {kept.ca_file}"]
            lines += [f"use_identity_as_username {str(kept.use_identity_as_username).lower()}"]
            lines += [f"crlfile {kept.crl_file}"] if kept.crl_file else []
        return lines


def find_mosquitto() -> Path | None:
    """Find the broker's program: Debian keeps it in /usr/sbin, which an ordinary user's PATH leaves out."""
    path = f"{process_environment().get('PATH', '')}:{_SBIN}"
    found = shutil.which("mosquitto", path=path)
    return Path(found) if found else None


def _version_of(program: Path) -> str:
    """Ask Mosquitto for its version; its help names it on the first line, whatever the exit status."""
    answer = subprocess.run([program, "-h"], capture_output=True, text=True, check=False, timeout=5)
    found = re.search(r"version (\S+)", answer.stdout + answer.stderr)
    return found[1] if found else ""


def signs_in(host: str, port: int, user: str, password: str) -> bool:
    """Whether an MQTT 3.1.1 broker there accepts this login: one CONNECT, one CONNACK (OASIS MQTT 3.1.1, 3.1 and
    3.2)."""

    def text(value: str) -> bytes:
        raw = value.encode()
        return len(raw).to_bytes(2, "big") + raw

    # Protocol level 4; flags: user name, password, clean session; keep alive 5 s.
    body = text("MQTT") + b"\x04\xc2\x00\x05" + text("hanlu-ready") + text(user) + text(password)
    packet = b"\x10" + len(body).to_bytes(1, "big") + body
    try:
        with socket.create_connection((host, port), timeout=_ANSWER_TIMEOUT_S) as connection:
            connection.settimeout(_ANSWER_TIMEOUT_S)
            connection.sendall(packet)
            answer = connection.recv(4)
            connection.sendall(b"\xe0\x00")
    except OSError:
        return False
    return answer[:1] == b"\x20" and answer[3:4] == b"\x00"
