"""The embedded PostgreSQL: its cluster, its configuration file, how it is started and asked.

It listens on a Unix socket only, in a folder closed to everybody else, and therefore trusts who reaches it. It is
durable: `fsync` on, `synchronous_commit` on. Sizes suit two cores and two gigabytes. PostgreSQL refuses root, so root
starts it as another account (`database.run_as`), in a place which that account can reach.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import signal
import stat
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from hanlu.app.embedded import cache, timescaledb
from hanlu.app.embedded.pg_programs import Programs, programs
from hanlu.app.embedded.service import ToolError, Work
from hanlu.app.process import Account, Command, account_for
from hanlu.app.settings import DatabaseSettings, process_environment
from hanlu.core.errors import FatalError

__all__ = ["EmbeddedPostgres"]

_DATABASE = "hanlu"
_OWNER = "hanlu"
_SYSTEM_PLACE = Path("/var/lib/hanlu")
_SOCKET_PATH_MAX = 107  # sockaddr_un, unix(7): 108 bytes with the closing zero
_SOCKET_NAME = ".s.PGSQL.5432"
_SMALL_SHM = 256 * 2**20
_INITDB_TIMEOUT_S = 120.0


@dataclass(slots=True)
class EmbeddedPostgres:
    """PostgreSQL 16 from the wheel, with TimescaleDB where it can be built.

    Args:
        folder: where it stores everything; below the data folder.
        settings: the database section.
        durable: False only in tests, where the machine's crash may cost the data: no fsync.
    """

    folder: Path
    settings: DatabaseSettings
    durable: bool = True
    name: str = "postgres"
    _account: Account | None = field(init=False, default=None)
    _programs: Programs | None = field(init=False, default=None)
    _plain_because: str = field(init=False, default="")
    _home: Path = field(init=False, default=Path())
    _sockets: Path = field(init=False, default=Path())

    @property
    def url(self) -> str:
        """The application's database as its owner, who is superuser of this private server."""
        return self.url_of(_DATABASE)

    def url_of(self, database: str) -> str:
        """Return the URL of any database on this server, as the superuser."""
        return f"postgresql://{_OWNER}@/{quote(database, safe='')}?host={quote(str(self._sockets), safe='')}"

    @property
    def has_timescaledb(self) -> bool:
        """Whether this server offers the extension."""
        return self._ready_programs.timescaledb is not None

    @property
    def description(self) -> str:
        """Which of the two embedded cases holds, and for plain PostgreSQL why."""
        found = self._ready_programs
        if found.timescaledb:
            return f"PostgreSQL {found.major} with TimescaleDB {found.timescaledb} (built from source)"
        return f"plain PostgreSQL {found.major}: {self._plain_because}; everything works, large histories are slower"

    def prepare(self, work: Work) -> None:
        """Provide the programs, and the cluster with its empty database when there is none.

        A cluster keeps the edition it was made with: its tables may need the extension, or were laid out without it.

        Raises:
            FatalError: if the cluster needs TimescaleDB and it cannot be built any more.
        """
        self._account = account_for(self.settings.run_as)
        self._home = self._place()
        cluster = self._home / "cluster"
        edition = self._home / "edition.json"
        made = edition.is_file()
        known = json.loads(edition.read_text()) if made else {}
        self._programs = self._provide(known, work)
        if not made:
            work.say("creating the database")
            # Without the edition file the last start was interrupted on the way: nothing can be in there yet.
            shutil.rmtree(cluster, ignore_errors=True)
            self._create(cluster, work)
            edition.write_text(
                json.dumps({"timescaledb": self._programs.timescaledb, "plain_because": self._plain_because})
            )
        self._sockets = self._socket_folder()

    def command(self) -> Command:
        """Write the configuration files and say how to start the server."""
        self._configure(self._home / "cluster")
        return Command(
            argv=(
                str(self._ready_programs.program("postgres")),
                "-D",
                str(self._home / "cluster"),
                "-c",
                f"config_file={self._home / 'cluster' / 'hanlu.conf'}",
            ),
            env=self._environment(),
            cwd=self._home,
            run_as=self._account,
            # "Fast shutdown": ends sessions, writes a checkpoint, leaves nothing to recover.
            stop_signal=signal.SIGINT,
            death_signal=signal.SIGINT,
        )

    def ready(self) -> bool:
        """Ask the server itself whether it takes connections."""
        answer = subprocess.run(
            [str(self._ready_programs.program("pg_isready")), "-q", "-t", "1", "-U", _OWNER, "-h", str(self._sockets)],
            env=self._environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        return answer.returncode == 0

    @property
    def _ready_programs(self) -> Programs:
        if self._programs is None:
            raise FatalError("the embedded PostgreSQL is used before it was prepared")
        return self._programs

    def _provide(self, known: dict[str, str | None], work: Work) -> Programs:
        wanted = known.get("timescaledb", timescaledb.VERSION if self.settings.timescaledb == "auto" else None)
        if known and not wanted:
            self._plain_because = f"this data folder was made without TimescaleDB ({known.get('plain_because')})"
        elif not wanted:
            self._plain_because = "database.timescaledb is off"
        try:
            return programs(self._account, wanted, self._build, work)
        except ToolError as exc:
            if known:
                raise FatalError(f"this data folder needs TimescaleDB {wanted}, which cannot be built: {exc}") from exc
            self._plain_because = str(exc)
            return programs(self._account, None, self._build, work)

    def _build(self, prefix: Path, work: Work) -> None:
        timescaledb.build(prefix, work, self.settings.build_timeout_s, self.settings.debian_mirror)

    def _place(self) -> Path:
        """Return our folder, or for root, where the server's account cannot reach it, the place it stands for.

        Opening root's home to another account is not ours to do, so the data then lies below /var/lib and a link
        stays here.
        """
        if not cache.is_reachable(self.folder, self._account) and not self.folder.is_symlink():
            if self.folder.is_dir() and any(self.folder.iterdir()):
                raise FatalError(f"{self.folder}: the account {self.settings.run_as!r} can no longer reach this folder")
            place = _SYSTEM_PLACE / f"postgres-{secrets.token_hex(4)}"
            place.mkdir(mode=0o755, parents=True)
            (place / "belongs-to").write_text(f"{self.folder}\n")
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                self.folder.rmdir()
            self.folder.symlink_to(place)
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder.resolve()

    def _create(self, cluster: Path, work: Work) -> None:
        """Make the cluster and, in single-user mode, the database: no server has to run for it."""
        cluster.mkdir(mode=0o700)
        if self._account:
            os.chown(cluster, self._account.uid, self._account.gid)
        found = self._ready_programs
        durability = [] if self.durable else ["--no-sync"]
        work.run(
            [
                found.program("initdb"),
                f"--pgdata={cluster}",
                f"--username={_OWNER}",
                "--auth=trust",
                "--encoding=UTF8",
                # One collation on every machine; Chinese text sorts by code point, pages that need pinyin order do it.
                "--locale=C",
                # A new segment is filled with zeros while commits wait: 50 ms for the usual 16 MB, 17 ms for 4.
                "--wal-segsize=4",
                "--no-instructions",
                *durability,
            ],
            timeout_s=_INITDB_TIMEOUT_S,
            env=self._environment(),
            cwd=self._home,
            run_as=self._account,
        )
        work.run(
            [found.program("postgres"), "--single", "-D", cluster, "template1"],
            timeout_s=_INITDB_TIMEOUT_S,
            env=self._environment(),
            cwd=self._home,
            run_as=self._account,
            stdin=f"CREATE DATABASE {_DATABASE} OWNER {_OWNER}\n".encode(),
        )

    def _configure(self, cluster: Path) -> None:
        """Write our own configuration, whole, at every start: the file of `initdb` stays unused."""
        small_shm = shutil.disk_usage("/dev/shm").total < _SMALL_SHM if Path("/dev/shm").is_dir() else True  # noqa: S108
        lines = {
            "listen_addresses": "",
            "unix_socket_directories": str(self._sockets),
            "unix_socket_permissions": "0700",
            "max_connections": self.settings.max_connections,
            "shared_buffers": f"{self.settings.shared_buffers_mb}MB",
            "effective_cache_size": f"{4 * self.settings.shared_buffers_mb}MB",
            "work_mem": "16MB",
            "maintenance_work_mem": "128MB",
            # Containers often have 64 MB there, which one parallel query can fill.
            "dynamic_shared_memory_type": "mmap" if small_shm else "posix",
            "max_worker_processes": 12,
            "max_parallel_workers": 2,
            "max_parallel_workers_per_gather": 1,
            "autovacuum_max_workers": 2,
            "fsync": "on" if self.durable else "off",
            "synchronous_commit": "on" if self.durable else "off",
            "full_page_writes": "on" if self.durable else "off",
            "min_wal_size": "256MB",
            "max_wal_size": "2GB",
            "checkpoint_timeout": "15min",
            "random_page_cost": 1.1,
            "jit": "off",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "lc_messages": "C",
            "default_text_search_config": "pg_catalog.simple",
            "log_line_prefix": "%m [%p] %q%a ",
            "log_checkpoints": "off",
            "log_min_duration_statement": "2s",
        }
        if self.has_timescaledb:
            lines |= {
                "shared_preload_libraries": "timescaledb",
                "timescaledb.license": "apache",
                "timescaledb.telemetry_level": "off",
                "timescaledb.max_background_workers": 4,
            }
        text = "".join(f"{name} = '{value}'\n" for name, value in lines.items())
        (cluster / "hanlu.conf").write_text(f"# Written at every start; change the database settings instead.\n{text}")
        (cluster / "pg_hba.conf").write_text("local all all trust\n")

    def _socket_folder(self) -> Path:
        """Return a folder for the socket, closed to others, whose path fits into a socket address.

        Raises:
            FatalError: if somebody else made the short folder before us.
        """
        place = self._home / "run"
        if len(os.fsencode(place / _SOCKET_NAME)) > _SOCKET_PATH_MAX:
            digest = hashlib.sha256(os.fsencode(self._home)).hexdigest()[:16]
            place = Path(tempfile.gettempdir()) / f"hanlu-{digest}"
        owner = self._account.uid if self._account else os.geteuid()
        try:
            place.mkdir(mode=0o700)
            os.chown(place, owner, -1)
        except FileExistsError as exc:
            status = place.lstat()
            if status.st_uid != owner or status.st_mode & 0o077 or not stat.S_ISDIR(status.st_mode):
                raise FatalError(f"{place} belongs to somebody else or is open to others: remove it") from exc
        return place

    def _environment(self) -> dict[str, str]:
        """Leave out the variables by which libpq and the server would be led elsewhere."""
        kept = {k: v for k, v in process_environment().items() if not k.startswith("PG") and not k.startswith("LC_")}
        return kept | {"LC_ALL": "C", "TZ": "UTC"}
