"""A handheld scanner: what people do to goods becomes EPCIS 2.0 events.

Pure builders of JSON-LD values. Events carry no eventID: its CBV hash is the receiver's to make. Times are written in
China's zone with milliseconds, as a device in China would.
Source: EPCIS 2.0 (ISO/IEC 19987:2024) 7.3 and 7.4; CBV 2.0 7.1 and 7.2 (business steps and dispositions).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

__all__ = ["EXTENSION_NAMESPACE", "Amount", "Where", "document", "iso", "object_event", "transformation_event"]

EPCIS_CONTEXT: Final = "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"
EXTENSION_NAMESPACE: Final = "https://hanlu.example/ns/"
"""Namespace of the fields GS1 has no word for; prefix `hanlu` in the documents made here."""
_CHINA: Final = timezone(timedelta(hours=8))


@dataclass(frozen=True, slots=True)
class Amount:
    """So much of a lot; `uom` is the UN/CEFACT code (`KGM`, `LTR`), None counts pieces."""

    lot: str
    quantity: float
    uom: str | None = None

    def element(self) -> dict[str, Any]:
        """Return the quantityElement."""
        whole = int(self.quantity) if float(self.quantity).is_integer() else self.quantity
        element: dict[str, Any] = {"epcClass": self.lot, "quantity": whole}
        if self.uom:
            element["uom"] = self.uom
        return element


@dataclass(frozen=True, slots=True)
class Where:
    """Where it was read, and where the goods are afterwards: Digital Links of locations; None leaves it open."""

    read_point: str
    location: str | None = None


def iso(at_ms: int) -> str:
    """Return Unix milliseconds as ISO 8601 in China's zone, with milliseconds."""
    moment = datetime.fromtimestamp(at_ms // 1000, tz=UTC).replace(microsecond=at_ms % 1000 * 1000)
    return moment.astimezone(_CHINA).isoformat(timespec="milliseconds")


def object_event(
    at_ms: int,
    step: str,
    disposition: str,
    where: Where,
    goods: Sequence[Amount],
    *,
    action: str = "OBSERVE",
    more: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return an ObjectEvent about `goods`; `more` adds fields such as `ilmd` or `sourceList`."""
    event = _common("ObjectEvent", at_ms, step, disposition, where)
    event["action"] = action
    event["quantityList"] = [amount.element() for amount in goods]
    return event | (more or {})


def transformation_event(
    at_ms: int,
    step: str,
    disposition: str,
    where: Where,
    inputs: Sequence[Amount],
    outputs: Sequence[Amount],
    *,
    more: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a TransformationEvent: `inputs` become `outputs`; `more` adds fields such as `ilmd`."""
    event = _common("TransformationEvent", at_ms, step, disposition, where)
    event["inputQuantityList"] = [amount.element() for amount in inputs]
    event["outputQuantityList"] = [amount.element() for amount in outputs]
    return event | (more or {})


def document(events: Sequence[dict[str, Any]], created_ms: int) -> dict[str, Any]:
    """Return the EPCISDocument that carries `events`."""
    return {
        "@context": [EPCIS_CONTEXT, {"hanlu": EXTENSION_NAMESPACE}],
        "type": "EPCISDocument",
        "schemaVersion": "2.0",
        "creationDate": iso(created_ms),
        "epcisBody": {"eventList": list(events)},
    }


def _common(kind: str, at_ms: int, step: str, disposition: str, where: Where) -> dict[str, Any]:
    event: dict[str, Any] = {
        "type": kind,
        "eventTime": iso(at_ms),
        "eventTimeZoneOffset": "+08:00",
        "bizStep": step,
        "disposition": disposition,
        "readPoint": {"id": where.read_point},
    }
    if where.location is not None:
        event["bizLocation"] = {"id": where.location}
    return event
