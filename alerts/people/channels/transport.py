"""Sends one HTTP request: no redirects, only where it may go, and never longer than its deadline.

The host is resolved once, every address is judged, and exactly a judged address is connected to: a name that resolves
otherwise a moment later (DNS rebinding) gains nothing. Certificates are checked against the name. Proxies of the
environment are not used.

Source: OWASP, Server-Side Request Forgery Prevention, case 2 (any public address); RFC 6890 (special addresses).
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from contextlib import closing, suppress
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

from hanlu.alerts.people.channels.contract import Answer, Outcome, Request
from hanlu.alerts.people.config import NotifyConfig
from hanlu.alerts.people.fault import FormError
from hanlu.core.errors import UsageError

__all__ = ["allowed_address", "check_url", "send"]

ANSWER_BYTES: Final = 64 * 1024
"""Most bytes of an answer that are read."""

_TRANSLATED: Final = IPv6Network("64:ff9b::/96")
"""An IPv4 address behind a translator (NAT64, RFC 6052 2.1)."""
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
"""All that has been given to anybody (RFC 4291 2.4)."""
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_AGENT: Final = "hanlu-notify/1"


def check_url(config: NotifyConfig, url: str) -> None:
    """Say whether a webhook may be given at all, before anything is resolved.

    Raises:
        UsageError: no host, a user in it, or plain http to a host that is not allowed that.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    try:
        port_is_bad = parts.port == 0
    except ValueError:
        port_is_bad = True
    if not host or port_is_bad or parts.username is not None or parts.fragment:
        raise FormError("url")
    if parts.scheme == "http" and host not in _LOOPBACK and host not in config.allow_http_hosts:
        raise FormError("url_https", host)
    if parts.scheme not in {"http", "https"}:
        raise FormError("url_scheme")
    try:
        address = ip_address(host)
    except ValueError:
        return  # a name: what it resolves to is looked at when it is called
    if not allowed_address(config, address):
        raise FormError("url_private", host)


def allowed_address(config: NotifyConfig, address: IPv4Address | IPv6Address) -> bool:
    """Tell whether an address may be connected to: public ones, and what `allow_networks` names."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _TRANSLATED:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        address = inner or address
    if any(address in ip_network(each) for each in config.allow_networks):
        return True
    if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST:
        return False
    return address.is_global and not address.is_multicast


def send(config: NotifyConfig, request: Request, context: ssl.SSLContext | None = None) -> Answer | Outcome:
    """Send a request and return its answer, or what came of the attempt when there is none.

    Args:
        config: timeouts and where requests may go.
        request: its address is checked here again.
        context: for TLS; the system's roots without one.
    """
    try:
        check_url(config, request.url)
    except UsageError as error:
        return Outcome("permanent", str(error))
    parts = urlsplit(request.url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        target = _connect(config, host, port)
    except PermissionError as error:
        return Outcome("permanent", str(error))
    except OSError as error:
        return Outcome("retry", f"no connection: {error.strerror or type(error).__name__}")
    line = [target]
    watchdog = threading.Timer(config.deadline_s, _shut, (line,))
    watchdog.daemon = True
    watchdog.start()
    sent = False
    try:
        target.settimeout(config.deadline_s)
        if parts.scheme == "https":
            secured = (context or ssl.create_default_context()).wrap_socket(
                target, server_hostname=host, do_handshake_on_connect=False
            )
            line[0] = secured  # the socket itself is an empty shell from here on
            secured.do_handshake()
        connection = http.client.HTTPConnection(host, port)
        connection.sock = line[0]
        with closing(connection):
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            headers = {"User-Agent": _AGENT, "Connection": "close", **request.headers}
            sent = True  # from the first byte on it may arrive
            connection.request(request.method, path, request.body, headers)
            answer = connection.getresponse()
            body = answer.read(ANSWER_BYTES)
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, body)
    except (OSError, http.client.HTTPException, ValueError) as error:
        late = not watchdog.is_alive() or isinstance(error, TimeoutError)
        words = f"no answer within {config.deadline_s:g} s" if late else _words(error)
        return Outcome("lost" if sent else "retry", words)
    finally:
        watchdog.cancel()
        line[0].close()


def _words(error: Exception) -> str:
    """Return an error without anything that could hold a secret (addresses, paths)."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or 'refused'}"
    return type(error).__name__


def _connect(config: NotifyConfig, host: str, port: int) -> socket.socket:
    """Return a connection to a judged address of a host; PermissionError when none may be connected to."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [(family, place) for family, _, _, _, place in found]
    allowed = [each for each in addresses if allowed_address(config, ip_address(str(each[1][0]).partition("%")[0]))]
    if not allowed:
        raise PermissionError(f"{host}: not a public address (notify.allow_networks can allow private ones)")
    error: OSError | None = None
    for family, place in allowed[:3]:
        link = socket.socket(family, socket.SOCK_STREAM)
        try:
            link.settimeout(config.connect_s)
            link.connect(place)
        except OSError as failed:
            link.close()
            error = failed
        else:
            return link
    assert error is not None
    raise error


def _shut(line: list[socket.socket]) -> None:
    """End whatever waits on a socket; a server that sends a byte now and then must not hold a worker."""
    with suppress(OSError):
        # Below TLS: its own farewell would wait for the other side.
        socket.socket.shutdown(line[0], socket.SHUT_RDWR)
