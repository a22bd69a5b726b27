"""Signed notes, checkpoints and the proof file: they come back as written, and nothing else is taken for them."""

from __future__ import annotations

import base64

import pytest
from fix_bundle import ORIGIN, log_key

from hanlu.trace.log import merkle
from hanlu.trace.log.checkpoint import Checkpoint, parse_checkpoint, parse_signed_checkpoint, sign_checkpoint
from hanlu.trace.log.notes import parse_note, parse_verifier_key, sign_note, verifier_key_for, verify_note
from hanlu.trace.log.proof import TlogProof, format_proof, parse_proof, verify_proof

KEY = verifier_key_for(ORIGIN, log_key())
TREE = merkle.MemoryTree(merkle.leaf_hash(bytes([i])) for i in range(11))
POINT = Checkpoint(ORIGIN, TREE.size, TREE.root())


def test_checkpoint_comes_back_as_signed():
    signed = parse_signed_checkpoint(sign_checkpoint(POINT, log_key()))
    assert signed.checkpoint == POINT
    assert signed.signed_by(KEY)
    assert parse_verifier_key(str(KEY)) == KEY


def test_every_changed_byte_of_a_checkpoint_is_noticed():
    note = sign_checkpoint(POINT, log_key()).encode()
    for place in range(len(note)):
        changed = bytearray(note)
        changed[place] ^= 1
        try:
            signed = parse_signed_checkpoint(changed.decode())
        except ValueError:
            continue
        assert not (signed.checkpoint.origin == ORIGIN and signed.signed_by(KEY)), place


def test_text_that_is_no_note_is_not_signed():
    with pytest.raises(ValueError, match="ends in a newline"):
        sign_note("text", ORIGIN, log_key())
    with pytest.raises(ValueError, match="control characters"):
        sign_note("te\rxt\n", ORIGIN, log_key())


def test_lines_of_unknown_signers_are_passed_over():
    note = sign_checkpoint(POINT, log_key())
    foreign = sign_checkpoint(POINT, log_key(2), "witness.example/w1").rpartition("\n\n")[2]
    rotated = sign_checkpoint(POINT, log_key(3)).rpartition("\n\n")[2]
    signed = parse_signed_checkpoint(note + foreign + rotated)
    assert len(signed.note.signatures) == 3
    assert signed.signed_by(KEY)
    assert signed.signed_by(verifier_key_for("witness.example/w1", log_key(2)))


def test_one_false_line_by_a_known_key_condemns_the_note():
    note = sign_checkpoint(POINT, log_key())
    false = base64.b64encode(KEY.key_id + bytes(64)).decode()
    assert not parse_signed_checkpoint(note + f"\u2014 {ORIGIN} {false}\n").signed_by(KEY)


def test_note_without_a_line_by_the_key_is_not_signed():
    assert not parse_signed_checkpoint(sign_checkpoint(POINT, log_key(2))).signed_by(KEY)


def test_note_text_may_hold_blank_lines():
    text = "first\n\nsecond\n"
    note = parse_note(sign_note(text, ORIGIN, log_key()))
    assert note.text == text
    assert verify_note(note, KEY)


@pytest.mark.parametrize(
    "note",
    [
        "",
        "no signatures\n",
        "text\n\n",
        "text\n\n- name AAAAAAAA\n",
        "text\n\n\u2014 na+me AAAAAAAA\n",
        "text\n\n\u2014 name AAAA\n",
        "text\n\n\u2014 name AAAAAAA\n",
        "text\n\n\u2014 name AAAAAAB=\n",
        "text\n\n\u2014 name AAAAAAAA",
        "te\txt\n\n\u2014 name AAAAAAAA\n",
        "te\ud800xt\n\n\u2014 name AAAAAAAA\n",
        "text\n\n" + "\u2014 name AAAAAAAA\n" * 65,
        "x" * (1 << 20) + "\n\n\u2014 name AAAAAAAA\n",
    ],
)
def test_broken_note_is_refused(note):
    with pytest.raises(ValueError, match=r"."):
        parse_note(note)


def test_sixteen_signatures_are_accepted():
    assert len(parse_note("text\n\n" + "\u2014 name AAAAAAAA\n" * 16).signatures) == 16


@pytest.mark.parametrize(
    "text",
    [
        "name+00000000+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx",
        "name+33d7b496",
        "+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx",
        "name+33d7b496+AuHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx",
        "name+33d7b496+AQ==",
    ],
)
def test_broken_verifier_key_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        parse_verifier_key(text)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u3000b"])
def test_key_name_with_space_or_plus_is_refused(name):
    with pytest.raises(ValueError, match="not a key name"):
        verifier_key_for(name, log_key())


@pytest.mark.parametrize(
    "text",
    [
        "origin\n5\n",
        "origin\n05\n" + "A" * 43 + "=\n",
        "origin\n\u0665\n" + "A" * 43 + "=\n",
        "origin\n5\n" + "A" * 40 + "\n",
        "origin\n0\n" + "A" * 43 + "=\n",
        "\n5\n" + "A" * 43 + "=\n",
        "origin\n5\n" + "A" * 43 + "=",
        "origin\n5\n" + "A" * 43 + "=\n\n",
        "origin\n9223372036854775808\n" + "A" * 43 + "=\n",
    ],
)
def test_broken_checkpoint_text_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        parse_checkpoint(text)


def test_checkpoint_extensions_come_back():
    point = Checkpoint(ORIGIN, 11, TREE.root(), ("extension one", "two"))
    assert parse_checkpoint(point.text) == point


def test_empty_log_has_a_checkpoint():
    point = Checkpoint(ORIGIN, 0, merkle.EMPTY_ROOT)
    assert parse_signed_checkpoint(sign_checkpoint(point, log_key())).checkpoint == point


@pytest.mark.parametrize("extra", [b"", b"lot context"])
def test_proof_file_comes_back_and_verifies(extra):
    proof = TlogProof(7, TREE.inclusion_path(7), sign_checkpoint(POINT, log_key()), extra)
    text = format_proof(proof)
    assert text.startswith("c2sp.org/tlog-proof@v1\n")
    assert parse_proof(text) == proof
    assert verify_proof(parse_proof(text), TREE.node(0, 7), KEY)
    assert not verify_proof(proof, TREE.node(0, 8), KEY)
    assert not verify_proof(proof, TREE.node(0, 7), verifier_key_for(ORIGIN, log_key(2)))


def test_proof_under_another_logs_origin_is_refused():
    elsewhere = Checkpoint("other.example/log", TREE.size, TREE.root())
    proof = TlogProof(7, TREE.inclusion_path(7), sign_checkpoint(elsewhere, log_key(), ORIGIN))
    assert not verify_proof(proof, TREE.node(0, 7), KEY)


def test_proof_of_the_only_leaf_has_an_empty_path():
    tree = merkle.MemoryTree([merkle.leaf_hash(b"only")])
    note = sign_checkpoint(Checkpoint(ORIGIN, 1, tree.root()), log_key())
    proof = parse_proof(format_proof(TlogProof(0, (), note)))
    assert verify_proof(proof, tree.root(), KEY)


_NOTE = sign_checkpoint(POINT, log_key())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "c2sp.org/tlog-proof@v2\nindex 0\n\n" + _NOTE,
        "c2sp.org/tlog-proof@v1\n\n" + _NOTE,
        "c2sp.org/tlog-proof@v1\nindex 01\n\n" + _NOTE,
        "c2sp.org/tlog-proof@v1\nindex 0\nextra AAAA\n\n" + _NOTE,
        "c2sp.org/tlog-proof@v1\nindex 0\nAAAA\n\n" + _NOTE,
        "c2sp.org/tlog-proof@v1\nindex 0\n" + ("A" * 43 + "=\n") * 64 + "\n" + _NOTE,
        "c2sp.org/tlog-proof@v1\nindex 0\n\nnot a checkpoint\n",
    ],
)
def test_broken_proof_file_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        parse_proof(text)
