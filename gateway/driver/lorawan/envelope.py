"""What LoRaWAN network servers publish: ChirpStack 4 (and 3) and The Things Stack 3, to values; pure, never raises.

The time of an uplink is the network server's: one disciplined clock for all its gateways, while a gateway's own may be
anything. Radio figures are those of the gateway that heard it best.
Source: ChirpStack 4 documentation, "Integrations: event types"; The Things Stack 3, "Data formats".
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from hanlu.core.rejected import Reason, Rejected
from hanlu.gateway.driver.json_path import MISSING, find

__all__ = ["NETWORKS", "Ignored", "Message", "Network", "Status", "Uplink"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EUI: Final = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Uplink:
    """One uplink.

    Attributes:
        dev_eui: of the device, 16 lower-case hexadecimal digits; of a device without one the network's id for it.
        profiles: names its codec may be chosen by, the most particular first: the codec tag's value, the device's
            name, its profile, model and application.
        port: LoRaWAN port; None: not told.
        counter: frame counter of the session; None: not told.
        payload: the application's bytes, decrypted.
        observed_ms: network time, Unix milliseconds; None: not told.
        rssi: strength at the best gateway, dBm.
        snr: signal to noise there, dB.
        battery: what the device told the network of its battery, percent, and when (Unix milliseconds).
        decoded: what a codec of the network server's made of it, if one is set there.
        frequency: Hz.
        spreading_factor: of LoRa modulation.
        data_rate: index in the region's table.
        confirmed: whether the device asked for an acknowledgement.
    """

    dev_eui: str
    profiles: tuple[str, ...] = ()
    port: int | None = None
    counter: int | None = None
    payload: bytes = b""
    observed_ms: int | None = None
    rssi: float | None = None
    snr: float | None = None
    battery: tuple[float, int] | None = None
    decoded: Mapping[str, Any] = field(default_factory=dict)
    frequency: int | None = None
    spreading_factor: int | None = None
    data_rate: int | None = None
    confirmed: bool | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """A device's answer to the network's DevStatusReq (LoRaWAN 1.0.4, 5.5).

    Attributes:
        dev_eui: of the device.
        profiles: as of an uplink.
        observed_ms: network time, Unix milliseconds; None: not told.
        battery: percent; None: on mains, or the device does not know.
        margin: demodulation signal to noise margin of the last downlink, dB; None: not told.
    """

    dev_eui: str
    profiles: tuple[str, ...]
    observed_ms: int | None
    battery: float | None
    margin: float | None


@dataclass(frozen=True, slots=True)
class Ignored:
    """An event that says nothing of measurements.

    Attributes:
        event: its name, e.g. `join`.
    """

    event: str


Message = Uplink | Status | Ignored


@dataclass(frozen=True, slots=True)
class Network:
    """A kind of network server.

    Attributes:
        read: topic, body and the name of the tag that holds a codec's name, to what is said.
        filters: MQTT topic filters; `{application}` is the application's id or `+`.
    """

    read: Callable[[str, bytes, str], Message | Rejected]
    filters: tuple[str, ...]


def _chirpstack(topic: str, body: bytes, codec_tag: str) -> Message | Rejected:
    event = topic.rsplit("/", 1)[-1]
    if event not in {"up", "status"}:
        return Ignored(_word(event))
    document = _document(body)
    if isinstance(document, Rejected):
        return document
    eui = _eui(_first(document, "deviceInfo.devEui", "devEui", "devEUI"))
    if eui is None:
        return Rejected(Reason.FOREIGN_SCHEMA, "no device: deviceInfo.devEui is not an EUI-64")
    tags = _first(document, "deviceInfo.tags", "tags")
    profiles = _texts(
        tags.get(codec_tag) if isinstance(tags, dict) else None,
        _first(document, "deviceInfo.deviceName", "deviceName"),
        _first(document, "deviceInfo.deviceProfileName", "deviceProfileName"),
        _first(document, "deviceInfo.deviceProfileId", "deviceProfileID"),
        _first(document, "deviceInfo.applicationName", "applicationName"),
    )
    time_ms = _time(find(document, "time"))
    if event == "status":
        level = None if find(document, "batteryLevelUnavailable") is True else _number(find(document, "batteryLevel"))
        if find(document, "externalPowerSource") is True:
            level = None
        return Status(eui, profiles, time_ms, level, _number(find(document, "margin")))
    best = _best(find(document, "rxInfo"))
    if time_ms is None:
        time_ms = next((at for key in ("nsTime", "gwTime", "time") if (at := _time(best.get(key))) is not None), None)
    payload = _payload(find(document, "data"))
    if isinstance(payload, Rejected):
        return payload
    decoded = find(document, "object")
    return Uplink(
        eui,
        profiles,
        port=_whole(find(document, "fPort")),
        counter=_whole(find(document, "fCnt")),
        payload=payload,
        observed_ms=time_ms,
        rssi=_number(best.get("rssi")),
        snr=_number(best.get("snr", best.get("loRaSNR"))),
        decoded=decoded if isinstance(decoded, dict) else {},
        frequency=_whole(find(document, "txInfo.frequency")),
        spreading_factor=_whole(
            _first(document, "txInfo.modulation.lora.spreadingFactor", "txInfo.loRaModulationInfo.spreadingFactor")
        ),
        data_rate=_whole(find(document, "dr")),
        confirmed=found if isinstance(found := find(document, "confirmed"), bool) else None,
    )


def _things_stack(topic: str, body: bytes, codec_tag: str) -> Message | Rejected:
    event = topic.split("/", 4)[-1] if topic.startswith("v3/") and topic.count("/") >= 4 else topic.rsplit("/", 1)[-1]
    if event != "up":
        return Ignored(_word(event.replace("/", "_")))
    document = _document(body)
    if isinstance(document, Rejected):
        return document
    device = find(document, "end_device_ids.device_id")
    eui = _eui(find(document, "end_device_ids.dev_eui")) or (device if isinstance(device, str) and device else None)
    uplink = find(document, "uplink_message")
    if eui is None or not isinstance(uplink, dict):
        return Rejected(Reason.FOREIGN_SCHEMA, "no device or no uplink: end_device_ids.dev_eui, uplink_message")
    profiles = _texts(
        _first(document, f'uplink_message.attributes."{codec_tag}"', f'end_device_ids.attributes."{codec_tag}"'),
        device,
        find(uplink, "version_ids.model_id"),
        find(document, "end_device_ids.application_ids.application_id"),
    )
    payload = _payload(find(uplink, "frm_payload"))
    if isinstance(payload, Rejected):
        return payload
    best = _best(find(uplink, "rx_metadata"))
    times = (
        _time(find(uplink, "received_at")),
        _time(find(document, "received_at")),
        _time(find(uplink, "settings.time")),
        _time(best.get("received_at")),
    )
    decoded = find(uplink, "decoded_payload")
    frequency = find(uplink, "settings.frequency")
    return Uplink(
        eui,
        profiles,
        port=_whole(find(uplink, "f_port")),
        counter=_whole(find(uplink, "f_cnt")),
        payload=payload,
        observed_ms=next((each for each in times if each is not None), None),
        rssi=_number(best.get("rssi")),
        snr=_number(best.get("snr")),
        battery=_battery(find(uplink, "last_battery_percentage")),
        decoded=decoded if isinstance(decoded, dict) else {},
        frequency=int(frequency) if isinstance(frequency, str) and frequency.isdecimal() else _whole(frequency),
        spreading_factor=_whole(find(uplink, "settings.data_rate.lora.spreading_factor")),
        confirmed=found if isinstance(found := find(uplink, "confirmed"), bool) else None,
    )


NETWORKS: Final[dict[str, Network]] = {
    "chirpstack": Network(_chirpstack, ("application/{application}/device/+/event/+",)),
    "things_stack": Network(_things_stack, ("v3/{application}/devices/+/up",)),
}
"""Network servers by name."""


def _document(body: bytes) -> dict[str, Any] | Rejected:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        return Rejected(Reason.MALFORMED, f"not JSON: {error}")
    if not isinstance(document, dict):
        return Rejected(Reason.FOREIGN_SCHEMA, f"an event is a JSON object, this is {type(document).__name__}")
    return document


def _first(document: Any, *paths: str) -> Any:
    return next((found for path in paths if (found := find(document, path)) is not MISSING), MISSING)


def _eui(raw: Any) -> str | None:
    """Return an EUI-64 as hexadecimal; ChirpStack 3 may write it base64."""
    if not isinstance(raw, str):
        return None
    plain = raw.lower().replace("-", "").replace(":", "")
    if _EUI.fullmatch(plain):
        return plain
    try:
        found = base64.b64decode(raw, validate=True)
    except (binascii.Error, ValueError):
        return None
    return found.hex() if len(found) == 8 else None


def _payload(raw: Any) -> bytes | Rejected:
    """Return the bytes; base64 without its padding is read as well, some forwarders drop it."""
    if raw is MISSING or raw is None:
        return b""
    if not isinstance(raw, str):
        return Rejected(Reason.FOREIGN_SCHEMA, f"the payload is base64 text, this is {type(raw).__name__}")
    try:
        return base64.b64decode(raw + "=" * (-len(raw) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        return Rejected(Reason.MALFORMED, f"the payload is not base64: {error}")


def _time(raw: Any) -> int | None:
    """Return RFC 3339 text as Unix milliseconds, cut, not rounded; without an offset it is UTC."""
    if not isinstance(raw, str):
        return None
    try:
        found = datetime.fromisoformat(raw)
        found = found if found.tzinfo else found.replace(tzinfo=UTC)
        return (found - _EPOCH) // timedelta(milliseconds=1)
    except (ValueError, OverflowError):
        return None


def _best(raw: Any) -> Mapping[str, Any]:
    """Return the reception with the greatest strength; among equals the first."""
    heard = [each for each in raw if isinstance(each, dict)] if isinstance(raw, list) else []
    return max(heard, key=lambda each: -math.inf if (rssi := _number(each.get("rssi"))) is None else rssi, default={})


def _battery(raw: Any) -> tuple[float, int] | None:
    value, at_ms = _number(find(raw, "value")), _time(find(raw, "received_at"))
    return None if value is None or at_ms is None else (value, at_ms)


def _number(raw: Any) -> float | None:
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        return None
    try:
        number = float(raw)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _whole(raw: Any) -> int | None:
    return raw if isinstance(raw, int) and not isinstance(raw, bool) else None


def _texts(*raw: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each for each in raw if isinstance(each, str) and each))


def _word(event: str) -> str:
    """Return an event's name as a counter may carry it: a stranger's text is not."""
    return event if re.fullmatch(r"[a-z_]{1,20}", event) else "other"
