"""Secrets at the moment of use: what is needed to send to a receiver, kept out of texts, and what is kept of tokens."""

from __future__ import annotations

import hashlib

from psycopg.rows import dict_row

from hanlu.alerts.people.model import SECRETS, SETTINGS, Endpoint, ReceiverKind
from hanlu.db.pool import Connection
from hanlu.db.queries import load_queries

__all__ = ["endpoint_of", "token_hash", "without_secrets"]

_QUERIES = load_queries("hanlu.alerts.people")


def token_hash(token: str) -> bytes:
    """Return what is kept of a link's token."""
    return hashlib.sha256(token.encode()).digest()


def without_secrets(endpoint: Endpoint, text: str) -> str:
    """Return `text` with whatever is secret of an endpoint blotted out: a service may repeat what it was sent."""
    for value in vars(endpoint.secret).values():
        plain = value.get_secret_value()
        if plain:
            text = text.replace(plain, "***")
    return text


def endpoint_of(connection: Connection, receiver_id: int) -> Endpoint:
    """Return what is needed to send to a receiver, its secret included: for the moment of sending."""
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(_QUERIES["secret_of"], {"receiver_id": receiver_id}).fetchone()
    assert row is not None
    kind = ReceiverKind(row["kind"])
    return Endpoint(kind, SETTINGS[kind].model_validate(row["settings"]), SECRETS[kind].model_validate(row["secret"]))
