"""The cache folder: programs fetched or built once and shared by all clones of one user.

An entry is a directory that appears complete or not at all: it is made beside its place and renamed. One lock file
per entry keeps two first starts from doing the same work twice. Deleting the whole folder costs only time.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from hanlu.app.process import Account
from hanlu.app.settings import cache_dir

__all__ = ["SYSTEM_CACHE", "entry", "is_reachable", "program_cache"]

SYSTEM_CACHE = Path("/var/cache/hanlu")
"""Where root keeps programs that another account must be able to run when root's home is closed to it."""


def entry(root: Path, name: str, make: Callable[[Path], None]) -> Path:
    """Return the directory `root/name`, calling `make` with an empty directory to fill when it is not there yet.

    Whatever `make` raises leaves no entry behind, so that the next start tries again.
    """
    place = root / name
    if place.is_dir():
        return place
    root.mkdir(parents=True, exist_ok=True)
    with _locked(root / f".{name}.lock"):
        if not place.is_dir():
            draft = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=root))
            draft.chmod(0o755)
            try:
                make(draft)
                draft.rename(place)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
    return place


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def is_reachable(path: Path, account: Account | None) -> bool:
    """Whether `account` may walk to `path`; None stands for ourselves, who can.

    Only the permission for others is asked, which never says yes wrongly. Parts that do not exist yet count as
    reachable, for we make them.
    """
    if account is None:
        return True
    for part in [path, *path.parents]:
        with contextlib.suppress(FileNotFoundError):
            status = part.resolve().stat()
            if status.st_uid != account.uid and not status.st_mode & stat.S_IXOTH:
                return False
    return True


def program_cache(account: Account | None) -> Path:
    """Return the cache folder whose programs `account` can run: the user's own, or for root the system's."""
    own = cache_dir()
    return own if is_reachable(own, account) or os.geteuid() != 0 else SYSTEM_CACHE
