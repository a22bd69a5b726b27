"""One Modbus connection: requests out, words in. The only file that knows pymodbus.

Source: MODBUS Application Protocol V1.1b3; MODBUS over Serial Line V1.02; MODBUS Messaging on TCP/IP V1.0b.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from hanlu.core.errors import UsageError
from hanlu.gateway.driver.mapping import Section
from hanlu.gateway.driver.modbus_plan import Request

__all__ = ["Link", "LinkConfig", "Refusal", "Silence"]

_REPETITIONS: Final = 1
"""Times a request is sent again before the device counts as silent: a bus loses frames now and then."""


_UNREACHED: Final = frozenset({10, 11})
"""Exception codes by which a serial server says that the device itself is out of reach (clause 7)."""


class LinkConfig(Section):
    """How the devices are reached."""

    url: str = Field(
        description="tcp://host:502 (Modbus TCP), rtu+tcp://host:port (RTU frames through a serial server)"
        " or serial:/dev/ttyUSB0 (RTU)"
    )
    timeout_s: float = Field(default=1.0, ge=0.05, le=30, description="how long a device may take to answer, seconds")
    baud: int = Field(default=9_600, ge=300, le=4_000_000, description="serial: bits per second")
    parity: Literal["N", "E", "O"] = Field(default="N", description="serial: none, even (the standard's), odd")
    stop_bits: Literal[1, 2] = Field(default=1, description="serial")

    @field_validator("url")
    @classmethod
    def _known(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme == "serial" and parts.path.startswith("/"):
            return url
        if parts.scheme in ("tcp", "rtu+tcp") and parts.hostname and not parts.path and parts.port != 0:
            return url
        raise ValueError("a link is tcp://host:port, rtu+tcp://host:port or serial:/dev/name")


@dataclass(frozen=True, slots=True)
class Silence:
    """No answer, or none that could be understood, after a repetition; `why` is for people."""

    why: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """The device answers with an exception; `code` as in the standard's clause 7, e.g. 2 illegal data address."""

    code: int


class Link:
    """A connection that is opened when it is needed and opened anew when it broke."""

    def __init__(self, config: LinkConfig) -> None:
        """Take the library; nothing is opened.

        Raises:
            UsageError: pymodbus, or pyserial for a serial line, is not installed.
        """
        try:
            import pymodbus  # noqa: F401

            if config.url.startswith("serial:"):
                import serial  # noqa: F401
        except ModuleNotFoundError as error:
            raise UsageError(f"Modbus needs {error.name}: install hanlu[gateway]") from error
        # What it reports is reported by the driver, once a change of state and not once a request.
        logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
        self._config = config
        self._client: Any = None

    def read(self, unit_id: int, request: Request) -> Sequence[int] | Refusal | Silence:
        """Return the words (0 or 1 for bits) of `request`, exactly as many as it asks for."""
        from pymodbus.exceptions import ModbusException

        if self._client is None:
            self._client = _client(self._config)
        ask = self._function(request.function)
        try:
            answer = ask(request.first, count=request.count, device_id=unit_id)
        except (ModbusException, OSError) as error:
            # The stream may hold half an answer: only a new connection is surely at the start of one.
            self.close()
            return Silence(f"{type(error).__name__}: {error}"[:200])
        except Exception as error:  # noqa: BLE001 - whatever the library makes of bytes from the field
            self.close()
            return Silence(f"its answer cannot be read: {type(error).__name__}: {error}"[:200])
        if answer.isError():
            if answer.exception_code in _UNREACHED:
                return Silence(f"the serial server does not reach it (exception {answer.exception_code})")
            return Refusal(answer.exception_code)
        words = [int(bit) for bit in answer.bits] if request.function in (1, 2) else list(answer.registers)
        if len(words) < request.count or (request.function in (3, 4) and len(words) != request.count):
            self.close()
            return Silence(f"it gave {len(words)} values where {request.count} were asked for")
        return words[: request.count]

    def close(self) -> None:
        """Close what is open."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _function(self, function: int) -> Callable[..., Any]:
        client = self._client
        functions: dict[int, Callable[..., Any]] = {
            1: client.read_coils,
            2: client.read_discrete_inputs,
            3: client.read_holding_registers,
            4: client.read_input_registers,
        }
        return functions[function]


def _client(config: LinkConfig) -> Any:
    from pymodbus import FramerType
    from pymodbus.client import ModbusSerialClient, ModbusTcpClient

    parts = urlsplit(config.url)
    common: dict[str, Any] = {"timeout": config.timeout_s, "retries": _REPETITIONS}
    if parts.scheme == "serial":
        return ModbusSerialClient(
            parts.path,
            framer=FramerType.RTU,
            baudrate=config.baud,
            parity=config.parity,
            stopbits=config.stop_bits,
            **common,
        )
    framer = FramerType.RTU if parts.scheme == "rtu+tcp" else FramerType.SOCKET
    return ModbusTcpClient(parts.hostname or "", port=parts.port or 502, framer=framer, **common)
