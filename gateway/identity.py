"""The gateway's key: what makes its messages its own.

One Ed25519 private key in a file only its owner may read. The public half is enrolled in the registry; losing the file
means enrolling a new key, so it is never overwritten and never made anew while one is there, however broken.
Source: RFC 8032 (Ed25519), RFC 8410 (its PKCS #8 form, readable by openssl).
"""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from hanlu.core.errors import UsageError
from hanlu.core.observe import log
from hanlu.core.wire.envelope import key_id, public_bytes

__all__ = ["load_or_create_key"]

_logger = logging.getLogger(__name__)


def load_or_create_key(path: Path) -> Ed25519PrivateKey:
    """Return the key in `path`; where there is no such file, make a key and keep it there with mode 0600.

    Raises:
        UsageError: others may read the file, or it holds no Ed25519 key; the message names the remedy.
    """
    try:
        return _create(path)
    except FileExistsError:
        return _load(path)


def _create(path: Path) -> Ed25519PrivateKey:
    """Make the file in one step that fails when it exists: two starts at once cannot end with two keys."""
    if path.exists():
        raise FileExistsError(path)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)  # unlike a rename, refuses to replace
    finally:
        draft.unlink()
    log(_logger, logging.INFO, "gateway.key.created", f"made key {key_id(public_bytes(key)).hex()} in {path}")
    return key


def _load(path: Path) -> Ed25519PrivateKey:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise UsageError(
            f"{path} may be read by others (mode {mode:04o}): chmod 600 it, and enrol a new key if it leaked"
        )
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UsageError(
            f"{path} holds no readable key ({error}): restore it, or move it away and enrol a new one"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(f"{path} holds a {type(key).__name__}, not an Ed25519 key")
    return key
