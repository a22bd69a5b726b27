"""Who may do what at the MQTT broker: one set of rules, for Mosquitto's files and for brokers that ask by HTTP.

A gateway's user name is its code. It publishes its upward lanes and reads its downward ones, in its own partition,
topic by topic: never by a wildcard, never another gateway's, and receipts and commands come from the platform alone.
Whatever broker is used, it is told these rules and no others. Everything here is pure.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping
from typing import Final, Literal

from hanlu.core.rejected import Rejected
from hanlu.core.wire.topics import Lane, Topic, parse_topic

__all__ = [
    "PLATFORM",
    "Action",
    "access_list",
    "client_id_fits",
    "gateway_may",
    "new_password",
    "password_file",
    "password_hash",
    "password_matches",
    "platform_may",
]

PLATFORM: Final = "platform"
"""User name of the platform's own processes at a broker that `hanlu` writes the files of."""

Action = Literal["publish", "subscribe"]

_PASSWORD_BYTES: Final = 24
# Mosquitto's own number. A random password of 192 bits needs no slow hash, and a hundred gateways reconnect at once.
_ITERATIONS: Final = 101
_SALT_BYTES: Final = 12  # Mosquitto 2.0 accepts exactly this length
_MOST_ITERATIONS: Final = 1_000_000
_NOBODY: Final = "$7$101$AAAAAAAAAAAAAAAA$" + base64.b64encode(bytes(64)).decode()
"""Compared with where there is no such user, so that the answer takes as long; no password has this digest."""


def gateway_may(code: str, partition: int, action: Action, topic: str) -> bool:
    """Tell whether the gateway `code` of `partition` (0 to 63) may publish to, or subscribe to, exactly `topic`."""
    parsed = parse_topic(topic)
    return (
        not isinstance(parsed, Rejected)
        and (parsed.gateway, parsed.partition) == (code, partition)
        and parsed.lane.upward == (action == "publish")
    )


def client_id_fits(code: str, client_id: str) -> bool:
    """Tell whether gateway `code` may use this MQTT client id.

    A client id belongs to one session, and whoever connects under it ends the session of whoever had it. Those that
    begin with `hanlu-` are the gateways' (`hanlu-` and the code) and the platform's own; others are free.
    """
    return not client_id.startswith("hanlu-") or client_id == f"hanlu-{code}"


def platform_may(action: Action, topic: str) -> bool:
    """Tell whether the platform itself may: all of Hanlu's topics, and the broker's figures for reading."""
    return topic.startswith("hanlu/1/") or (action == "subscribe" and topic.startswith("$SYS/"))


def access_list(gateways: Iterable[tuple[str, int]], platform: str = PLATFORM) -> str:
    """Return Mosquitto's access list (mosquitto.conf(5), acl_file) for `gateways` (code, partition) and the platform.

    Every topic is written out: what is not named here nobody may do.
    """
    lines = [f"user {platform}", "topic readwrite hanlu/1/#", "topic read $SYS/#"]
    for code, partition in gateways:
        lines += ["", f"user {code}"]
        lines += [f"topic {'write' if lane.upward else 'read'} {Topic(partition, code, lane)}" for lane in Lane]
    return "\n".join(lines) + "\n"


def password_file(hashes: Mapping[str, str]) -> str:
    """Return Mosquitto's password file for user name -> `password_hash`."""
    return "".join(f"{user}:{stored}\n" for user, stored in hashes.items())


def new_password() -> str:
    """Return a random password of 192 bits, 32 characters that need no escaping in a URL or a file."""
    return secrets.token_urlsafe(_PASSWORD_BYTES)


def password_hash(password: str, salt: bytes | None = None) -> str:
    """Return a password as Mosquitto stores it: PBKDF2 with HMAC-SHA-512 (mosquitto_passwd(1), scheme 7)."""
    salt = secrets.token_bytes(_SALT_BYTES) if salt is None else salt
    digest = _digest(password, salt, _ITERATIONS)
    return f"$7${_ITERATIONS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def password_matches(stored: str | None, password: str) -> bool:
    """Tell whether `password` is the one of `stored`, in a time that does not depend on how near it comes.

    Args:
        stored: as `password_hash` gives it; None where there is no such user, which takes as long and is never true.
        password: as given.
    """
    try:
        _, scheme, rounds, salt, digest = (stored or _NOBODY).split("$")
        iterations = int(rounds)
        if scheme != "7" or not 0 < iterations <= _MOST_ITERATIONS:
            return False
        expected = base64.b64decode(digest, validate=True)
        given = _digest(password, base64.b64decode(salt, validate=True), iterations)
    except (ValueError, binascii.Error):
        return False
    return hmac.compare_digest(expected, given) and stored is not None


def _digest(password: str, salt: bytes, iterations: int) -> bytes:
    return hashlib.pbkdf2_hmac("sha512", password.encode(), salt, iterations)
