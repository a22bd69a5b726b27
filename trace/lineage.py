"""What a lot was made of, read off its events: pure, and the same in the browser (`static/view.js`).

A transformation that creates a lot on the field (`commissioning`) uses up farm inputs: fertiliser, pesticide, seed. A
later one (`packing` and the like) turns goods into goods. So a lot's sources are told apart by the step that used them,
and whatever a farm input came from is a farm input too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from hanlu.trace.epcis.canonical import link_of

__all__ = ["CREATING_STEPS", "bare_word", "counting", "made_with", "parents_of", "shown_lot", "things_of"]

Document = Mapping[str, Any]

CREATING_STEPS: Final = frozenset({"commissioning", "creating_class_instance"})
"""Business steps whose inputs are farm inputs, not goods."""

_CBV: Final = "https://ref.gs1.org/cbv/"


def bare_word(uri: str) -> str:
    """Return a CBV value as its bare word: `shipping` for `https://ref.gs1.org/cbv/BizStep-shipping` and for itself."""
    if uri.startswith(_CBV):
        return uri.rsplit("-", 1)[-1]
    return uri.rsplit(":", 1)[-1] if uri.startswith("urn:epcglobal:cbv:") else uri


def shown_lot(uri: str) -> str:
    """Return the canonical Digital Link of the lot a GTIN's URI names; anything that is no GTIN as it came."""
    link = link_of(uri)
    if link is None or link.key != "01":
        return uri
    return (link.without("21", "22") if link.lot is not None else link).canonical()


def things_of(document: Document, side: str) -> tuple[str, ...]:
    """Return the lots on one side ("input" or "output") of a transformation, by `shown_lot`."""
    listed = [*document.get(f"{side}EPCList", ())]
    listed += [each["epcClass"] for each in document.get(f"{side}QuantityList", ()) if "epcClass" in each]
    return tuple(dict.fromkeys(shown_lot(str(uri)) for uri in listed))


def counting(records: Sequence[tuple[str | None, Document]]) -> list[Document]:
    """Return the events that count: no error declarations, none taken back by one, no curves.

    Args:
        records: (CBV hash, document) of each; a declaration has the hash of the event it takes back.
    """
    wrong = {cbv for cbv, document in records if "errorDeclaration" in document}
    return [document for cbv, document in records if cbv is not None and cbv not in wrong]


def made_with(lot: str, events: Iterable[Document]) -> list[Document]:
    """Return the transformations that brought the lot forth."""
    return [each for each in events if each.get("type") == "TransformationEvent" and lot in things_of(each, "output")]


def parents_of(lot: str, events: Iterable[Document]) -> dict[str, bool]:
    """Return what a lot was made of, in the order of its events, and of each whether it is a farm input.

    Args:
        lot: Canonical Digital Link of the lot.
        events: Its events that count.
    """
    found: dict[str, bool] = {}
    for document in made_with(lot, events):
        created = bare_word(str(document.get("bizStep", ""))) in CREATING_STEPS
        for uri in things_of(document, "input"):
            if uri != lot:
                found[uri] = created and found.get(uri, True)
    return found
