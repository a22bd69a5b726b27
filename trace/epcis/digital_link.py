"""GS1 Digital Link: the canonical identity of everything Hanlu names.

Theory. A Digital Link is an ordinary web address whose path ends in a GS1 key and its qualifiers, each as a pair of
Application Identifier and value: ``https://id.gs1.org/01/06901234567892/10/TAO-1`` is lot TAO-1 of a GTIN. Data
attributes (best before, weight) may stand in the query. The domain is only where to ask; two links with the same key
and qualifiers name the same thing, and `DigitalLink.canonical` is its one name.

Reading is strict: GTINs have 14 digits, check digits hold, the order of qualifiers is fixed, unknown numeric attributes
and repeated ones are refused. Other parameters, whose names are not numbers, are passed over.

Source: GS1 Digital Link Standard, URI Syntax 1.2, sections 4 (path and query), 4.11 (canonical), 5 (percent-encoding).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, unquote_to_bytes

from hanlu.core.errors import RemoteError
from hanlu.trace.epcis.gs1_keys import ALL_KEYS, attribute_problem, key_problem

__all__ = ["CANONICAL_STEM", "DigitalLink", "DigitalLinkError", "parse_digital_link"]

CANONICAL_STEM = "https://id.gs1.org"
"""Scheme and domain of the canonical form."""

MAX_LENGTH = 2048
"""Longest link that is read, in characters."""

_LINK = re.compile(
    r"(?:https?|HTTPS?)://"
    r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9.\-]*[A-Za-z0-9])?)(?::[0-9]{1,5})?"
    r"(?P<path>/[^?#]*)(?:\?(?P<query>[^#]*))?(?:#.*)?"
)
_LEGAL = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]*")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_NUMERIC = re.compile(r"[0-9]+")


class DigitalLinkError(RemoteError):
    """This is not a GS1 Digital Link Hanlu reads."""


@dataclass(frozen=True, slots=True)
class DigitalLink:
    """A key with its qualifiers and data attributes, all values decoded.

    Attributes:
        key: Application Identifier of the key: 00, 01, 414, 417, 8003 or 8004.
        value: The key's value.
        qualifiers: (Application Identifier, value), in the order of the path; for a GTIN 22, 10, 21.
        attributes: (Application Identifier, value) of the query, in its order; no part of the identity.
    """

    key: str
    value: str
    qualifiers: tuple[tuple[str, str], ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        """Refuse what GS1 forbids.

        Raises:
            DigitalLinkError: Says which identifier is wrong and how.
        """
        problem = key_problem(self.key, self.value, self.qualifiers)
        names = [name for name, _ in self.attributes]
        if problem is None and len(names) != len(set(names)):
            problem = "a data attribute is repeated"
        for name, value in self.attributes:
            problem = problem or attribute_problem(self.key, name, value)
        if problem is not None:
            raise DigitalLinkError(problem)

    def qualifier(self, ai: str) -> str | None:
        """Return the value of one qualifier, or None."""
        return dict(self.qualifiers).get(ai)

    @property
    def lot(self) -> str | None:
        """The lot (10), or None."""
        return self.qualifier("10")

    @property
    def serial(self) -> str | None:
        """The serial number (21), or None."""
        return self.qualifier("21")

    def canonical(self) -> str:
        """Return the one name of this thing: GS1's own domain, no query."""
        return CANONICAL_STEM + self._path()

    def at(self, stem: str) -> str:
        """Return the link below `stem`, data attributes included.

        Args:
            stem: Scheme, domain and maybe a path, such as ``https://trace.example/t``; no query.
        """
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in self.attributes)
        return stem.rstrip("/") + self._path() + (f"?{query}" if query else "")

    def without(self, *ais: str) -> DigitalLink:
        """Return the same key without the named qualifiers and without attributes; for instance the lot of an item."""
        kept = tuple(pair for pair in self.qualifiers if pair[0] not in ais)
        return DigitalLink(self.key, self.value, kept)

    def _path(self) -> str:
        pairs = ((self.key, self.value), *self.qualifiers)
        return "".join(f"/{name}/{quote(value, safe='')}" for name, value in pairs)


@lru_cache(maxsize=8_192)
def parse_digital_link(uri: str) -> DigitalLink:
    """Read a Digital Link of any domain; the last few thousand are remembered, for pages name the same ones often.

    Args:
        uri: The whole address.

    Raises:
        DigitalLinkError: Not a web address, no GS1 key in its path, or a value GS1 forbids.
    """
    if len(uri) > MAX_LENGTH:
        raise DigitalLinkError(f"longer than {MAX_LENGTH} characters")
    match = _LINK.fullmatch(uri)
    if match is None or not _LEGAL.fullmatch(uri):
        raise DigitalLinkError("not a web address")
    if _BAD_ESCAPE.search(uri):
        raise DigitalLinkError("broken percent-encoding")
    pairs = _pairs_of(match["path"].split("/")[1:])
    (key, value), *qualifiers = [(name, _decode(text)) for name, text in pairs]
    return DigitalLink(key, value, tuple(qualifiers), _attributes(match["query"] or ""))


def _pairs_of(segments: list[str]) -> list[tuple[str, str]]:
    """Return the pairs of the path from the last key on; what stands before it is the owner's own path."""
    for start in range(len(segments) - 2, -1, -2):
        if segments[start] in ALL_KEYS:
            return list(zip(segments[start::2], segments[start + 1 :: 2], strict=True))
    raise DigitalLinkError("the path holds no GS1 key")


def _attributes(query: str) -> tuple[tuple[str, str], ...]:
    pairs = (part.partition("=") for part in re.split("[&;]", query))
    named = [(_decode(name), _decode(value.replace("+", " "))) for name, _, value in pairs]
    return tuple((name, value) for name, value in named if _NUMERIC.fullmatch(name))


def _decode(text: str) -> str:
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise DigitalLinkError("percent-encoding is not UTF-8") from None
