"""Configuration sent by the platform: which sections it may touch, and where the last one is kept.

It may say what is measured and how fast it is sent; it may not touch who the gateway is, where its broker and its data
are, or anything secret. A secret that a driver needs stands in the gateway's own file, under a driver of the same name
and kind, and so do the files it may read (`reach.py`). It is kept beside the spool, not in it: the spool outlives any
configuration.
"""

from __future__ import annotations

import json
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, SecretStr, ValidationError

from hanlu.core.errors import UsageError
from hanlu.gateway.config import GatewayConfig
from hanlu.gateway.driver.mapping import DriverConfig
from hanlu.gateway.reach import demand_reach

__all__ = ["SECTIONS", "Remote", "load_remote", "merged", "save_remote"]

SECTIONS: Final = frozenset({"drivers", "channels", "uplink", "limits", "priorities", "health_period_s"})
"""What the platform may configure."""

_FILE: Final = "remote.json"


@dataclass(frozen=True, slots=True)
class Remote:
    """One configuration as it came.

    Attributes:
        version: its number, from 1, rising.
        text: TOML.
    """

    version: int
    text: str


def merged(own: GatewayConfig, text: str, *, bounded: bool = True) -> GatewayConfig:
    """Return the gateway's own configuration with the sections of `text` in the place of its own.

    Args:
        own: the gateway's own file.
        text: TOML.
        bounded: hold the drivers to what they may reach (`reach.demand_reach`); False where the own file is not known.

    Raises:
        UsageError: it is no TOML, touches what it may not, holds a secret, or says what cannot be.
    """
    try:
        sections = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"not TOML: {error}") from error
    if foreign := sorted(sections.keys() - SECTIONS):
        raise UsageError(f"{', '.join(foreign)} cannot be configured from afar; {', '.join(sorted(SECTIONS))} can")
    try:
        given = GatewayConfig.model_validate(
            {"code": own.code, "partition": own.partition, "data_dir": own.data_dir} | _with_secrets(own, sections)
        )
    except ValidationError as error:
        each = error.errors(include_url=False, include_input=False)[0]
        raise UsageError(f"{'.'.join(map(str, each['loc']))}: {each['msg']}") from error
    if bounded and "drivers" in sections:
        for driver in given.drivers:
            demand_reach(driver, own)
    return own.model_copy(update={name: getattr(given, name) for name in sections})


def load_remote(folder: Path) -> Remote | None:
    """Return the configuration kept in the gateway's data folder; None if none ever came.

    Raises:
        UsageError: the file cannot be read.
    """
    path = folder / _FILE
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return Remote(int(kept["version"]), str(kept["config"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path}: cannot read the configuration kept there: {error!r}") from error


def save_remote(folder: Path, remote: Remote) -> None:
    """Put `remote` in the place of what is kept there, whole or not at all."""
    path = folder / _FILE
    draft = path.with_suffix(".draft")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump({"version": remote.version, "config": remote.text}, file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _with_secrets(own: GatewayConfig, sections: dict[str, Any]) -> dict[str, Any]:
    """Give the drivers in `sections` the secrets of the gateway's own drivers of the same name and kind."""
    drivers = sections.get("drivers")
    if not isinstance(drivers, list):
        return sections
    known = {(driver.kind, driver.name): driver for driver in own.drivers}
    return sections | {"drivers": [_with_own_secrets(each, known) for each in drivers]}


def _with_own_secrets(driver: Any, known: dict[tuple[str, str], DriverConfig]) -> Any:
    if not isinstance(driver, dict):
        return driver
    return _completed(driver, known.get((str(driver.get("kind")), str(driver.get("name")))))


def _completed(section: dict[str, Any], own: BaseModel | None) -> dict[str, Any]:
    """Return a section and those in it with the secrets the own file has in the same places."""
    secrets = {} if own is None else {name: value for name, value in own if isinstance(value, SecretStr)}
    if told := sorted(name for name in section if name in {"password", "token", "secret"} or name in secrets):
        raise UsageError(f"drivers: {', '.join(told)} is secret: it stands in the gateway's own file")
    full: dict[str, Any] = {}
    for name, value in section.items():
        beside = getattr(own, name, None)
        within = isinstance(value, dict)
        full[name] = _completed(value, beside if isinstance(beside, BaseModel) else None) if within else value
    return full | secrets
