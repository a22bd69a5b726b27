"""The golden schema: `db/schema.sql`, the sum of all migrations and repeatable SQL, in one file a person can read.

A test compares it with a freshly migrated plain PostgreSQL, so that every change of the schema shows as a difference
in one place. pg_dump writes it; what changes from version to version of pg_dump, or from day to day, is taken out.
"""

from __future__ import annotations

import re
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Final

from hanlu.core.errors import FatalError

__all__ = ["dump_schema", "golden_schema"]

_HEADER: Final = "-- The sum of all migrations, written by pg_dump; never edited by hand.\n\n"
_SESSION = re.compile(r"(SET |SELECT pg_catalog\.set_config|\\(un)?restrict )")
"""Lines that set up the session of a restore and say nothing of the schema."""


def dump_schema(url: str, pg_dump: Path | str = "pg_dump") -> str:
    """Return the schema of the migrated database at `url`, grants included, owners not.

    Args:
        url: libpq URL of a plain PostgreSQL; TimescaleDB's own tables would be dumped with it.
        pg_dump: the program, of the server's version or newer.

    Raises:
        FatalError: pg_dump cannot be run or gives up.
    """
    command = [str(pg_dump), "--schema-only", "--no-owner", "--exclude-schema=public", f"--dbname={url}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        words = getattr(error, "stderr", None) or str(type(error).__name__)
        raise FatalError(f"{pg_dump} cannot dump the schema: {words.strip()[-500:]}") from None
    return _HEADER + _normalised(done.stdout)


def golden_schema() -> str:
    """Return the schema as it is committed."""
    return files("hanlu.db").joinpath("schema.sql").read_text(encoding="utf-8")


def _normalised(dump: str) -> str:
    """Leave out comments and session lines; separate statements by one empty line."""
    lines = [line for line in dump.splitlines() if not line.startswith("--") and not _SESSION.match(line)]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"
