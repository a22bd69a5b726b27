"""RFC 9162 proofs and a C2SP tiled log that nobody in this project wrote."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from fix_shared import shared_dir

from hanlu.trace.log import merkle, tiles
from hanlu.trace.log.checkpoint import parse_signed_checkpoint
from hanlu.trace.log.notes import parse_verifier_key

_BESIDE = Path(__file__).resolve().parents[3] / "shared" / "vectors" / "merkle"


def _files(kind: str) -> list[str]:
    return sorted(str(path.relative_to(_BESIDE)) for path in (_BESIDE / kind).rglob("*.json"))


def _load(name: str) -> dict:
    return json.loads(shared_dir("vectors", "merkle", name).read_text())


def _bytes(text: str | None) -> bytes:
    return base64.b64decode(text or "")


def test_vector_folders_are_whole():
    shared_dir("vectors", "merkle")
    assert len(_files("inclusion")) >= 60
    assert len(_files("consistency")) >= 60


@pytest.mark.parametrize("name", _files("inclusion"))
def test_inclusion_vector_is_judged_as_wanted(name):
    case = _load(name)
    path = [_bytes(step) for step in case["proof"] or []]
    good = merkle.verify_inclusion(
        _bytes(case["leafHash"]), case["leafIdx"], case["treeSize"], path, _bytes(case["root"])
    )
    assert good is not case["wantErr"]


@pytest.mark.parametrize("name", _files("consistency"))
def test_consistency_vector_is_judged_as_wanted(name):
    case = _load(name)
    path = [_bytes(step) for step in case["proof"] or []]
    good = merkle.verify_consistency(case["size1"], case["size2"], _bytes(case["root1"]), _bytes(case["root2"]), path)
    assert good is not case["wantErr"]


def test_reference_roots_are_reproduced_at_every_size():
    reference = _load("rfc6962_reference_roots.json")
    tree = merkle.MemoryTree(merkle.leaf_hash(bytes.fromhex(leaf)) for leaf in reference["leaf_inputs_hex"])
    roots = [tree.root(size).hex() for size in range(tree.size + 1)]
    assert roots == reference["root_hash_by_tree_size_hex"]


@pytest.fixture(scope="module")
def tessera() -> dict:
    return _load("tessera/README.json")


def _log_file(name: str) -> bytes:
    return shared_dir("vectors", "merkle", "tessera", "testdata", "log", name).read_bytes()


@pytest.mark.parametrize("size", range(16))
def test_tessera_checkpoint_is_signed_and_states_the_root_of_its_leaves(tessera, size):
    signed = parse_signed_checkpoint(_log_file(f"checkpoint.{size}").decode())
    leaves = [merkle.leaf_hash(text.encode()) for text in tessera["leaves_utf8"][:size]]
    assert signed.signed_by(parse_verifier_key(tessera["vkey"]))
    assert signed.checkpoint.origin == tessera["origin"]
    assert (signed.checkpoint.size, signed.checkpoint.root) == (size, merkle.root_hash(leaves))


@pytest.mark.parametrize("size", range(1, 16))
def test_tessera_tiles_and_bundles_have_our_names_and_bytes(tessera, size):
    (tile,) = tiles.tiles_of(size)
    bundle = _log_file(tiles.entry_bundle_path(tile.index, tile.width))
    entries = tiles.decode_entries(bundle)
    assert entries == [text.encode() for text in tessera["leaves_utf8"][:size]]
    assert tiles.encode_entries(entries) == bundle
    assert _log_file(tile.path) == b"".join(merkle.leaf_hash(entry) for entry in entries)


@pytest.mark.parametrize("size", range(1, 16))
def test_tessera_log_grows_from_its_own_partial_tile(tessera, size):
    leaves = [merkle.leaf_hash(text.encode()) for text in tessera["leaves_utf8"]]
    written = tiles.grow(size, leaves[size:], lambda tile: _log_file(tile.path))
    assert written == ({tiles.Tile(0, 0, 15): b"".join(leaves)} if size < 15 else {})


@pytest.mark.parametrize("size", range(1, 15))
def test_tessera_checkpoints_are_consistent(tessera, size):
    older = parse_signed_checkpoint(_log_file(f"checkpoint.{size}").decode()).checkpoint
    newer = parse_signed_checkpoint(_log_file("checkpoint.15").decode()).checkpoint
    reader = tiles.TileReader(15, lambda tile: _log_file(tile.path))
    path = merkle.consistency_path(reader.node, size, 15)
    assert merkle.verify_consistency(size, 15, older.root, newer.root, path)
    assert reader.root() == newer.root
