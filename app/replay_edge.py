"""A gateway for one replay: in the register, with a key, with a login at the broker, and with a configuration file."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from hanlu.app.datafolder import DataFolder
from hanlu.app.embedded.broker import EmbeddedBroker, signs_in
from hanlu.app.embedded.logins import PLATFORM, Logins
from hanlu.app.replay_names import Place, channels_of, devices_of
from hanlu.app.settings import Settings
from hanlu.app.wiring import broker_folder, edge_broker, gateway_key_file
from hanlu.core.errors import ConflictError, TransientError, UsageError
from hanlu.core.wire.documents import BirthChannel
from hanlu.core.wire.envelope import key_id, public_bytes
from hanlu.firmware_sim.replay.plan import Plan
from hanlu.gateway.config import BrokerConfig, GatewayConfig, LineConfig
from hanlu.gateway.identity import load_or_create_key
from hanlu.ingest.config import BrokerConfig as PlatformBroker
from hanlu.registry import records
from hanlu.registry.store import Editor, Registry

__all__ = ["Known", "enrol", "known", "login", "replay_config", "root_organisation"]

_LOGIN_S: Final = 15.0
"""Seconds a running broker may take to learn of a new login."""
_POLL_S: Final = 0.1


def root_organisation(registry: Registry) -> str:
    """Return the code of the tree's root.

    Raises:
        UsageError: there is no organisation yet.
    """
    for node in registry.organisations():
        if node.parent is None:
            return node.code
    raise UsageError("the register holds no organisation: run `hanlu setup` first, or name one with --organisation")


@dataclass(frozen=True, slots=True)
class Known:
    """What an earlier replay registered for a gateway.

    Attributes:
        zone: its zone.
        organisation: code of the node its site belongs to.
    """

    zone: records.Zone
    organisation: str


def known(registry: Registry, code: str) -> Known | None:
    """Return what an earlier replay registered for this gateway, None when there was none.

    Raises:
        ConflictError: the gateway is there, but it is no replay's: its readings would be mixed with recorded ones.
    """
    gateway = next((each for each in registry.gateways() if each.code == code), None)
    if gateway is None:
        return None
    if gateway.site != code:
        raise ConflictError(f"gateway {code} works for site {gateway.site}: give the replay another with --gateway")
    zone = next(each for each in registry.zones() if each.code == code)
    site = next(each for each in registry.sites() if each.code == code)
    return Known(zone, site.organisation)


def enrol(registry: Registry, settings: Settings, plan: Plan, place: Place) -> int:
    """Write gateway, key, devices and channels into the register; return how many entries are new or changed.

    Raises:
        NotFoundError: organisation or limit profile is not registered.
        ConflictError: a channel is there with another unit.
    """
    with registry.editing() as editor:
        changes = _written(editor, gateway_key_file(settings, place.code), plan, place)
        return sum(change is not records.Change.NONE for change in changes)


def login(settings: Settings, place: Place, url_file: Path | None) -> BrokerConfig:
    """Return how the gateway reaches the broker; the embedded one gets a login for it.

    Args:
        settings: in force.
        place: names the gateway.
        url_file: for an external broker: file with `mqtt://user:password@host:port`, made by who runs that broker.

    Raises:
        UsageError: no broker is named, or it is an external one and nobody has made a login.
        TransientError: the embedded broker does not accept the new login in time.
    """
    if url_file is not None:
        return _from_url(url_file)
    platform = urlsplit(settings.broker.url or "")
    ours = Logins(broker_folder(settings)).all().get(PLATFORM)
    if ours is None or unquote(platform.password or "") != ours:
        topics = f"hanlu/1/{place.partition:02d}/{place.code}"
        raise UsageError(
            f"the broker is not Hanlu's own: make a login there that may publish below {topics}/ and read"
            f" {topics}/receipt and {topics}/command, write mqtt://user:password@host:port into a file,"
            " and name it with --broker-login"
        )
    EmbeddedBroker(broker_folder(settings), settings.broker).add_gateways((place.code,))
    broker = edge_broker(settings, place.code)
    assert broker.password is not None
    end = time.monotonic() + _LOGIN_S
    while not signs_in(broker.host, broker.port, place.code, broker.password.get_secret_value()):
        if time.monotonic() > end:
            raise TransientError(f"the broker does not accept the login of {place.code}; its log says why")
        time.sleep(_POLL_S)
    return broker


def replay_config(settings: Settings, plan: Plan, place: Place, broker: BrokerConfig, listen: str) -> GatewayConfig:
    """Return the gateway's configuration: a spool of its own in the data folder, everything marked as replayed."""
    return GatewayConfig(
        code=place.code,
        partition=place.partition,
        data_dir=DataFolder(settings.data.folder).path / "gateway" / place.code,
        key_file=gateway_key_file(settings, place.code),
        replay=True,
        channels=tuple(BirthChannel(name=name, unit=unit, period_s=period_s) for name, unit, period_s in plan.channels),
        broker=broker,
        line=LineConfig(listen=listen),
    )


def _written(editor: Editor, key_file: Path, plan: Plan, place: Place) -> Iterator[records.Change]:
    yield editor.put_site(place.site)
    yield editor.put_zone(place.zone)
    yield editor.put_gateway(place.gateway)
    public_key = public_bytes(load_or_create_key(key_file))
    yield editor.enrol_key(records.GatewayKey(place.code, key_id(public_key), public_key))
    for device in devices_of(plan, place):
        yield editor.put_device(device)
    for channel in channels_of(plan, place):
        yield editor.put_channel(channel)


def _from_url(path: Path) -> BrokerConfig:
    try:
        url = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from error
    named = PlatformBroker.from_url(url)
    return BrokerConfig(
        host=named.host, port=named.port, username=named.username, password=named.password, tls=named.tls
    )
