"""EPC URNs and the GS1 keys behind them.

Theory. An EPC URN writes the same identity with dots: company prefix, reference, serial; the check digit is left out
and, for trade items and logistic units, the leading digit has moved behind the prefix. The way to a Digital Link is
mechanical; the way back must be told how long the company prefix is, for the link does not say.

`urn_pairs` serves the event hash and knows every scheme of the CBV; the strict functions handle the schemes whose keys
`digital_link` reads: sgtin, lgtin, sscc, sgln, pgln, grai, giai.

Source: EPC Tag Data Standard 2.0, sections 6.3 (EPC schemes), 6.4 (class URIs), 8 (pattern URIs).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from hanlu.trace.epcis.digital_link import DigitalLink, DigitalLinkError
from hanlu.trace.epcis.gs1_keys import check_digit

__all__ = ["from_epc_urn", "to_epc_urn", "urn_pairs"]

Pairs = tuple[tuple[str, str], ...]
"""(Application Identifier, value as written in the URN, percent-encoding included)."""

_URN = re.compile(r"urn:epc:(id|class|idpat):([a-z]+):(.+)")
_DIGITS = re.compile(r"[0-9]*")
_PREFIX = re.compile(r"[0-9]{6,12}")
_TEXT = re.compile(r"(?:%[0-9A-Fa-f]{2}|[!'()*+,\-.0-9:;=A-Za-z_])+")
_SPECIAL = re.compile(r"[^!'()*+,\-.0-9:;=A-Za-z_]")


@dataclass(frozen=True, slots=True)
class _Scheme:
    """How one scheme's fields become a key.

    Attributes:
        ai: Application Identifier of the key.
        digits: Digits of prefix and reference together; 0 where the reference is free text.
        leading: The reference's first digit stands before the prefix in the key.
        pad: Digits put before the key.
        serial_ai: Application Identifier of the serial; empty when the serial is part of the key's value; None when
            the scheme has no serial.
        longest: Most characters in the serial, or in prefix and reference together where the reference is free.
        parts: Fields of fixed width between reference and serial, which join the key (pieces of a trade item).
    """

    ai: str
    digits: int
    leading: bool = False
    pad: str = ""
    serial_ai: str | None = None
    longest: int = 0
    parts: int = 0


_ID: Final[dict[str, _Scheme]] = {
    "sgtin": _Scheme("01", 13, leading=True, serial_ai="21", longest=20),
    "sscc": _Scheme("00", 17, leading=True),
    "sgln": _Scheme("414", 12, serial_ai="254", longest=20),
    "grai": _Scheme("8003", 12, pad="0", serial_ai="", longest=16),
    "giai": _Scheme("8004", 0, longest=30),
    "gsrn": _Scheme("8018", 17),
    "gsrnp": _Scheme("8017", 17),
    "gdti": _Scheme("253", 12, serial_ai="", longest=17),
    "cpi": _Scheme("8010", 0, serial_ai="8011", longest=30),
    "sgcn": _Scheme("255", 12, serial_ai="", longest=12),
    "ginc": _Scheme("401", 0, longest=30),
    "gsin": _Scheme("402", 16),
    "itip": _Scheme("8006", 13, leading=True, serial_ai="21", longest=20, parts=2),
    "upui": _Scheme("01", 13, leading=True, serial_ai="235", longest=28),
    "pgln": _Scheme("417", 12),
}
_CLASS: Final[dict[str, _Scheme]] = {"lgtin": _Scheme("01", 13, leading=True, serial_ai="10", longest=20)}
_PATTERNS: Final = frozenset({"sgtin", "grai", "gdti", "sgcn", "cpi", "itip", "upui"})


def urn_pairs(urn: str) -> Pairs | None:
    """Return the key and qualifier an EPC, class or pattern URN stands for.

    Returns:
        (Application Identifier, value) of the key and maybe one qualifier, values still percent-encoded; None when
        `urn` is no URN of a known scheme, or a pattern wider than one trade item.
    """
    match = _URN.fullmatch(urn)
    if match is None:
        return None
    kind, name, body = match.groups()
    scheme = _CLASS.get(name) if kind == "class" else _ID.get(name)
    if scheme is None or (kind == "idpat" and name not in _PATTERNS):
        return None
    if kind == "idpat":
        body, star = body[:-2], body[-2:]
        if star != ".*":
            return None
    return (_numbered if scheme.digits else _free)(scheme, body, kind == "idpat")


def _numbered(scheme: _Scheme, body: str, is_pattern: bool) -> Pairs | None:
    """Read fields whose reference is a number; the key ends in a check digit."""
    has_serial = scheme.serial_ai is not None and not is_pattern
    fields = body.split(".", 1 + scheme.parts + has_serial)
    if len(fields) != 2 + scheme.parts + has_serial:
        return None
    prefix, reference, *parts = fields
    serial = parts.pop() if has_serial else ""
    known = _PREFIX.fullmatch(prefix) and _DIGITS.fullmatch(reference) and len(prefix + reference) == scheme.digits
    if not known or not all(re.fullmatch("[0-9]{2}", part) for part in parts):
        return None
    if has_serial and not _is_text(serial, scheme.longest):
        return None
    digits = reference[0] + prefix + reference[1:] if scheme.leading else prefix + reference
    digits = scheme.pad + digits
    value = digits + str(check_digit(digits)) + "".join(parts)
    if scheme.serial_ai == "":
        return ((scheme.ai, value + serial),)
    if not has_serial or (scheme.ai == "414" and serial == "0"):  # the extension 0 says there is none
        return ((scheme.ai, value),)
    return ((scheme.ai, value), (str(scheme.serial_ai), serial))


def _free(scheme: _Scheme, body: str, is_pattern: bool) -> Pairs | None:
    """Read fields whose reference is text; there is no check digit."""
    prefix, dot, reference = body.partition(".")
    serial = ""
    if scheme.serial_ai is not None and not is_pattern:
        reference, _, serial = reference.rpartition(".")
        if not re.fullmatch("[0-9]{1,12}", serial):
            return None
    if not dot or not _PREFIX.fullmatch(prefix) or not _is_text(reference, scheme.longest - len(prefix)):
        return None
    key = (scheme.ai, prefix + reference)
    return (key, (str(scheme.serial_ai), serial)) if serial else (key,)


def _is_text(text: str, longest: int) -> bool:
    return _TEXT.fullmatch(text) is not None and len(re.sub("%..", "x", text)) <= longest


def from_epc_urn(urn: str) -> DigitalLink:
    """Return the Digital Link of an EPC or class URN.

    Raises:
        DigitalLinkError: Not an EPC URN, or of a scheme whose key Hanlu does not read.
    """
    pairs = urn_pairs(urn)
    if pairs is None:
        raise DigitalLinkError(f"not an EPC URN Hanlu reads: {urn[:120]!r}")
    (key, value), *qualifiers = [(name, unquote(text)) for name, text in pairs]
    return DigitalLink(key, value, tuple(qualifiers))


def to_epc_urn(link: DigitalLink, company_prefix_length: int) -> str:
    """Return the EPC or class URN of a link.

    Args:
        link: An item (01 with 21), a lot (01 with 10), a logistic unit, a location, a party, a returnable or an
            individual asset. With a serial present the lot is left out: the URN has no room for it.
        company_prefix_length: Digits in the owner's GS1 company prefix, 6 to 12.

    Raises:
        DigitalLinkError: The length is impossible, or no URN names such a thing.
    """
    if not 6 <= company_prefix_length <= 12:
        raise DigitalLinkError(f"a company prefix has 6 to 12 digits, not {company_prefix_length}")
    write = _WRITERS.get(link.key)
    urn = write(link, company_prefix_length) if write else None
    if urn is None:
        raise DigitalLinkError(f"no EPC URN names {link.canonical()}")
    return urn


def _dotted(digits: str, length: int, *, leading: bool) -> str:
    """Return prefix and reference of a key without its check digit."""
    if leading:
        return f"{digits[1 : 1 + length]}.{digits[0]}{digits[1 + length : -1]}"
    return f"{digits[:length]}.{digits[length:-1]}"


def _escape(text: str) -> str:
    return _SPECIAL.sub(lambda match: f"%{ord(match[0]):02X}", text)


def _write_gtin(link: DigitalLink, length: int) -> str | None:
    body = _dotted(link.value, length, leading=True)
    if link.serial is not None:
        return f"urn:epc:id:sgtin:{body}.{_escape(link.serial)}"
    return f"urn:epc:class:lgtin:{body}.{_escape(link.lot)}" if link.lot is not None else None


def _write_sscc(link: DigitalLink, length: int) -> str:
    return "urn:epc:id:sscc:" + _dotted(link.value, length, leading=True)


def _write_sgln(link: DigitalLink, length: int) -> str:
    extension = link.qualifier("254")
    return f"urn:epc:id:sgln:{_dotted(link.value, length, leading=False)}.{_escape(extension or '0')}"


def _write_pgln(link: DigitalLink, length: int) -> str:
    return "urn:epc:id:pgln:" + _dotted(link.value, length, leading=False)


def _write_grai(link: DigitalLink, length: int) -> str | None:
    serial = link.value[14:]
    body = _dotted(link.value[1:14], length, leading=False)
    return f"urn:epc:id:grai:{body}.{_escape(serial)}" if serial else None


def _write_giai(link: DigitalLink, length: int) -> str | None:
    prefix, reference = link.value[:length], link.value[length:]
    return f"urn:epc:id:giai:{prefix}.{_escape(reference)}" if _PREFIX.fullmatch(prefix) and reference else None


_WRITERS: Final[dict[str, Callable[[DigitalLink, int], str | None]]] = {
    "00": _write_sscc,
    "01": _write_gtin,
    "414": _write_sgln,
    "417": _write_pgln,
    "8003": _write_grai,
    "8004": _write_giai,
}
