"""The token of changing requests: masked anew each time, the same underneath."""

from __future__ import annotations

import base64
import secrets

from hypothesis import given
from hypothesis import strategies as st

from hanlu.registry.signin import TOKEN_BYTES, _masked, csrf_matches

SECRET = base64.urlsafe_b64encode(b"k" * TOKEN_BYTES).decode().rstrip("=")


def test_two_masks_of_one_token_differ_and_match():
    first, second = _masked(SECRET), _masked(SECRET)
    assert first != second
    assert csrf_matches(first, second)


def test_masks_of_two_tokens_do_not_match():
    assert not csrf_matches(_masked(SECRET), _masked(secrets.token_urlsafe(TOKEN_BYTES)))


@given(st.text(max_size=200))
def test_whatever_else_is_given_does_not_match(text: str):
    assert not csrf_matches(text, _masked(SECRET))


def test_the_bare_token_does_not_match():
    assert not csrf_matches(SECRET, _masked(SECRET))
