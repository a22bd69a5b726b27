"""Reference data nobody in this project wrote: found beside the repository, never copied into it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_BESIDE = Path(__file__).resolve().parents[2] / "shared"


def shared_dir(*parts: str) -> Path:
    """Return a path inside the reference data; skip the calling test when it is not there.

    Continuous integration has the data (`HANLU_REQUIRE_SERVERS=1`), so there an absent folder fails.
    """
    path = _BESIDE.joinpath(*parts)
    if not path.exists():
        message = f"reference data absent: shared/{'/'.join(parts)}"
        if os.environ.get("HANLU_REQUIRE_SERVERS"):
            pytest.fail(message)
        pytest.skip(message, allow_module_level=True)
    return path
