"""The limit profiles that come with Hanlu: dated and sourced data in `data/limit_profiles.toml`, never constants."""

from __future__ import annotations

import tomllib
from importlib.resources import files

from hanlu.registry.records import LimitProfile

__all__ = ["shipped_profiles"]


def shipped_profiles() -> tuple[LimitProfile, ...]:
    """Return the shipped profiles in the order of the file.

    Raises:
        TypeError: an entry has a field that a profile has not; the file is ours, so a test finds it first.
    """
    text = files("hanlu.registry").joinpath("data", "limit_profiles.toml").read_text(encoding="utf-8")
    return tuple(LimitProfile(**each) for each in tomllib.loads(text)["profile"])
