"""GS1 identification keys: check digits and the shape of each Application Identifier that Hanlu reads in a link.

A value's shape is a regular expression over the decoded text. `CSET82` is the character set of GS1 serials and lots.

Source: GS1 General Specifications, sections 3 (Application Identifiers), 7.9 (check digits), 7.11 (character set 82).
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from typing import Final

__all__ = ["ALL_KEYS", "KEYS", "KeyShape", "attribute_problem", "check_digit", "is_gtin", "key_problem"]

_CSET82 = r"[!\"%&'()*+,\-./0-9:;<=>?A-Z_a-z]"

ALL_KEYS: Final = frozenset(
    {
        "00",
        "01",
        "253",
        "255",
        "401",
        "402",
        "414",
        "415",
        "417",
        "8003",
        "8004",
        "8006",
        "8010",
        "8013",
        "8017",
        "8018",
    }
)
"""Every key that may lead the path of a Digital Link."""


@dataclass(frozen=True, slots=True)
class KeyShape:
    """What a key looks like in a Digital Link's path.

    Attributes:
        value: Shape of the key's value.
        checked: How many leading digits end in their check digit; 0 for a key without one.
        qualifiers: Key qualifiers in the only order they may follow.
    """

    value: re.Pattern[str]
    checked: int
    qualifiers: tuple[str, ...] = ()


def _shape(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII)


KEYS: Final[dict[str, KeyShape]] = {
    "00": KeyShape(_shape(r"\d{18}"), 18),
    "01": KeyShape(_shape(r"\d{14}"), 14, ("22", "10", "21")),
    "414": KeyShape(_shape(r"\d{13}"), 13, ("254",)),
    "417": KeyShape(_shape(r"\d{13}"), 13),
    "8003": KeyShape(_shape(rf"0\d{{13}}{_CSET82}{{0,16}}"), 14),
    "8004": KeyShape(_shape(rf"\d{{4}}{_CSET82}{{0,26}}"), 0),
}
"""The keys Hanlu handles: SSCC, GTIN, GLN of a location, GLN of a party, GRAI, GIAI."""

_QUALIFIER = _shape(rf"{_CSET82}{{1,20}}")

_ATTRIBUTES: Final[tuple[tuple[re.Pattern[str], re.Pattern[str]], ...]] = tuple(
    (_shape(ais), _shape(values))
    for ais, values in (
        (r"1[123567]", r"\d{6}"),  # dates, checked further below
        (r"10", rf"{_CSET82}{{1,20}}"),  # lot, where the key is not the GTIN
        (r"20", r"\d\d"),  # variant
        (r"24[01]|250|251|400|403|90", rf"{_CSET82}{{1,30}}"),  # further identification, references
        (r"30|37", r"\d{1,8}"),  # counts
        (r"(31[0-6]|3[246]\d|3[35][0-7])[0-5]", r"\d{6}"),  # weights, lengths, areas, volumes
        (r"390\d|392\d", r"\d{1,15}"),  # amounts
        (r"39[13]\d", r"\d{4,18}"),  # amounts with currency
        (r"420", rf"{_CSET82}{{1,20}}"),  # ship to
        (r"422|424|426", r"\d{3}"),  # country of origin, of processing, of all processing
        (r"423|425", r"(\d{3}){1,5}"),  # countries of initial processing, of disassembly
        (r"427", rf"{_CSET82}{{1,3}}"),  # subdivision of origin
        (r"7003", r"\d{10}"),  # expiry with time
        (r"7007", r"\d{6}(\d{6})?"),  # harvest date or period
        (r"9[1-9]", rf"{_CSET82}{{1,90}}"),  # agreed between companies
    )
)

_DATES = frozenset({"11", "12", "13", "15", "16", "17"})


def check_digit(digits: str) -> int:
    """Return the check digit for the digits before it.

    Args:
        digits: ASCII digits without the check digit; weights 3 and 1 alternate from the right.

    Source: GS1 General Specifications, section 7.9.1.
    """
    total = sum(int(digit) * (3 if place % 2 == 0 else 1) for place, digit in enumerate(reversed(digits)))
    return -total % 10


def _check_holds(digits: str) -> bool:
    return check_digit(digits[:-1]) == int(digits[-1])


def is_gtin(text: str) -> bool:
    """Tell whether `text` is a GTIN of 8, 12, 13 or 14 digits with its right check digit."""
    return re.fullmatch(r"\d{8}|\d{12,14}", text, re.ASCII) is not None and _check_holds(text)


def key_problem(ai: str, value: str, qualifiers: tuple[tuple[str, str], ...]) -> str | None:
    """Say what is wrong with a key and its qualifiers, or None.

    Args:
        ai: Application Identifier of the key, such as ``01``.
        value: The key's decoded value.
        qualifiers: (Application Identifier, decoded value) in the order of the path.
    """
    shape = KEYS.get(ai)
    if shape is None:
        return f"key ({ai}) is not one Hanlu reads"
    if not shape.value.fullmatch(value):
        return f"({ai}) does not have the right form: {value!r}"
    if shape.checked and not _check_holds(value[: shape.checked]):
        return f"({ai}) has a wrong check digit: {value!r}"
    places = [shape.qualifiers.index(name) if name in shape.qualifiers else -1 for name, _ in qualifiers]
    if -1 in places or places != sorted(set(places)):
        names = ", ".join(name for name, _ in qualifiers)
        return f"({names}) cannot follow ({ai}) in this order"
    for name, text in qualifiers:
        if not _QUALIFIER.fullmatch(text):
            return f"({name}) does not have the right form: {text!r}"
    return None


def _is_date(value: str) -> bool:
    """Tell whether YYMMDD is a day; the day 00 stands for the month's end."""
    year, month, day = 2000 + int(value[:2]), int(value[2:4]), int(value[4:])
    return 1 <= month <= 12 and day <= calendar.monthrange(year, month)[1]


def attribute_problem(key: str, ai: str, value: str) -> str | None:
    """Say what is wrong with a data attribute in the query of a link with `key`, or None.

    A qualifier of the very key may stand in the path only; another key may be an attribute.
    """
    if ai in KEYS[key].qualifiers or ai == key:
        return f"({ai}) cannot be a data attribute of ({key})"
    if ai in KEYS:
        return key_problem(ai, value, ())
    if ai in {"02", *(f"41{digit}" for digit in "012356")}:
        length = 14 if ai == "02" else 13
        good = re.fullmatch(rf"\d{{{length}}}", value, re.ASCII) is not None and _check_holds(value)
        return None if good else f"({ai}) does not have the right form: {value!r}"
    for names, shape in _ATTRIBUTES:
        if names.fullmatch(ai):
            good = shape.fullmatch(value) is not None and (ai not in _DATES or _is_date(value))
            return None if good else f"({ai}) does not have the right form: {value!r}"
    return f"({ai}) is not a data attribute Hanlu knows"
