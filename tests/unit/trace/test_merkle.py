"""The tree's own laws, on trees of every small shape."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanlu.trace.log import merkle

hashes = st.binary(min_size=32, max_size=32)


def _tree(size: int) -> merkle.MemoryTree:
    return merkle.MemoryTree(merkle.leaf_hash(bytes([i % 256, i // 256])) for i in range(size))


def _root_by_definition(leaves: list[bytes]) -> bytes:
    """The recursion of RFC 9162, section 2.1.1, word for word."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return merkle.node_hash(_root_by_definition(leaves[:split]), _root_by_definition(leaves[split:]))


def test_empty_tree_has_the_hash_of_nothing():
    assert merkle.root_hash([]) == hashlib.sha256(b"").digest()


@pytest.mark.parametrize("size", range(1, 70))
def test_root_equals_its_definition(size):
    leaves = [merkle.leaf_hash(bytes([i])) for i in range(size)]
    assert merkle.root_hash(leaves) == _root_by_definition(leaves)


@given(st.integers(1, 300), st.data())
def test_inclusion_path_verifies_only_in_its_place(size, data):
    index = data.draw(st.integers(0, size - 1))
    tree = _tree(size)
    leaf, root, path = tree.node(0, index), tree.root(), tree.inclusion_path(index)
    assert merkle.verify_inclusion(leaf, index, size, path, root)
    other = data.draw(st.integers(0, size + 3).filter(lambda place: place != index))
    assert not merkle.verify_inclusion(leaf, other, size, path, root)
    assert not merkle.verify_inclusion(leaf, index, size, (*path, root), root)
    if path:
        assert not merkle.verify_inclusion(leaf, index, size, path[:-1], root)
        spoiled = data.draw(st.integers(0, len(path) - 1))
        flipped = bytes([path[spoiled][0] ^ 1]) + path[spoiled][1:]
        assert not merkle.verify_inclusion(leaf, index, size, (*path[:spoiled], flipped, *path[spoiled + 1 :]), root)


@given(st.integers(1, 300), st.data())
def test_consistency_path_verifies_only_between_its_trees(size2, data):
    size1 = data.draw(st.integers(1, size2))
    tree = _tree(size2)
    path = tree.consistency_path(size1)
    root1, root2 = tree.root(size1), tree.root()
    assert merkle.verify_consistency(size1, size2, root1, root2, path)
    assert not merkle.verify_consistency(size1, size2, root1, root2, (*path, root1))
    if size1 < size2:
        assert not merkle.verify_consistency(size1, size2, root2, root1, path)
        assert not merkle.verify_consistency(size1, size2, root1, root2, path[:-1])


@given(hashes, st.integers(-2, 10), st.integers(-2, 10), st.lists(st.binary(max_size=40), max_size=70), hashes)
def test_random_proofs_are_refused_without_an_exception(leaf, index, size, path, root):
    assert not merkle.verify_inclusion(leaf, index, size, path, root)
    assert (size == index >= 1 and not path and leaf == root) or not merkle.verify_consistency(
        index, size, leaf, root, path
    )


def test_empty_old_tree_proves_nothing():
    tree = _tree(4)
    assert not merkle.verify_consistency(0, 4, merkle.EMPTY_ROOT, tree.root(), [])
    with pytest.raises(ValueError, match="no consistency proof"):
        tree.consistency_path(0)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (4, 4), (-1, 4)])
def test_path_for_a_leaf_outside_the_tree_is_refused(index, size):
    with pytest.raises(ValueError, match="not in a tree"):
        _tree(4).inclusion_path(index, size)


def test_node_and_leaf_hashes_never_meet():
    left, right = merkle.leaf_hash(b"a"), merkle.leaf_hash(b"b")
    assert merkle.leaf_hash(left + right) != merkle.node_hash(left, right)
