"""Files that people or programs put into a folder: each is read once, to its end, and then moved away or left.

The folder is looked at again and again, without the help of the system's notifications (network shares have none). A
file is taken when it has not changed for a while. It goes to the intake in bounded pieces, and each piece that has
ended is remembered; after a crash it goes on behind the last one, and what is offered twice counts once. A file is
moved only when all of it is on this gateway's disk; one that cannot be read goes to `failed/` with a text beside it
that says why, and its beginning to the platform's dead letters.
"""

from __future__ import annotations

import fnmatch
import hashlib
import io
import logging
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Protocol

from pydantic import Field

from hanlu.core.clock import Clock
from hanlu.core.errors import RemoteError, TransientError, UsageError
from hanlu.core.observe import log
from hanlu.core.rejected import Reason, Rejected
from hanlu.core.wire.documents import BirthChannel
from hanlu.gateway.driver.contract import Batch, Intake, Undecodable, Verdict
from hanlu.gateway.driver.folder_memory import Memory, Outcome, Progress
from hanlu.gateway.driver.mapping import DriverConfig, Section
from hanlu.gateway.driver.patience import offer_until_settled

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["FileFacts", "FolderConfig", "FolderDriver", "Importer"]

_logger = logging.getLogger(__name__)

_DONE: Final = "done"
_FAILED: Final = "failed"
_QUOTED: Final = 60_000
"""Bytes of the beginning of an unreadable file that go to the dead letters."""

_CHUNK: Final = 1 << 18
"""Bytes read from a file at once; before each the driver says that it is alive."""

_TICK_S: Final = 2.0
"""Seconds between two signs of life while there is nothing to do."""


def _nobody_listens() -> None:
    """Take a sign of life that nobody waits for."""


class FolderConfig(Section):
    """Which files, and what becomes of them."""

    path: Path = Field(description="folder to watch; its sub-folders are not looked into")
    pattern: str = Field(default="*", min_length=1, description="names of the files, e.g. *.csv; case does not matter")
    poll_s: float = Field(default=5.0, ge=0.05, le=3_600, description="seconds between two looks")
    stable_s: float = Field(
        default=10.0, ge=0, le=3_600, description="a file is taken when it has not changed for so long, seconds"
    )
    after: Literal["move", "leave"] = Field(
        default="move", description="move: to done/ or failed/ below the folder; leave: where it is"
    )
    max_bytes: int = Field(default=2**30, ge=1, description="a longer file fails, bytes")


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A file to be read.

    Attributes:
        path: where it is.
        digest: SHA-256 of its bytes, hex.
        beat: called while it is read, chunk by chunk: a long file on a slow machine is no hang.
    """

    path: Path
    digest: str
    beat: Callable[[], None] = field(default=_nobody_listens, repr=False, compare=False)

    @property
    def name(self) -> str:
        """Return its name as text that can be stored and shown, whatever its bytes are."""
        return self.path.name.encode("utf-8", "backslashreplace").decode()

    def open(self) -> io.BufferedReader:
        """Open it for reading, from its beginning."""
        return io.BufferedReader(_Beating(self.path, self.beat), _CHUNK)


class _Beating(io.FileIO):
    def __init__(self, path: Path, beat: Callable[[], None]) -> None:
        super().__init__(path, "rb")
        self._beat = beat

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        self._beat()
        return super().readinto(buffer)


class Importer(Protocol):
    """Reads one kind of file."""

    @property
    def channels(self) -> tuple[BirthChannel, ...]:
        """Return the channels the configuration names."""
        ...

    def pieces(self, file: FileFacts) -> Iterator[Batch]:
        """Yield what the file holds, in the same pieces each time it is read, a few thousand readings each.

        Raises:
            RemoteError: the file is not of this kind; the message says what is wrong and what to do.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Look:
    """A file as it was seen: `size` in bytes, `since` the monotonic second of the first look that found it so."""

    size: int
    mtime_ns: int
    since: float


class FolderDriver:
    """Watches one folder."""

    def __init__(
        self, config: DriverConfig, folder: FolderConfig, importer: Importer, intake: Intake, clock: Clock
    ) -> None:
        """Prepare to watch.

        Args:
            config: the driver's whole configuration: a change of it makes files that failed be tried again.
            folder: the part about the folder.
            importer: reads the files.
            intake: of the gateway.
            clock: for waiting and for the memory.

        Raises:
            UsageError: there is no such folder.
        """
        if not folder.path.is_dir():
            raise UsageError(f"driver {config.name}: there is no folder {folder.path}")
        self._name, self._folder, self._importer = config.name, folder, importer
        self._intake, self._clock = intake, clock
        self._fingerprint = hashlib.sha256(config.model_dump_json().encode()).hexdigest()[:32]
        self._stopping = threading.Event()
        self._looks: dict[str, _Look] = {}
        self._settled: dict[str, _Look] = {}
        self._memory: Memory | None = None
        self._said: dict[str, str] = {}
        self.beat: Callable[[], None] = _nobody_listens
        """Called every few seconds, and with each chunk of a file."""
        self.counts: Counter[str] = Counter()
        """`files`, `files_failed`, `files_repeated`, `readings`, `lost`, `refused`, since the start."""

    @property
    def address(self) -> str:
        """Return the folder and the pattern."""
        return f"{self._folder.path}/{self._folder.pattern}"

    @property
    def channels(self) -> tuple[BirthChannel, ...]:
        """Return the importer's channels."""
        return self._importer.channels

    def run(self) -> None:
        """Watch until `stop`.

        Raises:
            FatalError: the spool is damaged.
        """
        try:
            while not self._stopping.is_set():
                try:
                    self._round()
                    self._said.pop("", None)
                except (OSError, TransientError) as error:
                    self._say("", f"cannot work on {self._folder.path}: {error}")
                self._rest()
        finally:
            self.close()

    def stop(self) -> None:
        """Make `run` return after the piece it is at."""
        self._stopping.set()

    def close(self) -> None:
        """Close the memory."""
        memory, self._memory = self._memory, None
        if memory is not None:
            memory.close()

    def _rest(self) -> None:
        left = self._folder.poll_s
        self.beat()
        while left > 0 and not self._stopping.wait(min(left, _TICK_S)):
            self.beat()
            left -= _TICK_S

    def _round(self) -> None:
        if self._memory is None:
            self._memory = Memory(self._folder.path / f".hanlu-{self._name}.sqlite")
        for path, look in self._ripe():
            self.beat()
            if self._stopping.is_set():
                return
            try:
                self._take(self._memory, path, look)
                self._said.pop(path.name, None)
            except (OSError, TransientError) as error:
                self._say(path.name, f"{path.name!a} cannot be taken now: {error}")

    def _ripe(self) -> list[tuple[Path, _Look]]:
        """Return the files that have not changed for long enough and are not settled, oldest first."""
        now = self._clock.monotonic()
        looks: dict[str, _Look] = {}
        ripe = []
        for entry in os.scandir(self._folder.path):
            if not self._is_wanted(entry):
                continue
            status = entry.stat(follow_symlinks=False)
            before = self._looks.get(entry.name)
            look = _Look(status.st_size, status.st_mtime_ns, now)
            if before is not None and (before.size, before.mtime_ns) == (look.size, look.mtime_ns):
                look = before
            looks[entry.name] = look
            if now - look.since >= self._folder.stable_s and self._settled.get(entry.name) != look and look.size:
                ripe.append((look.mtime_ns, Path(entry.path), look))
        self._looks = looks
        self._settled = {name: look for name, look in self._settled.items() if name in looks}
        return [(path, look) for _, path, look in sorted(ripe, key=lambda each: (each[0], each[1]))]

    def _is_wanted(self, entry: os.DirEntry[str]) -> bool:
        return (
            not entry.name.startswith(".")
            and fnmatch.fnmatchcase(entry.name.lower(), self._folder.pattern.lower())
            and entry.is_file(follow_symlinks=False)
        )

    def _take(self, memory: Memory, path: Path, look: _Look) -> None:
        file = self._facts(memory, path, look)
        known = memory.progress(file.digest) or Progress(fingerprint=self._fingerprint)
        if known.outcome is Outcome.DONE:
            self.counts["files_repeated"] += self._folder.after == "move"
            self._put_away(memory, file, look, _DONE)
            return
        if known.fingerprint != self._fingerprint:
            known = Progress(fingerprint=self._fingerprint)
        if known.outcome is Outcome.FAILED:
            self._put_away(memory, file, look, _FAILED)
            return
        try:
            progress = self._read(memory, file, known, look)
        except RemoteError as error:
            self._fail(memory, file, look, str(error))
            return
        if progress is None:
            return
        if not _is_unchanged(path, look):
            memory.forget(file.digest)
            self._say(path.name, f"{file.name} changed while it was read: it is read again")
            return
        if progress.refused:
            # Counted on disk and declared; the file is kept apart so that a person can bring it back.
            memory.forget(file.digest)
            why = f"the gateway had no room for {progress.refused} of its readings: put it back when there is room"
            self._put_away(memory, file, look, _FAILED, why)
            return
        memory.keep(file.digest, file.name, replace(progress, outcome=Outcome.DONE), self._clock.now_ms())
        self.counts["files"] += 1
        self._put_away(memory, file, look, _DONE)

    def _facts(self, memory: Memory, path: Path, look: _Look) -> FileFacts:
        file = FileFacts(path, "", self.beat)
        digest = memory.digest_of(file.name, look.size, look.mtime_ns)
        if digest is None:
            with file.open() as source:
                digest = hashlib.file_digest(source, "sha256").hexdigest()
        return replace(file, digest=digest)

    def _read(self, memory: Memory, file: FileFacts, known: Progress, look: _Look) -> Progress | None:
        """Offer what has not been offered yet; None when the driver stops before the end."""
        if look.size > self._folder.max_bytes:
            raise RemoteError(f"it has {look.size} bytes, more than max_bytes = {self._folder.max_bytes}")
        progress = known
        for number, batch in enumerate(self._importer.pieces(file)):
            if number < progress.pieces:
                continue
            verdict = offer_until_settled(self._intake, batch, self._stopping, self.counts, self._name, self.beat)
            if verdict is None:
                return None
            refused = 0 if verdict is Verdict.KEPT else len(batch.readings)
            progress = replace(progress, pieces=number + 1, refused=progress.refused + refused)
            memory.keep(file.digest, file.name, progress, self._clock.now_ms())
            if self._stopping.is_set():
                return None
        return progress

    def _fail(self, memory: Memory, file: FileFacts, look: _Look, why: str) -> None:
        with file.open() as source:
            beginning = source.read(_QUOTED)
        bad = Undecodable(f"{self._name} {file.name}"[:200], Rejected(Reason.MALFORMED, why), beginning)
        batch = Batch(undecodable=(bad,), live=False)
        if offer_until_settled(self._intake, batch, self._stopping, self.counts, self._name, self.beat) is None:
            return
        failed = Progress(Outcome.FAILED, fingerprint=self._fingerprint)
        if self._folder.after == "leave":
            memory.keep(file.digest, file.name, failed, self._clock.now_ms())
        else:
            memory.forget(file.digest)  # so that it is tried again when a person puts it back
        self.counts["files_failed"] += 1
        log(_logger, logging.WARNING, "gateway.folder.failed", f"{self._name}: {file.name}: {why}")
        self._put_away(memory, file, look, _FAILED, why)

    def _put_away(self, memory: Memory, file: FileFacts, look: _Look, where: str, why: str = "") -> None:
        """Move a file that is finished, or remember that it stays."""
        if self._folder.after == "leave":
            self._settled[file.path.name] = look
            memory.saw(file.name, look.size, look.mtime_ns, file.digest)
            return
        folder = self._folder.path / where
        folder.mkdir(exist_ok=True)
        target = folder / file.path.name
        if target.exists():
            target = folder / f"{file.path.stem}-{file.digest[:8]}{file.path.suffix}"
        if why:
            target.with_name(target.name + ".reason").write_text(why + "\n", encoding="utf-8")
        file.path.replace(target)

    def _say(self, what: str, message: str) -> None:
        """Log a trouble once, until it is over or another one."""
        self.counts["troubles"] += 1
        if self._said.get(what) != message:
            self._said[what] = message
            log(_logger, logging.WARNING, "gateway.folder.trouble", f"{self._name}: {message}")


def _is_unchanged(path: Path, look: _Look) -> bool:
    status = path.stat()
    return (status.st_size, status.st_mtime_ns) == (look.size, look.mtime_ns)
