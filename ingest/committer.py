"""Commits in a thread of its own, one batch at a time: while the database works, the next batch is taken and decoded.

Nearly all of a commit is waiting for the database, so the two get along on one core's worth of Python. The caller keeps
the batch until it has the answer, and alone speaks to gateways and broker: commit, receipt, acknowledge stays one order
whatever overlaps.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Self

from hanlu.ingest.figures import COMMIT_SECONDS
from hanlu.ingest.message import Outcome
from hanlu.ingest.writer import Committed, Writer

__all__ = ["Committer"]


class Committer:
    """Owns the writer while a batch is with it. Use as a context manager: leaving it waits for the batch to end."""

    def __init__(self, writer: Writer, done: Callable[[], None]) -> None:
        """Start the thread.

        Args:
            writer: used by this thread alone between `begin` and `finished`.
            done: called from the thread when a batch has met its end, good or bad.
        """
        self._writer = writer
        self._done = done
        self._changed = threading.Condition()
        self._outcomes: Sequence[Outcome] | None = None
        self._answer: list[Committed] | BaseException | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="commit", daemon=True)

    def __enter__(self) -> Self:
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for the batch at work and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    @property
    def busy(self) -> bool:
        """Tell whether a batch is at work or its answer has not been fetched."""
        return self._outcomes is not None

    @property
    def answered(self) -> bool:
        """Tell whether the answer can be fetched."""
        return self._answer is not None

    def begin(self, outcomes: Sequence[Outcome]) -> None:
        """Have a batch committed.

        Raises:
            RuntimeError: another one is.
        """
        with self._changed:
            if self._outcomes is not None:
                raise RuntimeError("a batch is being committed")
            self._outcomes = outcomes
            self._changed.notify_all()

    def wait(self, timeout_s: float) -> bool:
        """Wait until there is an answer, and tell whether there is."""
        with self._changed:
            return self._changed.wait_for(lambda: self._answer is not None, timeout_s)

    def finish(self) -> list[Committed]:
        """Return what the commit made true; the next batch may begin.

        Raises:
            RuntimeError: there is no answer yet.
            BaseException: whatever the writer raised.
        """
        with self._changed:
            answer, self._answer = self._answer, None
            if answer is None:
                raise RuntimeError("the batch is not committed")
            self._outcomes = None
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or (self._outcomes is not None and self._answer is None))
                if self._outcomes is None or self._answer is not None:
                    return
                outcomes = self._outcomes
            try:
                with COMMIT_SECONDS.time():
                    answer: list[Committed] | BaseException = self._writer.commit(outcomes)
            except BaseException as fault:  # noqa: BLE001 - handed to the caller's thread
                answer = fault
            with self._changed:
                self._answer = answer
                self._changed.notify_all()
            self._done()
