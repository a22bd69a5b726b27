"""What every test gets: fixtures by theme, and an environment without the developer's own Hanlu settings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Every fix_<theme>.py beside this file is a plugin.
pytest_plugins = sorted(path.stem for path in Path(__file__).parent.glob("fix_*.py"))
pytest.register_assert_rewrite(*pytest_plugins)  # before they import one another

# Before any module of ours is imported: a setting of the developer's shell must not decide a test.
for _name in [name for name in os.environ if name.startswith("HANLU_") and name != "HANLU_REQUIRE_SERVERS"]:
    del os.environ[_name]
