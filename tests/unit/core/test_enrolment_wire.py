"""The statements of enrolment: what one signature proves, and nothing else."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from hanlu.core.wire.enrolment import (
    clean_token,
    enrolment_statement,
    from_text,
    renewal_statement,
    signed_by,
    to_text,
)
from hanlu.core.wire.envelope import public_bytes

KEY = Ed25519PrivateKey.generate()
PUBLIC = public_bytes(KEY)
TEXT = st.text(st.characters(codec="utf-8"), max_size=40)


@given(TEXT, TEXT, st.binary(min_size=8, max_size=8), st.none() | st.binary(min_size=32, max_size=32))
def test_two_renewals_never_share_a_statement(challenge: str, gateway: str, kid: bytes, new: bytes | None):
    one = renewal_statement(challenge, gateway, kid, new)
    assert one != renewal_statement(challenge + "x", gateway, kid, new)
    assert one != renewal_statement(challenge, gateway + "x", kid, new)
    assert one != renewal_statement(challenge[:-1], challenge[-1:] + gateway, kid, new) or not challenge
    assert one != renewal_statement(challenge, gateway, kid, PUBLIC) or new == PUBLIC
    assert not one.startswith(enrolment_statement("t", PUBLIC)[:16])


def test_a_statement_is_no_envelope():
    for statement in (enrolment_statement("t", PUBLIC), renewal_statement("c", "g", b"k" * 8, None)):
        assert statement[:5] == b"hanlu", "an envelope's Sig_structure begins with a CBOR array of four"


def test_a_token_counts_however_it_is_typed():
    assert clean_token(" ABcd-2345\n") == "abcd-2345"
    assert enrolment_statement("ABCD", PUBLIC) == enrolment_statement(" abcd ", PUBLIC)
    assert enrolment_statement("abcd", PUBLIC) != enrolment_statement("abce", PUBLIC)


def test_a_signature_proves_its_own_key_and_statement():
    statement = enrolment_statement("t", PUBLIC)
    signature = KEY.sign(statement)
    assert signed_by(PUBLIC, signature, statement)
    assert not signed_by(PUBLIC, signature, statement + b"x")
    assert not signed_by(public_bytes(Ed25519PrivateKey.generate()), signature, statement)
    assert not signed_by(b"short", signature, statement)
    assert not signed_by(PUBLIC, b"", statement)


@given(st.binary(max_size=80))
def test_bytes_survive_their_text(raw: bytes):
    assert from_text(to_text(raw)) == raw


def test_text_that_is_none_is_refused():
    with pytest.raises(ValueError, match=r"base64|alphabet|Only|Invalid|padding"):
        from_text("###")
