"""One name for each thing and one digest for each document, whatever spelling it arrived in.

Source: GS1 Digital Link URI Syntax 1.2, section 4.11 (canonical form); RFC 8785 (canonical JSON).
"""

from __future__ import annotations

from hanlu.trace.epcis.digital_link import DigitalLink, DigitalLinkError, parse_digital_link
from hanlu.trace.epcis.epc_urn import from_epc_urn
from hanlu.trace.log.leaf import canonical_bytes, jcs_digest

__all__ = ["canonical_bytes", "jcs_digest", "link_of", "lot_uri", "thing_uri"]


def link_of(uri: str) -> DigitalLink | None:
    """Return the GS1 key behind an EPC URN or a Digital Link of any domain; None for any other name."""
    try:
        return from_epc_urn(uri) if uri.startswith("urn:epc:") else parse_digital_link(uri)
    except DigitalLinkError:
        return None


def thing_uri(uri: str) -> str:
    """Return the canonical Digital Link of a thing, with all its qualifiers; a foreign name stays as it is."""
    link = link_of(uri)
    return link.canonical() if link else uri


def lot_uri(uri: str) -> str:
    """Return the canonical Digital Link of the lot a thing belongs to, or of the thing itself where it names no lot."""
    link = link_of(uri)
    if link is None:
        return uri
    return link.without("21", "22").canonical() if link.lot is not None else link.canonical()
