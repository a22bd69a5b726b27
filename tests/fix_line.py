"""A small gateway for tests: takes lines, answers them, and can be told to fail in every way that matters."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from typing import Any, Self


class LineServerDouble:
    """Listens on a free port of the loopback; `lines` holds what it committed, over all connections, in order.

    Attributes:
        kill_after: close each connection without an answer once so many lines were committed on it (0: never);
            counts down over `kills` connections.
        refuse: reason to refuse a line for, or None.
        commit_before_kill: whether the line at the break was committed (and only its answer lost).
    """

    def __init__(
        self,
        *,
        kill_after: int = 0,
        kills: int = 0,
        commit_before_kill: bool = True,
        refuse: Callable[[dict[str, Any]], str | None] = lambda _: None,
    ) -> None:
        self.lines: list[dict[str, Any]] = []
        self.connections = 0
        self.kill_after, self.kills, self.commit_before_kill, self.refuse = (
            kill_after,
            kills,
            commit_before_kill,
            refuse,
        )
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host, self.port = self._listener.getsockname()[:2]
        self._threads: list[threading.Thread] = []
        self._socks: list[socket.socket] = []
        self._open = True
        self._acceptor = threading.Thread(target=self._accept)
        self._acceptor.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._open = False
        socket.create_connection((self.host, self.port)).close()  # wakes the acceptor
        self._acceptor.join()
        for sock in self._socks:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            if not self._open:
                sock.close()
                return
            self.connections += 1
            self._socks.append(sock)
            thread = threading.Thread(target=self._serve, args=(sock,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        taken = 0
        with sock, sock.makefile("rb") as reader:
            try:
                for raw in reader:
                    line = json.loads(raw)
                    taken += 1
                    if self.kills > 0 and taken > self.kill_after:
                        self.kills -= 1
                        if self.commit_before_kill:
                            self.lines.append(line)
                        sock.shutdown(socket.SHUT_RDWR)
                        return
                    reason = self.refuse(line)
                    if reason is None:
                        self.lines.append(line)
                    answer = {"ok": line["id"]} if reason is None else {"error": reason, "id": line["id"]}
                    sock.sendall(json.dumps(answer).encode() + b"\n")
            except OSError:
                return
