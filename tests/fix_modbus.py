"""Modbus devices served by pymodbus: over TCP, RTU frames over TCP, and RTU on a pair of pseudo terminals."""

from __future__ import annotations

import asyncio
import os
import threading
import time
import tty
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from pymodbus import FramerType
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

_BITS = {1: 0, 2: 0}


@dataclass
class Slave:
    """One device: words by (function, address); what is not there is refused; `deaf` answers nothing in time."""

    words: dict[tuple[int, int], int] = field(default_factory=dict)
    deaf: bool = False
    busy: bool = False
    asked: Counter[tuple[int, int, int]] = field(default_factory=Counter)

    def put(self, function: int, address: int, *words: int) -> None:
        self.words.update({(function, address + index): word for index, word in enumerate(words)})

    async def action(
        self, function: int, start: int, address: int, count: int, current: list[Any], new: list[Any] | None
    ) -> ExcCodes | None:
        self.asked[function, address, count] += 1
        if self.deaf:
            await asyncio.sleep(30)
        if self.busy:
            return ExcCodes.DEVICE_BUSY
        wanted = [(function, address + index) for index in range(count)]
        if any(each not in self.words for each in wanted):
            return ExcCodes.ILLEGAL_ADDRESS
        for index, each in enumerate(wanted):
            current[address - start + index] = bool(self.words[each]) if function in _BITS else self.words[each]
        return None


class Bus:
    """A server with slaves by unit id; one that is not there is silent."""

    def __init__(self, slaves: dict[int, Slave], kind: str = "tcp", port: int = 0) -> None:
        self.slaves, self._kind, self._port = slaves, kind, port
        self._ready = threading.Event()
        self._fds: list[int] = []
        self.url = ""
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._ready.wait(5), "the Modbus server does not start"

    async def _serve(self) -> None:
        devices = [_device(unit, slave) for unit, slave in self.slaves.items()]
        if self._kind == "serial":
            theirs, ours = self._terminals()
            server: Any = ModbusSerialServer(devices, port=theirs, baudrate=115_200, ignore_missing_devices=True)
            self.url = f"serial:{ours}"
        else:
            framer = FramerType.RTU if self._kind == "rtu+tcp" else FramerType.SOCKET
            server = ModbusTcpServer(
                devices, framer=framer, address=("127.0.0.1", self._port), ignore_missing_devices=True
            )
        self._loop, self._server = asyncio.get_running_loop(), server
        await server.serve_forever(background=True)
        if self._kind != "serial":
            port = server.transport.sockets[0].getsockname()[1]
            self.url = f"{self._kind}://127.0.0.1:{port}"
        self._stop = asyncio.Event()
        self._ready.set()
        await self._stop.wait()
        await server.shutdown()

    def _terminals(self) -> tuple[str, str]:
        """Return the names of two terminals joined back to back."""
        pairs = [os.openpty() for _ in range(2)]
        for main, side in pairs:
            tty.setraw(main)
            tty.setraw(side)
            self._fds += [main, side]
        (one, one_side), (two, two_side) = pairs
        for source, sink in ((one, two), (two, one)):
            threading.Thread(target=_copy, args=(source, sink), daemon=True).start()
        return os.ttyname(one_side), os.ttyname(two_side)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(5)
        time.sleep(0.05)
        for fd in self._fds:
            os.close(fd)


def _copy(source: int, sink: int) -> None:
    try:
        while data := os.read(source, 4_096):
            os.write(sink, data)
    except OSError:
        return  # the pair was closed


def _device(unit: int, slave: Slave) -> SimDevice:
    def bits() -> list[SimData]:
        return [SimData(0, values=[False] * 512, datatype=DataType.BITS)]

    def registers() -> list[SimData]:
        return [SimData(0, count=512, values=0, datatype=DataType.REGISTERS)]

    return SimDevice(unit, simdata=(bits(), bits(), registers(), registers()), action=slave.action)


@pytest.fixture(params=["tcp", "rtu+tcp", "serial"])
def any_bus(request: pytest.FixtureRequest) -> Iterator[Bus]:
    bus = Bus({1: Slave(), 2: Slave()}, request.param)
    yield bus
    bus.close()


@pytest.fixture
def bus() -> Iterator[Bus]:
    bus = Bus({1: Slave(), 2: Slave()})
    yield bus
    bus.close()
