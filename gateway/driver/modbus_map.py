"""Register maps of makes and models, as data beside this file (`data/modbus/<name>.toml`)."""

from __future__ import annotations

import re
import tomllib
from importlib import resources
from typing import Any, Final

from pydantic import Field, model_validator

from hanlu.core.errors import UsageError
from hanlu.gateway.driver.mapping import Section
from hanlu.gateway.driver.modbus_register import Register

__all__ = ["RegisterMap", "known_maps", "load_map"]

_FOLDER: Final = resources.files("hanlu.gateway.driver") / "data" / "modbus"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,59}")
_INHERITED: Final = ("function", "one_based", "byte_order", "word_order", "period_s")
"""What a map says once for all its registers; a register may say otherwise."""


class RegisterMap(Section):
    """What one model offers."""

    title: str = Field(description="maker and model")
    document: str = Field(description="where the map is published")
    notes: str = Field(default="", description="what a person who connects one must know")
    registers: tuple[Register, ...] = Field(min_length=1, max_length=1_000)

    @model_validator(mode="before")
    @classmethod
    def _spread(cls, values: Any) -> Any:
        """Give every register what the map says for all."""
        if not isinstance(values, dict) or not isinstance(values.get("registers"), list | tuple):
            return values
        common = {key: values[key] for key in _INHERITED if key in values}
        rest = {key: value for key, value in values.items() if key not in _INHERITED}
        spread = []
        for register in values["registers"]:
            if isinstance(register, dict):
                without = {"function", "one_based"} if "reference" in register else set()
                register = {key: value for key, value in common.items() if key not in without} | register  # noqa: PLW2901
            spread.append(register)
        return rest | {"registers": spread}


def known_maps() -> tuple[str, ...]:
    """Return the names of the maps there are, sorted."""
    return tuple(sorted(file.name[: -len(".toml")] for file in _FOLDER.iterdir() if file.name.endswith(".toml")))


def load_map(name: str) -> RegisterMap:
    """Return the map called `name`.

    Raises:
        UsageError: there is none; the message names those there are.
    """
    file = _FOLDER / f"{name}.toml"
    if not _NAME.fullmatch(name) or not file.is_file():
        raise UsageError(f"there is no register map {name!r}; known are {', '.join(known_maps())}")
    return RegisterMap.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
