"""Bundles ready to be sent, and the view made of them: kept as long as nothing new is known about their lots.

A lot that many scan at once is put together once. What was made for one checkpoint stays true, for the log only grows;
so an answer is made anew only when one of its lots has a new record, or when its checkpoint has reached the chain. The
page and its script ask for the same checkpoint and so speak of the same state.
"""

from __future__ import annotations

import gzip
import json
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Final

from psycopg.rows import dict_row

from hanlu.db.pool import Connection
from hanlu.db.queries import load_queries
from hanlu.trace.bundle_service import lot_bundles
from hanlu.trace.consumer_view import View, consumer_view

__all__ = ["MAX_KEPT", "Dossier", "Proof", "Shelf"]

_SQL = load_queries("hanlu.trace")

MAX_KEPT: Final = 48
"""Dossiers kept in one process: about half a megabyte each."""

_GZIP_LEVEL: Final = 6


class Proof:
    """Bundles as a JSON array, written when they are first asked for: the page itself does not need them."""

    def __init__(self, bundles: list[dict[str, Any]]) -> None:
        """Keep `bundles` until they are written."""
        self._bundles: list[dict[str, Any]] | None = bundles
        self._body = b""
        self._packed = b""
        self._lock = threading.Lock()

    def bytes(self, *, packed: bool) -> bytes:
        """Return the array, by gzip if `packed`."""
        with self._lock:
            if self._bundles is not None:
                self._body = json.dumps(self._bundles, ensure_ascii=False, separators=(",", ":")).encode()
                self._bundles = None
            if packed and not self._packed:
                self._packed = gzip.compress(self._body, _GZIP_LEVEL, mtime=0)
            return self._packed if packed else self._body


@dataclass(frozen=True, slots=True)
class Dossier:
    """A lot and the lots it came from, at one checkpoint.

    Attributes:
        size: Tree size of the checkpoint.
        anchor: The anchor's statement, or None while there is none.
        view: What the page shows.
        proof: The bundles, ready to be sent.
        records: Records of all its lots together.
        newest: Greatest leaf index of them.
        pictures: Drawings made of it, by whatever their maker tells them apart.
    """

    size: int
    anchor: dict[str, Any] | None
    view: View
    proof: Proof
    records: int
    newest: int
    pictures: dict[Any, str] = field(default_factory=dict, compare=False)

    @property
    def lots(self) -> list[str]:
        """Every lot whose new records would change it."""
        view = self.view
        return [view.lot, *view.sources, *(each.lot for each in view.inputs), *view.elsewhere]


class Shelf:
    """The dossiers kept; safe to use from several threads."""

    def __init__(self, most: int = MAX_KEPT) -> None:
        """Keep at most `most` dossiers, those used last."""
        self._most = most
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, int], Dossier] = OrderedDict()
        self._newest: dict[str, int] = {}

    def newest(self, connection: Connection, lot_uri: str) -> Dossier:
        """Return what is known about a lot now.

        Raises:
            NotFoundError: the log holds nothing about it yet.
            UsageError: it has more records than one bundle holds.
        """
        size = self._newest.get(lot_uri)
        known = None if size is None else self._find(lot_uri, size)
        if known is not None and _is_fresh(connection, known):
            return known
        return self._keep(lot_uri, _made(connection, lot_uri, None), newest=True)

    def at(self, connection: Connection, lot_uri: str, size: int) -> Dossier:
        """Return what was known about a lot at the checkpoint of tree size `size`.

        Raises:
            NotFoundError: there is no such checkpoint, or nothing of the lot below it.
            UsageError: it has more records than one bundle holds.
        """
        return self._find(lot_uri, size) or self._keep(lot_uri, _made(connection, lot_uri, size), newest=False)

    def _find(self, lot_uri: str, size: int) -> Dossier | None:
        with self._lock:
            found = self._kept.get((lot_uri, size))
            if found is not None:
                self._kept.move_to_end((lot_uri, size))
            return found

    def _keep(self, lot_uri: str, dossier: Dossier, *, newest: bool) -> Dossier:
        with self._lock:
            self._kept[(lot_uri, dossier.size)] = dossier
            self._kept.move_to_end((lot_uri, dossier.size))
            if newest:
                self._newest[lot_uri] = dossier.size
            while len(self._kept) > self._most:
                gone, size = self._kept.popitem(last=False)[0]
                if self._newest.get(gone) == size:
                    del self._newest[gone]
        return dossier


def _made(connection: Connection, lot_uri: str, size: int | None) -> Dossier:
    bundles = lot_bundles(connection, lot_uri, size=size)
    items = [item for bundle in bundles for item in bundle["items"]]
    return Dossier(
        size=int(bundles[0]["checkpoint"].split("\n", 2)[1]),
        anchor=bundles[0]["anchor"],
        view=consumer_view(bundles),
        proof=Proof(bundles),
        records=len(items),
        newest=max(item["index"] for item in items),
    )


def _is_fresh(connection: Connection, dossier: Dossier) -> bool:
    with connection.cursor(row_factory=dict_row) as cursor:
        now = cursor.execute(_SQL["lots_standing"], {"lots": dossier.lots}).fetchone()
    assert now is not None  # aggregates always return a row
    if now["records"] != dossier.records:
        return False
    if dossier.anchor is None:
        return now["anchored"] is None or now["anchored"] <= dossier.newest
    return bool(now["contract"] == dossier.anchor["contract"])
