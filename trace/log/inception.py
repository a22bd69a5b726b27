"""Creating the log: once, on purpose, and on record.

A service that finds no log does not make one: a database restored to a moment before the log's creation, or a wrong
URL, would otherwise start a second history under the same roof. The key comes first, then the record that names it; a
key without a record has signed nothing and is taken up again.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hanlu.core.clock import from_ms
from hanlu.core.errors import ConflictError, FatalError, NotFoundError
from hanlu.db.pool import Connection
from hanlu.db.queries import load_queries
from hanlu.trace.keys import make_secret, read_secret
from hanlu.trace.log.notes import verifier_key_for
from hanlu.trace.log.store import LogIdentity, log_identity

__all__ = ["create_log", "log_key"]

_SQL = load_queries("hanlu.trace")


def log_key(path: Path) -> Ed25519PrivateKey:
    """Return the log's signing key.

    Raises:
        NotFoundError: There is no key file.
        FatalError: The file is readable by others or holds no key.
    """
    return Ed25519PrivateKey.from_private_bytes(read_secret(path))


def create_log(
    connection: Connection, key_file: Path, *, created_by: str, now_ms: int, origin: str | None = None
) -> LogIdentity:
    """Create the log of this database.

    Args:
        connection: In the trace room's role, outside a transaction.
        key_file: Where its signing key is kept; made unless it is there.
        created_by: Who wants it: goes on record.
        now_ms: The time, Unix milliseconds UTC.
        origin: Its name in every checkpoint, such as ``trace.example.cn/yanling``; no white space and no ``+``. Without
            it ``hanlu.local/log/`` and 16 random hex digits.

    Raises:
        ConflictError: The database has a log.
        FatalError: The origin cannot serve as a name, or the key file is unfit.
    """
    name = origin or f"hanlu.local/log/{secrets.token_hex(8)}"
    with connection.transaction():
        if log_identity(connection) is not None:
            raise ConflictError("this database has a log already; a second one would be a second history")
        try:
            private = log_key(key_file)
        except NotFoundError:
            private = Ed25519PrivateKey.generate()
            make_secret(key_file, private.private_bytes_raw())
        try:
            key = verifier_key_for(name, private)
        except ValueError as error:
            raise FatalError(f"{name!r} cannot name a log: {error}") from error
        connection.execute(
            _SQL["log_insert"],
            {"origin": name, "verifier_key": str(key), "created_by": created_by, "now": from_ms(now_ms)},
        )
    return LogIdentity(name, key, created_by)
