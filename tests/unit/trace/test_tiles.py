"""Tiles: names, growth in any steps, and reading back what was stored."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanlu.trace.log import merkle, tiles


def _leaves(count: int) -> list[bytes]:
    return [merkle.leaf_hash(i.to_bytes(4, "big")) for i in range(count)]


def _grown(leaves: list[bytes], steps: list[int]) -> dict[tiles.Tile, bytes]:
    store: dict[tiles.Tile, bytes] = {}
    size = 0
    for step in [*steps, len(leaves)]:
        batch = leaves[size : size + step]
        store.update(tiles.grow(size, batch, store.__getitem__))
        size += len(batch)
    return store


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (tiles.Tile(0, 0), "tile/0/000"),
        (tiles.Tile(0, 1234067), "tile/0/x001/x234/067"),
        (tiles.Tile(1, 999, 3), "tile/1/999.p/3"),
        (tiles.Tile(2, 1000, 255), "tile/2/x001/000.p/255"),
    ],
)
def test_tile_name_is_written_and_read(tile, path):
    assert tile.path == path
    assert tiles.parse_tile_path(path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "tile/0/0",
        "tile/00/000",
        "tile/0/x000/001",
        "tile/0/001/002",
        "tile/0/000.p/256",
        "tile/0/000.p/0",
        "tile/0/x001",
    ],
)
def test_tile_name_in_another_spelling_is_refused(path):
    with pytest.raises(ValueError, match="not a tile path"):
        tiles.parse_tile_path(path)


def test_tree_of_seventy_thousand_has_the_tiles_the_standard_counts():
    listed = tiles.tiles_of(70_000)
    assert sum(tile.level == 0 and tile.width == 256 for tile in listed) == 273
    assert [tile for tile in listed if tile.width < 256] == [
        tiles.Tile(0, 273, 112),
        tiles.Tile(1, 1, 17),
        tiles.Tile(2, 0, 1),
    ]
    assert tiles.tiles_of(256) == [tiles.Tile(0, 0), tiles.Tile(1, 0, 1)]
    assert tiles.tiles_of(0) == []


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 1500), st.lists(st.integers(1, 700), max_size=6), st.data())
def test_growth_in_any_steps_gives_one_tree(size, steps, data):
    leaves = _leaves(size)
    store = _grown(leaves, steps)
    tree = merkle.MemoryTree(leaves)
    reader = tiles.TileReader(size, store.__getitem__)
    index = data.draw(st.integers(0, size - 1))
    assert set(tiles.tiles_of(size)) <= set(store)
    assert reader.root() == tree.root()
    assert reader.inclusion_path(index) == tree.inclusion_path(index)
    assert merkle.consistency_path(reader.node, index + 1, size) == tree.consistency_path(index + 1)


def test_growth_across_three_levels_keeps_old_sizes_readable():
    leaves = _leaves(65_536 + 300)
    store = _grown(leaves, [65_535, 1, 200])
    tree = merkle.MemoryTree(leaves)
    for size in (65_535, 65_536, 65_736, 65_836):
        assert tiles.TileReader(size, store.__getitem__).root() == tree.root(size)


def test_growth_reads_only_partial_tiles_of_the_edge():
    leaves = _leaves(700)
    store = _grown(leaves[:600], [600])
    asked: list[tiles.Tile] = []

    def read(tile: tiles.Tile) -> bytes:
        asked.append(tile)
        return store[tile]

    tiles.grow(600, leaves[600:650], read)
    assert asked == [tiles.Tile(0, 2, 88)]


def test_growth_by_nothing_writes_nothing():
    assert tiles.grow(5, [], lambda tile: b"") == {}


def test_stored_tile_of_wrong_length_is_refused():
    with pytest.raises(ValueError, match="expected 160"):
        tiles.grow(5, _leaves(1), lambda tile: b"short")
    with pytest.raises(ValueError, match="32 bytes"):
        tiles.grow(0, [b"short"], lambda tile: b"")


@pytest.mark.parametrize(("level", "index"), [(0, 5), (2, 1), (8, 0)])
def test_subtree_outside_the_tree_is_refused(level, index):
    reader = tiles.TileReader(5, lambda tile: bytes(32 * tile.width))
    with pytest.raises(ValueError, match="outside a tree"):
        reader.node(level, index)


@given(st.lists(st.binary(max_size=300), max_size=256))
def test_entries_come_back_from_their_bundle(entries):
    assert tiles.decode_entries(tiles.encode_entries(entries)) == entries


@pytest.mark.parametrize("data", [b"\x00", b"\x00\x05abc", b"\x00\x00" * 257])
def test_broken_entry_bundle_is_refused(data):
    with pytest.raises(ValueError, match="broken entry bundle"):
        tiles.decode_entries(data)


def test_entry_too_long_for_a_bundle_is_refused():
    with pytest.raises(ValueError, match="does not fit"):
        tiles.encode_entries([bytes(65_536)])
    with pytest.raises(ValueError, match="at most 256"):
        tiles.encode_entries([b""] * 257)
