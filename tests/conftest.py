"""What every test gets: fixtures by theme, and an environment without the developer's own Hanlu settings."""

from __future__ import annotations

import os

pytest_plugins = ["fix_services"]

# Before any module of ours is imported: a setting of the developer's shell must not decide a test.
for _name in [name for name in os.environ if name.startswith("HANLU_") and name != "HANLU_REQUIRE_SERVERS"]:
    del os.environ[_name]
