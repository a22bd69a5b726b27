"""The only source of chance: generators named by words, so that every run with one seed is the same run."""

from __future__ import annotations

import random

__all__ = ["generator"]


def generator(*words: object) -> random.Random:
    """Return a generator that depends on `words` alone (e.g. seed, device, purpose) on every machine and version.

    Text seeds are hashed by `random` itself with SHA-512, so Python's per-process string hashing has no part in it.
    """
    return random.Random("/".join(str(word) for word in words))  # noqa: S311 - weather and noise, never secrets
