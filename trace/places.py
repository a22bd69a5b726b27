"""Names for identities: places, organisations and products by their GS1 keys, from the registry's tables."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from psycopg.rows import dict_row

from hanlu.db.pool import Connection
from hanlu.db.queries import load_queries
from hanlu.trace.epcis.digital_link import CANONICAL_STEM, DigitalLinkError, parse_digital_link

__all__ = ["Names", "Participant", "Place", "Product", "load_names"]

_SQL = load_queries("hanlu.trace")


@dataclass(frozen=True, slots=True)
class Participant:
    """An organisation that acts on goods; never a natural person.

    Attributes:
        gln: 13 digits.
        name_zh: Chinese name; the GLN where the registry does not know it.
        name_en: English name, likewise.
        role: producer, cooperative, store, carrier, shop, input_dealer, laboratory; "" where unknown.
    """

    gln: str
    name_zh: str
    name_en: str
    role: str


@dataclass(frozen=True, slots=True)
class Place:
    """A location an event names.

    Attributes:
        uri: Canonical Digital Link, ``https://id.gs1.org/414/<gln>``, or whatever the event said.
        gln: 13 digits, or "" where the URI is none.
        name_zh: Chinese name of zone or site; the URI's last part where the registry does not know it.
        name_en: English name, likewise.
        kind: Kind of the site (field, pre_cooler, cold_store, truck, locker, shop, drone, depot), "" where unknown.
        zone: Code of the zone, or None for a whole site.
        site_zh: Chinese name of the site, "" where unknown.
        site_en: English name of the site, "" where unknown.
        latitude: Degrees north (WGS 84), or None.
        longitude: Degrees east, or None.
        participant: Who runs the site, or None.
        organisation_path: Path of the organisation it belongs to, "" where unknown.
    """

    uri: str
    gln: str
    name_zh: str
    name_en: str
    kind: str = ""
    zone: str | None = None
    site_zh: str = ""
    site_en: str = ""
    latitude: float | None = None
    longitude: float | None = None
    participant: Participant | None = None
    organisation_path: str = ""


@dataclass(frozen=True, slots=True)
class Product:
    """A product.

    Attributes:
        gtin: 14 digits.
        name_zh: Chinese name; the GTIN where the registry does not know it.
        name_en: English name, likewise.
    """

    gtin: str
    name_zh: str
    name_en: str


@dataclass(frozen=True, slots=True)
class Names:
    """Looked-up names; an unknown key is answered with the key itself."""

    places: dict[str, Place]
    participants: dict[str, Participant]
    products: dict[str, Product]

    def place(self, uri: str | None) -> Place | None:
        """Return the place a location URI names, or None for None."""
        if uri is None:
            return None
        gln = _key_value(uri, "414") or ""
        known = self.places.get(gln)
        if known is None:
            shown = gln or uri.rstrip("/").rpartition("/")[2]
            return Place(uri, gln, shown, shown)
        return known

    def participant(self, uri: str) -> Participant:
        """Return the organisation a party URI (``…/417/<gln>`` or ``…/414/<gln>``) names."""
        gln = _key_value(uri, "417") or _key_value(uri, "414") or uri
        return self.participants.get(gln) or Participant(gln, gln, gln, "")

    def product(self, uri: str) -> Product | None:
        """Return the product of a lot or item URI, or None where it has no GTIN."""
        gtin = _key_value(uri, "01")
        if gtin is None:
            return None
        return self.products.get(gtin) or Product(gtin, gtin, gtin)


def load_names(
    connection: Connection, *, places: Iterable[str] = (), parties: Iterable[str] = (), things: Iterable[str] = ()
) -> Names:
    """Look up many URIs at once.

    Args:
        connection: Any connection of the room.
        places: Location URIs.
        parties: URIs of organisations.
        things: URIs of lots and items.
    """
    place_glns = _values(places, "414")
    party_glns = [*_values(parties, "417"), *_values(parties, "414")]
    gtins = _values(things, "01")
    return Names(
        {row["gln"]: _place(row) for row in _rows(connection, "places", glns=place_glns)} if place_glns else {},
        {row["gln"]: Participant(**row) for row in _rows(connection, "participants", glns=party_glns)}
        if party_glns
        else {},
        {
            row["gtin"]: Product(row["gtin"], row["name_zh"], row["name_en"])
            for row in _rows(connection, "products", gtins=gtins)
        }
        if gtins
        else {},
    )


def _rows(connection: Connection, name: str, **values: Any) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SQL[name], values).fetchall()


def _key_value(uri: str, key: str) -> str | None:
    try:
        link = parse_digital_link(uri)
    except DigitalLinkError:
        return None
    return link.value if link.key == key else None


def _values(uris: Iterable[str], key: str) -> list[str]:
    return sorted({value for uri in set(uris) if (value := _key_value(uri, key)) is not None})


def _place(row: dict[str, Any]) -> Place:
    participant = None
    if row["participant_gln"]:
        participant = Participant(
            row["participant_gln"], row["participant_zh"], row["participant_en"], row["participant_role"]
        )
    return Place(
        uri=f"{CANONICAL_STEM}/414/{row['gln']}",
        gln=row["gln"],
        name_zh=row["name_zh"],
        name_en=row["name_en"],
        kind=row["kind"],
        zone=row["zone"],
        site_zh=row["site_zh"],
        site_en=row["site_en"],
        latitude=row["latitude"],
        longitude=row["longitude"],
        participant=participant,
        organisation_path=row["organisation_path"],
    )
