"""The Merkle tree of RFC 9162, section 2.1: hashes, roots, proofs and their verification.

Theory. The hash of a tree over the leaves ``d[0:n]`` splits at ``k``, the largest power of two below ``n``; a leaf is
hashed behind the byte 0x00 and an inner node behind 0x01, so that no leaf can pose as a node. An odd last node is
carried up as it is, never doubled. Every subtree that is full (2**level leaves, starting at a multiple of 2**level)
keeps its hash for ever; the root and both kinds of proof are folds over such nodes. All functions that make something
therefore take a `NodeReader`, which answers ``(level, index)`` with the hash of one full subtree, and work alike over
a list in memory (`MemoryTree`) and over stored tiles (`tiles.TileReader`).

Indices count from 0. Hashes are 32 raw bytes. The functions that check return True or False and never raise, whatever
rubbish they are given as bytes.

Source: RFC 9162, sections 2.1.1 (hashes), 2.1.3 (inclusion), 2.1.4 (consistency).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence

__all__ = [
    "EMPTY_ROOT",
    "HASH_SIZE",
    "MAX_PATH",
    "MemoryTree",
    "NodeReader",
    "consistency_path",
    "inclusion_path",
    "leaf_hash",
    "node_hash",
    "range_hash",
    "root_hash",
    "root_of",
    "verify_consistency",
    "verify_inclusion",
]

HASH_SIZE = 32
"""Bytes in a SHA-256 hash."""

MAX_PATH = 63
"""Longest inclusion path that can occur: one hash for each level of a tree of 2**63 leaves."""

EMPTY_ROOT = hashlib.sha256(b"").digest()
"""The hash of a tree without leaves. Source: RFC 9162, section 2.1.1."""

NodeReader = Callable[[int, int], bytes]
"""Answers ``(level, index)`` with the hash over the leaves ``index * 2**level`` up to ``(index + 1) * 2**level``."""


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of one leaf holding `data`."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of the inner node above `left` and `right`."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def _split(count: int) -> int:
    """Return the largest power of two smaller than `count` (2 or more)."""
    return 1 << ((count - 1).bit_length() - 1)


def range_hash(node: NodeReader, begin: int, end: int) -> bytes:
    """Return the tree hash over the leaves ``[begin, end)``.

    Args:
        node: Source of full subtrees.
        begin: First leaf; a multiple of the largest power of two that is not above ``end - begin``.
        end: One past the last leaf, above `begin`.

    Returns:
        The hash RFC 9162 gives to that stretch of leaves as a tree of its own.
    """
    subtrees = []
    position = begin
    while position < end:
        level = (end - position).bit_length() - 1
        subtrees.append(node(level, position >> level))
        position += 1 << level
    result = subtrees.pop()
    while subtrees:
        result = node_hash(subtrees.pop(), result)
    return result


def root_of(node: NodeReader, size: int) -> bytes:
    """Return the root over the first `size` leaves (0 or more)."""
    return range_hash(node, 0, size) if size else EMPTY_ROOT


def inclusion_path(node: NodeReader, index: int, size: int) -> tuple[bytes, ...]:
    """Return the siblings of leaf `index` in the tree of `size` leaves, from the leaf upwards.

    Raises:
        ValueError: `index` does not lie in the tree.

    Source: RFC 9162, section 2.1.3.1.
    """
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size} leaves")
    path = []
    begin, end = 0, size
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            path.append(range_hash(node, middle, end))
            end = middle
        else:
            path.append(range_hash(node, begin, middle))
            begin = middle
    return tuple(reversed(path))


def consistency_path(node: NodeReader, size1: int, size2: int) -> tuple[bytes, ...]:
    """Return the proof that the tree of `size2` leaves continues the tree of `size1` leaves.

    Raises:
        ValueError: Not ``1 <= size1 <= size2``; an empty tree is consistent with everything and proves nothing.

    Source: RFC 9162, section 2.1.4.1.
    """
    if not 1 <= size1 <= size2:
        raise ValueError(f"no consistency proof from {size1} to {size2} leaves")
    path = []
    begin, end = 0, size2
    old_is_whole = True  # the stretch [begin, end) starts at 0, so its old part is the verifier's own old root
    while size1 != end:
        middle = begin + _split(end - begin)
        if size1 <= middle:
            path.append(range_hash(node, middle, end))
            end = middle
        else:
            path.append(range_hash(node, begin, middle))
            begin = middle
            old_is_whole = False
    if not old_is_whole:
        path.append(range_hash(node, begin, end))
    return tuple(reversed(path))


def _all_hashes(*values: bytes) -> bool:
    return all(len(value) == HASH_SIZE for value in values)


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Tell whether `leaf` stands at `index` in the tree of `size` leaves whose root is `root`.

    Args:
        leaf: The leaf's hash (not its data).
        index: Place of the leaf, from 0.
        size: Leaves in the tree.
        path: Siblings from the leaf upwards; must have exactly the length that `index` and `size` demand.
        root: Root hash of the tree.

    Source: RFC 9162, section 2.1.3.2.
    """
    if not 0 <= index < size or not _all_hashes(leaf, root, *path):
        return False
    position, last, current = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return False
        if position & 1 or position == last:
            current = node_hash(sibling, current)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            current = node_hash(current, sibling)
        position >>= 1
        last >>= 1
    return last == 0 and current == root


def verify_consistency(size1: int, size2: int, root1: bytes, root2: bytes, path: Sequence[bytes]) -> bool:
    """Tell whether the tree (`size2`, `root2`) continues the tree (`size1`, `root1`), given `path`.

    An old tree of size 0 is refused: there is nothing to be consistent with.

    Source: RFC 9162, section 2.1.4.2.
    """
    if not 1 <= size1 <= size2 or not _all_hashes(root1, root2, *path):
        return False
    if size1 == size2:
        return not path and root1 == root2
    hashes = list(path)
    if size1 & (size1 - 1) == 0:
        hashes.insert(0, root1)
    if not hashes:
        return False
    position, last = size1 - 1, size2 - 1
    while position & 1:
        position >>= 1
        last >>= 1
    old = new = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            old = node_hash(sibling, old)
            new = node_hash(sibling, new)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            new = node_hash(new, sibling)
        position >>= 1
        last >>= 1
    return last == 0 and old == root1 and new == root2


class MemoryTree:
    """A tree that keeps every full subtree's hash in memory: 64 bytes a leaf; for tests, imports and small logs."""

    def __init__(self, leaves: Iterable[bytes] = ()) -> None:
        """Start with the leaf hashes `leaves`."""
        self._levels: list[list[bytes]] = [[]]
        for leaf in leaves:
            self.append(leaf)

    @property
    def size(self) -> int:
        """Number of leaves."""
        return len(self._levels[0])

    def append(self, leaf: bytes) -> int:
        """Add one leaf hash and return its index."""
        index = self.size
        self._levels[0].append(leaf)
        level = 0
        while len(self._levels[level]) % 2 == 0:
            if level + 1 == len(self._levels):
                self._levels.append([])
            self._levels[level + 1].append(node_hash(*self._levels[level][-2:]))
            level += 1
        return index

    def node(self, level: int, index: int) -> bytes:
        """Return the hash of one full subtree (a `NodeReader`)."""
        return self._levels[level][index]

    def root(self, size: int | None = None) -> bytes:
        """Return the root over the first `size` leaves, or over all."""
        return root_of(self.node, self.size if size is None else size)

    def inclusion_path(self, index: int, size: int | None = None) -> tuple[bytes, ...]:
        """Return the inclusion path of leaf `index` in the first `size` leaves, or in all."""
        return inclusion_path(self.node, index, self.size if size is None else size)

    def consistency_path(self, size1: int, size2: int | None = None) -> tuple[bytes, ...]:
        """Return the consistency path from `size1` leaves to `size2`, or to all."""
        return consistency_path(self.node, size1, self.size if size2 is None else size2)


def root_hash(leaves: Iterable[bytes]) -> bytes:
    """Return the root over a list of leaf hashes."""
    return MemoryTree(leaves).root()
