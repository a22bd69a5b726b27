"""What a configuration from afar may reach on this machine; pure.

Whoever holds the platform says what is measured, not what this machine may be made to read or give away. A driver that
reads files sends what it cannot understand to the platform, and one with a password tells it to its broker. So a file
may be named from afar only where the gateway's own configuration names it for the driver of the same kind and name, or,
for a folder to be watched, where it lies in one of its `remote_folders`; a serial line only where such lines are in
`/dev`. What the own file keeps secret goes where the own file says, or nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pydantic import BaseModel, SecretStr

from hanlu.core.errors import UsageError
from hanlu.gateway.config import GatewayConfig
from hanlu.gateway.driver.mapping import DriverConfig

__all__ = ["demand_reach"]

_FOLDER: Final = ("folder", "path")
"""Where a driver's configuration names the folder it watches."""
_SERIAL: Final = ("/dev/tty", "/dev/serial/")
_PLACE: Final = ("host", "port", "tls", "ca_file")
"""What decides who hears a password; one in a section without a host is only compared with what devices say."""

_Place = tuple[str, ...]


def demand_reach(driver: DriverConfig, own: GatewayConfig) -> None:
    """Refuse a driver configured from afar that would reach further than it may.

    Args:
        driver: as configured, with the secrets of the gateway's own file.
        own: the gateway's own configuration.

    Raises:
        UsageError: it names a file it may not, or would tell a secret to somebody else; the message says which.
    """
    known = next((each for each in own.drivers if (each.kind, each.name) == (driver.kind, driver.name)), None)
    named = set(_files(known)) if known is not None else set()
    for place, path in _files(driver):
        if (place, path) in named or _is_serial(place, path) or (place == _FOLDER and _is_given(path, own)):
            continue
        raise UsageError(
            f"drivers: {driver.name}: {'.'.join(place)} = {path}: a file is named in the gateway's own file, "
            "or lies in one of its remote_folders"
        )
    _demand_same_hearer(driver, known, driver.name)


def _files(value: object, place: _Place = ()) -> Iterator[tuple[_Place, Path]]:
    """Yield the files a configuration names and where in it; places in lists are not told apart."""
    if isinstance(value, BaseModel):
        for name, each in value:
            yield from _files(each, (*place, name))
    elif isinstance(value, dict):
        for each in value.values():
            yield from _files(each, place)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _files(each, place)
    elif isinstance(value, Path):
        yield place, value
    elif isinstance(value, str) and value.startswith(("unix:", "serial:")):
        yield place, Path(value.partition(":")[2].partition("?")[0])


def _is_serial(place: _Place, path: Path) -> bool:
    return place == ("link", "url") and str(path).startswith(_SERIAL) and ".." not in path.parts


def _is_given(path: Path, own: GatewayConfig) -> bool:
    """Tell whether a folder lies where folders may be named from afar, and has nothing to do with our own."""
    folder, private = path.resolve(), (own.data_dir.resolve(), own.key_path.parent.resolve())
    if any(folder.is_relative_to(each) or each.is_relative_to(folder) for each in private):
        return False
    return any(folder.is_relative_to(each.resolve()) for each in own.remote_folders)


def _demand_same_hearer(section: BaseModel, own: BaseModel | None, where: str) -> None:
    """Refuse a section that holds a secret of the own file and sends it elsewhere."""
    if own is None:
        return
    fields = dict(section)
    ours = [name for name, value in own if _is_secret(name, value) and fields.get(name) == value]
    if ours and "host" in fields:
        moved = [name for name in _PLACE if name in fields and fields[name] != getattr(own, name, None)]
        if moved:
            raise UsageError(
                f"drivers: {where}: {', '.join(moved)} stays as in the gateway's own file, where {ours[0]} is"
            )
    for name, value in fields.items():
        beside = getattr(own, name, None)
        if isinstance(value, BaseModel) and isinstance(beside, BaseModel):
            _demand_same_hearer(value, beside, f"{where}.{name}")


def _is_secret(name: str, value: object) -> bool:
    return isinstance(value, SecretStr) or (isinstance(value, Path) and name in {"password_file", "key_file"})
