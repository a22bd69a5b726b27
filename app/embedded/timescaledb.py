"""TimescaleDB for the embedded PostgreSQL, built from Debian's source package in about fifteen seconds, without root.

Why from source: no wheel ships the extension, and a distribution's package fits only the distribution's own server. Why
from Debian: its archive is signed, mirrored wherever apt works, and carries the Apache-licensed edition ("+dfsg") only.

The machine's own apt configuration stays untouched: the index goes to a folder of ours, the mirror is the one that
the machine already uses for Debian, and apt checks the chain from the archive keyring to the hash of the source
itself. Nothing here may stop `hanlu up`: every failure is a `ToolError` whose message becomes the warning about
plain PostgreSQL.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from hanlu.app.embedded.service import ToolError, Work
from hanlu.app.settings import process_environment

__all__ = ["VERSION", "build", "debian_mirror", "missing_tools"]

VERSION = "2.19.3"
"""In Debian 13; the newest series that still serves PostgreSQL 15 to 17."""

_SUITE = "trixie"
_KEYRINGS = ("debian-archive-keyring.pgp", "debian-archive-keyring.gpg")
_TOOLS = {"apt-get": "apt", "dpkg-source": "dpkg-dev", "cmake": "cmake", "make": "make", "cc": "gcc libc6-dev"}
_FETCH_TIMEOUT_S = 180.0
_CMAKE_FLAGS = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DAPACHE_ONLY=1",
    "-DREGRESS_CHECKS=OFF",
    "-DTAP_CHECKS=OFF",
    "-DWARNINGS_AS_ERRORS=OFF",
    "-DUSE_OPENSSL=0",
)


def missing_tools() -> str | None:
    """Say what the build needs and this machine lacks, with the remedy; None when all is there."""
    packages = [package for tool, package in _TOOLS.items() if shutil.which(tool) is None]
    if "apt" in packages:
        return "building TimescaleDB needs Debian's or Ubuntu's apt"
    if _keyring() is None:
        packages.append("debian-archive-keyring")
    if packages:
        return f"TimescaleDB is built when these are installed: sudo apt-get install {' '.join(packages)}"
    return None


def build(prefix: Path, work: Work, timeout_s: float = 900.0, mirror: str | None = None) -> None:
    """Fetch, compile and install the extension into the PostgreSQL at `prefix`.

    Args:
        prefix: a PostgreSQL installation with headers, writable by us.
        work: progress and interruption.
        timeout_s: for the compiler; fetching has a limit of its own.
        mirror: base URI of a Debian archive; None for the one this machine's apt uses.

    Raises:
        ToolError: if anything is missing or fails; `prefix` is then in an undefined state.
        StoppedError: if `work.stop` was set.
    """
    if reason := missing_tools():
        raise ToolError(reason)
    folder = prefix.parent / "timescaledb-build"
    folder.mkdir()
    try:
        work.say("fetching TimescaleDB's source (Debian, 12 MB with its index)")
        source = _fetch(folder, work, mirror or debian_mirror(_source_texts()))
        work.say("building TimescaleDB (about 15 s on two cores)")
        output = folder / "build"
        output.mkdir()
        pg_config = prefix / "bin" / "pg_config"
        work.run(["cmake", source, f"-DPG_CONFIG={pg_config}", *_CMAKE_FLAGS], timeout_s=timeout_s, cwd=output)
        work.run(["make", f"-j{os.cpu_count() or 1}", "install"], timeout_s=timeout_s, cwd=output)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if not (prefix / "lib" / "postgresql" / f"timescaledb-{VERSION}.so").is_file():
        raise ToolError("the build of TimescaleDB ended without its library")


def debian_mirror(sources: Iterable[str]) -> str | None:
    """Find the Debian mirror this machine uses in the texts of its apt source files.

    On Ubuntu the mirror's neighbouring `/debian` tree is named: most mirrors carry both, and if not, the signature
    check or the download fails with a clear word. Security and third-party archives do not count.

    Returns:
        The archive's base URI without a trailing slash, or None.
    """
    ubuntu: str | None = None
    for uri in (uri for text in sources for uri in _uris(text)):
        parts = urlsplit(uri)
        path = parts.path.rstrip("/")
        if path.endswith("/debian"):
            return urlunsplit(parts._replace(path=path))
        if path.endswith("/ubuntu") and ubuntu is None:
            ubuntu = urlunsplit(parts._replace(path=path.removesuffix("/ubuntu") + "/debian"))
    return ubuntu


def _uris(text: str) -> Iterator[str]:
    """Yield the archive URIs of one source file, in either of apt's formats (sources.list(5))."""
    for raw in text.splitlines():
        line = raw.split("#", 1)[0].strip()
        if one_line := re.match(r"deb(?:-src)?\s+(?:\[[^\]]*\]\s+)?(\S+)\s+\S+", line):
            yield one_line[1]
        elif deb822 := re.match(r"URIs:\s*(.+)", line, re.IGNORECASE):
            yield from deb822[1].split()


def _source_texts() -> Iterator[str]:
    folder = Path("/etc/apt")
    for path in [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))]:
        if path.suffix in {".list", ".sources"} and path.is_file():
            yield path.read_text(encoding="utf-8", errors="replace")


def _keyring() -> Path | None:
    return next((p for name in _KEYRINGS if (p := Path("/usr/share/keyrings") / name).is_file()), None)


def _fetch(folder: Path, work: Work, mirror: str | None) -> Path:
    """Download and unpack the source below `folder` with an apt state of our own."""
    keyring = _keyring()
    if mirror is None or keyring is None:
        raise ToolError("no Debian mirror in /etc/apt has TimescaleDB's source; database.debian_mirror can name one")
    env = process_environment() | {"APT_CONFIG": str(_apt_configuration(folder, mirror, keyring)), "LC_ALL": "C"}
    try:
        work.run(["apt-get", "update"], timeout_s=_FETCH_TIMEOUT_S, env=env, cwd=folder)
        work.run(
            ["apt-get", "source", "--download-only", "timescaledb"], timeout_s=_FETCH_TIMEOUT_S, env=env, cwd=folder
        )
    except ToolError as exc:
        # The tool's own words may hold the mirror's credentials.
        raise ToolError(
            "TimescaleDB's source could not be fetched from the Debian mirror in /etc/apt; "
            "database.debian_mirror can name another"
        ) from exc
    descriptions = list(folder.glob(f"timescaledb_{VERSION}*.dsc"))
    if len(descriptions) != 1:
        raise ToolError(f"the Debian mirror in /etc/apt does not offer TimescaleDB {VERSION}")
    # apt has checked the files against the signed index; the uploader's own signature is not needed on top.
    work.run(["dpkg-source", "--no-check", "-x", descriptions[0], "source"], timeout_s=60, env=env, cwd=folder)
    return folder / "source"


def _apt_configuration(folder: Path, mirror: str, keyring: Path) -> Path:
    """Write an apt configuration that keeps its lists here and reads only the one suite; return its path.

    The machine's `apt.conf.d` stays in force, for a proxy may be configured there; `last.conf` is read after it and
    takes its update hooks away.
    """
    for part in ("lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True)
    (folder / "hanlu.sources").write_text(
        f"Types: deb-src\nURIs: {mirror}\nSuites: {_SUITE}\nComponents: main\nSigned-By: {keyring}\n"
    )
    (folder / "hanlu.sources").chmod(0o600)
    (folder / "last.conf").write_text("#clear APT::Update;\n")
    first = folder / "first.conf"
    first.write_text(
        f'Dir::State "{folder}";\n'
        f'Dir::State::lists "{folder}/lists";\n'
        'Dir::State::status "/dev/null";\n'
        f'Dir::Cache "{folder}/cache";\n'
        f'Dir::Etc::main "{folder}/last.conf";\n'
        f'Dir::Etc::sourcelist "{folder}/hanlu.sources";\n'
        'Dir::Etc::sourceparts "-";\n'
        'Dir::Etc::preferences "/dev/null";\n'
        'Dir::Etc::preferencesparts "-";\n'
        'Acquire::Languages "none";\n'
        'Acquire::Retries "1";\n'
        'Acquire::http::Timeout "15";\n'
        'Acquire::https::Timeout "15";\n'
        'Acquire::IndexTargets::deb-src::Contents-dsc::DefaultEnabled "false";\n'
        f'APT::Sandbox::User "{_own_name()}";\n'
    )
    return first


def _own_name() -> str:
    """Return who apt's downloader runs as: as root it would change to an account that cannot write here."""
    return "root" if os.geteuid() == 0 else ""
