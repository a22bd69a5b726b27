"""Tiles: the tree cut into files of at most 256 hashes, written once and cached for ever.

Theory. A tile at level L holds up to 256 hashes side by side, each covering 256**L leaves; a full tile's own subtree
hash is one entry of the tile above it. A tile that is not full yet is *partial* and carries its width in its name; a
partial tile is never hashed upwards. Appending therefore touches only the right edge: `grow` reads at most one partial
tile a level and returns the tiles to write. Old partial tiles stay valid for their own tree size, so a crash between
writing tiles and signing the checkpoint leaves nothing wrong behind: the next run writes the same bytes again.

Source: C2SP tlog-tiles ("Merkle Tree", "Partial Tiles", "Log entries").
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from hanlu.trace.log.merkle import HASH_SIZE, inclusion_path, node_hash, root_of

__all__ = [
    "TILE_WIDTH",
    "Tile",
    "TileReader",
    "decode_entries",
    "encode_entries",
    "entry_bundle_path",
    "grow",
    "parse_tile_path",
    "tiles_of",
]

TILE_WIDTH = 256
"""Hashes in a full tile."""

_TILE_HEIGHT = 8
_MAX_ENTRY = 0xFFFF
_PATH = re.compile(r"tile/(0|[1-9]\d?)/((?:x\d{3}/)*\d{3})(?:\.p/([1-9]\d{0,2}))?", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Tile:
    """Address of one tile.

    Attributes:
        level: 0 for leaf hashes, one more for each 256-fold step up.
        index: Place within the level, from 0.
        width: Hashes in it, 1 to 256; below 256 the tile is partial.
    """

    level: int
    index: int
    width: int = TILE_WIDTH

    @property
    def path(self) -> str:
        """Name of the tile below the log's prefix, such as ``tile/0/x001/x234/067.p/12``."""
        return f"tile/{self.level}/{_index_path(self.index)}{_width_path(self.width)}"


ReadTile = Callable[[Tile], bytes]


def _index_path(index: int) -> str:
    groups = [f"{index % 1000:03d}"]
    while index >= 1000:
        index //= 1000
        groups.insert(0, f"x{index % 1000:03d}")
    return "/".join(groups)


def _width_path(width: int) -> str:
    return "" if width == TILE_WIDTH else f".p/{width}"


def entry_bundle_path(index: int, width: int = TILE_WIDTH) -> str:
    """Return the name of the bundle with the entries of level-0 tile `index`."""
    return f"tile/entries/{_index_path(index)}{_width_path(width)}"


def parse_tile_path(path: str) -> Tile:
    """Read a tile's name.

    Raises:
        ValueError: The name is not exactly what `Tile.path` writes.
    """
    match = _PATH.fullmatch(path)
    if match is None:
        raise ValueError(f"not a tile path: {path!r}")
    level, groups, width = match.groups()
    tile = Tile(int(level), int(groups.replace("x", "").replace("/", "")), int(width) if width else TILE_WIDTH)
    if tile.path != path or tile.width > TILE_WIDTH or (width and tile.width == TILE_WIDTH):
        raise ValueError(f"not a tile path: {path!r}")
    return tile


def _level_sizes(size: int) -> Iterator[tuple[int, int]]:
    """Yield (level, number of hashes at that level) for a tree of `size` leaves, as long as there are any."""
    level = 0
    while size:
        yield level, size
        size >>= _TILE_HEIGHT
        level += 1


def tiles_of(size: int) -> list[Tile]:
    """Return every tile of a tree of `size` leaves, lowest level first."""
    tiles: list[Tile] = []
    for level, count in _level_sizes(size):
        tiles.extend(Tile(level, index) for index in range(count // TILE_WIDTH))
        if count % TILE_WIDTH:
            tiles.append(Tile(level, count // TILE_WIDTH, count % TILE_WIDTH))
    return tiles


def _fold(hashes: Sequence[bytes]) -> bytes:
    """Return the hash of a full subtree over a power-of-two number of hashes."""
    level = list(hashes)
    while len(level) > 1:
        level = [node_hash(left, right) for left, right in zip(level[::2], level[1::2], strict=True)]
    return level[0]


def _hashes(data: bytes) -> list[bytes]:
    return [data[start : start + HASH_SIZE] for start in range(0, len(data), HASH_SIZE)]


def _checked(tile: Tile, data: bytes) -> bytes:
    if len(data) != tile.width * HASH_SIZE:
        raise ValueError(f"{tile.path} holds {len(data)} bytes, expected {tile.width * HASH_SIZE}")
    return data


def grow(size: int, leaves: Sequence[bytes], read: ReadTile) -> dict[Tile, bytes]:
    """Append leaf hashes to a tree of which only tiles are stored.

    Args:
        size: Leaves in the tree so far.
        leaves: Leaf hashes to add, 32 bytes each, in order.
        read: Gives the bytes of a stored tile; asked only for the partial tiles at the right edge of `size`.

    Returns:
        The tiles to store for the new size: every tile that became full and the new partial tile of each level.

    Raises:
        ValueError: A stored tile or a leaf hash has the wrong length.
    """
    if any(len(leaf) != HASH_SIZE for leaf in leaves):
        raise ValueError(f"a leaf hash must have {HASH_SIZE} bytes")
    written: dict[Tile, bytes] = {}
    fresh = list(leaves)
    level = 0
    while fresh:
        count = size >> (_TILE_HEIGHT * level)
        index, width = divmod(count, TILE_WIDTH)
        edge = Tile(level, index, width)
        pending = (_hashes(_checked(edge, read(edge))) if width else []) + fresh
        fresh = []
        while len(pending) >= TILE_WIDTH:
            full, pending = pending[:TILE_WIDTH], pending[TILE_WIDTH:]
            written[Tile(level, index)] = b"".join(full)
            fresh.append(_fold(full))
            index += 1
        if pending:
            written[Tile(level, index, len(pending))] = b"".join(pending)
        level += 1
    return written


class TileReader:
    """Answers for full subtrees from stored tiles; keeps each tile it has read and each subtree it has folded.

    One reader serves one tree size and one short task (a proof, a root); a new task makes a new reader.
    """

    def __init__(self, size: int, read: ReadTile) -> None:
        """Read the tree of `size` leaves through `read`.

        Args:
            size: Leaves in the tree.
            read: Gives a tile's bytes; may answer a partial tile's address from the full tile's first bytes.
        """
        self.size = size
        self._read = read
        self._kept: dict[tuple[int, int], list[bytes]] = {}
        self._folded: dict[tuple[int, int], bytes] = {}

    def _tile(self, level: int, index: int) -> list[bytes]:
        kept = self._kept.get((level, index))
        if kept is None:
            width = min((self.size >> (_TILE_HEIGHT * level)) - index * TILE_WIDTH, TILE_WIDTH)
            if width <= 0:
                raise ValueError(f"tile {index} of level {level} lies outside a tree of {self.size} leaves")
            tile = Tile(level, index, width)
            kept = self._kept[(level, index)] = _hashes(_checked(tile, self._read(tile)))
        return kept

    def node(self, level: int, index: int) -> bytes:
        """Return the hash of one full subtree (a `merkle.NodeReader`).

        Raises:
            ValueError: The subtree lies outside the tree, or a tile has the wrong length.
        """
        known = self._folded.get((level, index))
        if known is not None:
            return known
        tile_level, height = divmod(level, _TILE_HEIGHT)
        tile_index, first = divmod(index << height, TILE_WIDTH)
        stretch = self._tile(tile_level, tile_index)[first : first + (1 << height)]
        if len(stretch) != 1 << height:
            raise ValueError(f"subtree {index} of level {level} lies outside a tree of {self.size} leaves")
        folded = self._folded[(level, index)] = _fold(stretch)
        return folded

    def root(self) -> bytes:
        """Return the tree's root hash."""
        return root_of(self.node, self.size)

    def inclusion_path(self, index: int) -> tuple[bytes, ...]:
        """Return the inclusion path of leaf `index`."""
        return inclusion_path(self.node, index, self.size)


def encode_entries(entries: Sequence[bytes]) -> bytes:
    """Return an entry bundle: each entry behind its length in two bytes, big-endian.

    Raises:
        ValueError: More than 256 entries, or an entry longer than 65,535 bytes.
    """
    if len(entries) > TILE_WIDTH:
        raise ValueError(f"a bundle holds at most {TILE_WIDTH} entries")
    parts = []
    for entry in entries:
        if len(entry) > _MAX_ENTRY:
            raise ValueError(f"an entry of {len(entry)} bytes does not fit a bundle")
        parts.append(len(entry).to_bytes(2, "big") + entry)
    return b"".join(parts)


def decode_entries(data: bytes) -> list[bytes]:
    """Return the entries of a bundle.

    Raises:
        ValueError: The bundle ends within an entry, or holds more than 256.
    """
    entries: list[bytes] = []
    position = 0
    while position < len(data):
        length = int.from_bytes(data[position : position + 2], "big")
        entry = data[position + 2 : position + 2 + length]
        if position + 2 > len(data) or len(entry) != length or len(entries) == TILE_WIDTH:
            raise ValueError("broken entry bundle")
        entries.append(entry)
        position += 2 + length
    return entries
