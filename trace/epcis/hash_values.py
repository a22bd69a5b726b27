"""Values in the one spelling the event hash gives them.

Theory. The same event may be written in many ways: URN or link, +08:00 or Z, 26 or 26.0. Before hashing, each value is
brought to one form: times to UTC milliseconds, numbers without idle zeros, CBV words to web addresses, GS1 identifiers
to the canonical Digital Link with only the finest qualifier. A value that is none of these stays as it is, stripped.

Three consequences to know: with a serial present the lot is dropped from the link; text that happens to look like a
number loses its zeros; a number passes through a double, so very long ones change. All three are what the published
vectors demand, and why a leaf also carries the digest of the exact document.

Source: CBV 2.0, section 8.9.2 (event hash), rules 5 to 9 (white space, numbers, times), 14 to 16 (vocabulary), 17 and
18 (identifiers); GS1 Digital Link URI Syntax 1.2, section 4.11 (canonical form), table 7-1 (characters to encode).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from hanlu.trace.epcis.epc_urn import urn_pairs
from hanlu.trace.epcis.vocabulary import CBV, GS1_VOC

__all__ = ["canonical_link", "canonical_time", "canonical_value", "parse_instant"]

_STEM = "https://id.gs1.org"
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_INSTANT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})T([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]+))?(Z|[+-][0-9]{2}:[0-9]{2})"
)
_WEB = re.compile(r"https?://[^/?#\s]+/([^?#\s]*)(?:[?#]\S*)?", re.IGNORECASE)
_MUST_ENCODE = re.compile(r"[!()*+,:]")
_TRIPLET = re.compile(r"%[0-9a-fA-F]{2}")

_URN_WORDS: Final = {
    "urn:epcglobal:cbv:bizstep:": CBV + "BizStep-",
    "urn:epcglobal:cbv:disp:": CBV + "Disp-",
    "urn:epcglobal:cbv:btt:": CBV + "BTT-",
    "urn:epcglobal:cbv:sdt:": CBV + "SDT-",
    "urn:epcglobal:cbv:er:": CBV + "ER-",
    "gs1:": GS1_VOC,
    "cbv:": CBV,
    "epcis:": "https://ref.gs1.org/epcis/",
}

_NAMES: Final = {
    "sscc": "00", "gtin": "01", "gdti": "253", "gcn": "255", "ginc": "401", "gsin": "402", "gln": "414", "party": "417",
    "grai": "8003", "giai": "8004", "itip": "8006", "cpid": "8010", "gsrnp": "8017", "gsrn": "8018",
    "cpv": "22", "lot": "10", "ser": "21", "glnx": "254", "cpsn": "8011", "srin": "8019",  # codespell:ignore ser
}  # fmt: skip
"""Convenience names of older links. Source: GS1 Digital Link URI Syntax 1.1, section 4.3."""

_LINK_KEYS: Final[dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]]] = {
    # key: (shape of the value, qualifiers that may follow, qualifiers that count, finest first)
    "00": (r"[0-9]{18}", (), ()),
    "01": (r"[0-9]{8}|[0-9]{12,14}", ("22", "10", "21", "235"), ("21", "235", "10")),
    "253": (r"[0-9]{13}.{0,51}", (), ()),
    "255": (r"[0-9]{13,25}", (), ()),
    "401": (r".{1,90}", (), ()),
    "402": (r"[0-9]{17}", (), ()),
    "414": (r"[0-9]{13}", ("254", "7040"), ("254",)),
    "417": (r"[0-9]{13}", ("7040",), ()),
    "8003": (r"[0-9]{14}.{0,48}", (), ()),
    "8004": (r".{1,90}", ("7040",), ()),
    "8006": (r"[0-9]{18}", ("22", "10", "21"), ("21", "10")),
    "8010": (r".{1,90}", ("8011",), ("8011",)),
    "8017": (r"[0-9]{18}", ("8019",), ()),
    "8018": (r"[0-9]{18}", ("8019",), ()),
}


def parse_instant(text: str) -> datetime | None:
    """Read an ISO 8601 instant with seconds and zone.

    Returns:
        The instant in UTC, rounded half up to milliseconds at the fourth decimal; None when `text` is no such instant
        or no calendar has it.

    Source: CBV 2.0, section 8.9.2, rules 8 and 9; XML Schema 1.1 part 2, dateTimeStamp.
    """
    match = _INSTANT.fullmatch(text)
    if match is None:
        return None
    day, clock, decimals, zone = match.groups()
    digits = (decimals or "").ljust(4, "0")
    milliseconds = int(digits[:3]) + (digits[3] >= "5")
    try:
        exact = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if zone == 'Z' else zone}")
        return exact.astimezone(UTC) + timedelta(milliseconds=milliseconds)
    except (ValueError, OverflowError):
        return None


def canonical_time(text: str) -> str:
    """Return an instant as ``YYYY-MM-DDTHH:MM:SS.sssZ``; text that is no instant only loses its outer white space."""
    stripped = text.strip()
    instant = parse_instant(stripped)
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z") if instant else stripped


def canonical_value(text: str) -> str:
    """Return any other value of an event in its one spelling."""
    stripped = text.strip()
    for start, stem in _URN_WORDS.items():
        if stripped.startswith(start):
            return stem + stripped[len(start) :]
    if _NUMBER.fullmatch(stripped):
        return _canonical_number(stripped)
    return canonical_link(stripped) or stripped


def _canonical_number(text: str) -> str:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        return text
    if number == int(number):
        return str(int(number))
    return format(Decimal(repr(number)), "f")


def canonical_link(text: str) -> str | None:
    """Return the canonical Digital Link, cut to its finest qualifier, of an EPC URN or of a link of any domain.

    Returns:
        The link, or None when `text` names no GS1 key. Check digits are not tested: the hash of a wrong event must
        still be its own.
    """
    pairs = urn_pairs(text)
    if pairs is None:
        match = _WEB.fullmatch(text)
        pairs = _constrained(match[1]) if match else None
    if pairs is None:
        return None
    return _STEM + "".join(f"/{ai}/{_encode(value)}" for ai, value in pairs)


def _constrained(path: str) -> tuple[tuple[str, str], ...] | None:
    segments = path.removesuffix("/").split("/")
    for start in range(len(segments) - 2, -1, -2):
        key = _NAMES.get(segments[start], segments[start])
        if key in _LINK_KEYS:
            break
    else:
        return None
    shape, allowed, counting = _LINK_KEYS[key]
    value = segments[start + 1]
    names = [_NAMES.get(name, name) for name in segments[start + 2 :: 2]]
    qualifiers = dict(zip(names, segments[start + 3 :: 2], strict=True))
    if not re.fullmatch(shape, value) or not set(names) <= set(allowed) or "" in qualifiers.values():
        return None
    pairs = [(key, value.zfill(14) if key == "01" else value)]
    finest = next((ai for ai in counting if ai in qualifiers), None)
    if finest is not None:
        pairs.append((finest, qualifiers[finest]))
    return tuple(pairs)


def _encode(value: str) -> str:
    encoded = _MUST_ENCODE.sub(lambda match: f"%{ord(match[0]):02X}", value)
    return _TRIPLET.sub(lambda match: match[0].upper(), encoded)
