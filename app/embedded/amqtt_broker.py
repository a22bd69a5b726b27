"""The trial broker as a process of its own: amqtt with our logins and the same access list as Mosquitto gets.

Run as `python -m hanlu.app.embedded.amqtt_broker FOLDER PORT SESSION_DAYS`. amqtt keeps sessions only for clients
that sign in; with anonymous access it silently drops what waits for an absent subscriber, so it is never run that
way.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amqtt.broker import Broker
from amqtt.contexts import Action
from amqtt.plugins.base import BaseAuthPlugin, BaseTopicPlugin

from hanlu.app.embedded.logins import PLATFORM, Logins
from hanlu.core.rejected import Rejected
from hanlu.core.wire.topics import parse_topic

__all__ = ["AccessPlugin", "LoginPlugin", "main", "may"]

_DAY_S = 86400


def may(user: str, topic: str, *, publish: bool) -> bool:
    """Whether `user` may publish to, or receive from, `topic`: the access list of `logins.py` in Python."""
    if user == PLATFORM:
        return topic.startswith("hanlu/1/") or (not publish and topic.startswith("$SYS/"))
    parsed = parse_topic(topic.replace("/+/", "/00/", 1))  # a subscription may leave the partition open
    return not isinstance(parsed, Rejected) and parsed.gateway == user and parsed.lane.upward == publish


class LoginPlugin(BaseAuthPlugin):  # type: ignore[misc]  # amqtt has no types
    """Accepts the users of `Logins`; reads the file at each sign-in, so that new gateways need no restart."""

    async def authenticate(self, *, session: Any) -> bool:
        """Compare in constant time; no session, no user name or an unknown one means no."""
        logins = Logins(Path(self.config.folder))
        return bool(session) and logins.accepts(session.username or "", session.password or "")

    @dataclass
    class Config:
        """Where the logins are."""

        folder: str = ""


class AccessPlugin(BaseTopicPlugin):  # type: ignore[misc]  # amqtt has no types
    """Lets every user use only the topics it may."""

    async def topic_filtering(
        self, *, session: Any = None, topic: str | None = None, action: Action | None = None
    ) -> bool:
        """Say yes or no for one topic."""
        return bool(session and topic) and may(session.username or "", str(topic), publish=action == Action.PUBLISH)

    @dataclass
    class Config:
        """It needs no configuration."""


def _configuration(folder: Path, port: int, session_days: int) -> dict[str, Any]:
    return {
        "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
        "session_expiry_interval": session_days * _DAY_S,
        "plugins": {
            f"{__name__}.LoginPlugin": {"folder": str(folder)},
            f"{__name__}.AccessPlugin": {},
        },
    }


async def _serve(folder: Path, port: int, session_days: int) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    broker = Broker(_configuration(folder, port, session_days), loop=loop)
    await broker.start()
    await stop.wait()
    await broker.shutdown()


def main(argv: list[str]) -> int:
    """Serve until SIGTERM or SIGINT."""
    folder, port, session_days = argv
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    asyncio.run(_serve(Path(folder), int(port), int(session_days)))
    return 0


if __name__ == "__main__":
    # Under this name and not as __main__, for amqtt imports its plugins by module path.
    from hanlu.app.embedded import amqtt_broker

    sys.exit(amqtt_broker.main(sys.argv[1:]))
