"""What a new data folder needs before its first use, beyond the tables: people who may sign in, and what the rooms add.

Each step looks for itself whether it has anything to do, so that a start killed half way is simply repeated.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from hanlu.app.settings import Settings

__all__ = ["STEPS", "Credential", "Step", "first_start"]


@dataclass(frozen=True, slots=True)
class Credential:
    """A password that was just made, shown once and stored nowhere in clear.

    Attributes:
        login: sign-in name.
        password: in clear.
        purpose: who it is for, one or two words.
    """

    login: str
    password: str
    purpose: str

    def __str__(self) -> str:
        """Return the line for the terminal."""
        return f"  {self.purpose:<13} {self.login:<12} {self.password}"


Step = Callable[[Settings], list[Credential]]

STEPS: tuple[str, ...] = ("hanlu.app.demo:first_start", "hanlu.app.log_inception:first_start")
"""`module:function` of each step, in order."""


def first_start(settings: Settings, steps: tuple[str, ...] = STEPS) -> list[Credential]:
    """Take all steps and return the passwords they made, none when everything was there."""
    made: list[Credential] = []
    for step in steps:
        module, _, function = step.partition(":")
        made += cast("Step", getattr(importlib.import_module(module), function))(settings)
    return made
