"""Logging with a stable `action` on every line, `room.entity.verb`: logs are searched by meaning, not by words."""

from __future__ import annotations

import logging
from typing import Any

__all__ = ["log"]


def log(logger: logging.Logger, level: int, action: str, message: str, **fields: Any) -> None:
    """Write one line.

    Args:
        logger: the module's logger.
        level: of `logging`.
        action: stable name `room.entity.verb`.
        message: words for a person; no secrets.
        fields: values for machines; no secrets.
    """
    logger.log(level, message, extra={"action": action, "fields": fields})
