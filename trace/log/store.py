"""The log's tiles and identity in PostgreSQL, read and widened; who appends is the sequencer alone.

A tile is one row that only grows: the tile of an older, smaller tree is the first bytes of it. Writing a tile whose
beginning differs from the stored one is refused, whoever asks: that would be another log.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from psycopg.rows import dict_row

from hanlu.core.errors import FatalError, NotFoundError
from hanlu.db.pool import Connection
from hanlu.db.queries import load_queries
from hanlu.trace.log.merkle import HASH_SIZE
from hanlu.trace.log.notes import VerifierKey, parse_verifier_key
from hanlu.trace.log.tiles import TILE_WIDTH, Tile, TileReader

__all__ = [
    "LogIdentity",
    "StoredCheckpoint",
    "TileStore",
    "log_identity",
    "newest_checkpoint",
    "required_identity",
]

_SQL = load_queries("hanlu.trace")
_HEIGHT = 8


@dataclass(frozen=True, slots=True)
class LogIdentity:
    """Which log this database holds.

    Attributes:
        origin: The log's name in every checkpoint.
        key: Its public key.
        created_by: Who made it.
    """

    origin: str
    key: VerifierKey
    created_by: str


@dataclass(frozen=True, slots=True)
class StoredCheckpoint:
    """A signed checkpoint.

    Attributes:
        size: Leaves.
        root: Root hash.
        note: The signed text.
    """

    size: int
    root: bytes
    note: str


def log_identity(connection: Connection) -> LogIdentity | None:
    """Return the log of this database, or None before its creation."""
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(_SQL["log_identity"]).fetchone()
    if row is None:
        return None
    return LogIdentity(row["origin"], parse_verifier_key(row["verifier_key"]), row["created_by"])


def newest_checkpoint(connection: Connection) -> StoredCheckpoint | None:
    """Return the newest signed checkpoint, or None while the log is empty."""
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(_SQL["checkpoint_newest"]).fetchone()
    return None if row is None else StoredCheckpoint(row["tree_size"], bytes(row["root_hash"]), row["note"])


class TileStore:
    """Tiles through one connection; remembers what it has read, so it serves one task within one snapshot."""

    def __init__(self, connection: Connection) -> None:
        """Read and write through `connection`."""
        self._connection = connection
        self._kept: dict[tuple[int, int], bytes] = {}

    def fetch(self, wanted: Iterable[tuple[int, int]]) -> None:
        """Read several tiles, given as (level, index), in one query."""
        missing = sorted(set(wanted) - self._kept.keys())
        if not missing:
            return
        values = {"levels": [level for level, _ in missing], "indexes": [index for _, index in missing]}
        with self._connection.cursor(row_factory=dict_row, binary=True) as cursor:
            for row in cursor.execute(_SQL["tiles_some"], values):
                self._kept[(row["level"], row["tile_index"])] = bytes(row["hashes"])

    def fetch_paths(self, size: int, leaves: Iterable[int]) -> None:
        """Read what the inclusion paths of `leaves` in a tree of `size` need: the tiles above, the right edge."""
        wanted: set[tuple[int, int]] = set()
        level = 0
        indexes = set(leaves)
        while size >> (_HEIGHT * level):
            indexes = {index >> _HEIGHT for index in indexes}
            count = size >> (_HEIGHT * level)
            wanted.update((level, index) for index in indexes if index * TILE_WIDTH < count)
            wanted.update({(level, (count - 1) >> _HEIGHT), (level, count >> _HEIGHT)})
            level += 1
        self.fetch(wanted)

    def read(self, tile: Tile) -> bytes:
        """Return the bytes of `tile`; of a tile that has grown since, the first ones.

        Raises:
            FatalError: The tile is not there: the log is damaged.
        """
        address = (tile.level, tile.index)
        if address not in self._kept:
            self.fetch([address])
        data = self._kept.get(address, b"")
        if len(data) < tile.width * HASH_SIZE:
            raise FatalError(f"{tile.path} is missing from the log: run `hanlu trace fsck`")
        return data[: tile.width * HASH_SIZE]

    def write(self, tile: Tile, data: bytes) -> None:
        """Write or widen one tile.

        Raises:
            FatalError: What is stored is not the beginning of `data`.
        """
        done = self._connection.execute(
            _SQL["tile_write"], {"level": tile.level, "tile_index": tile.index, "width": tile.width, "hashes": data}
        )
        if done.rowcount != 1:
            raise FatalError(f"{tile.path} holds other hashes than the log would write now: run `hanlu trace fsck`")
        self._kept[(tile.level, tile.index)] = data

    def reader(self, size: int) -> TileReader:
        """Return the tree of `size` leaves."""
        return TileReader(size, self.read)


def required_identity(connection: Connection) -> LogIdentity:
    """Return the log of this database.

    Raises:
        NotFoundError: It was not created yet.
    """
    found = log_identity(connection)
    if found is None:
        raise NotFoundError("this database has no log yet: create it once with `hanlu trace create-log`")
    return found
