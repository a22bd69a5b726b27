"""How log lines look: `key=value` text for people and grep, or one JSON object a line for collectors.

Every line has a time (UTC, milliseconds), a level, the process, and an `action` (core/observe.py). Secrets do not get
here: nobody logs them, and URLs are written without their password.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any, Literal

from hanlu.app.settings import LogSettings

__all__ = ["JsonFormat", "TextFormat", "configure"]

_PASSWORD_IN_URL = re.compile(r"(?<=://)([^:/@\s]*):[^@\s]+(?=@)")
_BARE = re.compile(r"[^\s\"=]+")
_QUIET = ("asyncio", "paho", "urllib3", "web3", "uvicorn.access", "apscheduler")


class _Format(logging.Formatter):
    """What both formats share: the fields of a record in order."""

    def __init__(self, process: str) -> None:
        """Name the process that writes."""
        super().__init__()
        self._process = process

    def fields(self, record: logging.LogRecord) -> dict[str, Any]:
        """Return the record as ordered fields, a password inside a URL hidden."""
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        found: dict[str, Any] = {"time": when, "level": record.levelname.lower(), "process": self._process}
        found["action"] = getattr(record, "action", record.name)
        found["message"] = record.getMessage()
        found |= getattr(record, "fields", {})
        if record.exc_info:
            found["error"] = self.formatException(record.exc_info)
        return {k: _PASSWORD_IN_URL.sub(r"\1:***", v) if isinstance(v, str) else v for k, v in found.items()}


class JsonFormat(_Format):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return json.dumps(self.fields(record), ensure_ascii=False, default=str)


class TextFormat(_Format):
    """`key=value` pairs; values with blanks in JSON's quotes, so that a line stays a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; an error's traceback follows on lines of its own."""
        found = self.fields(record)
        error = found.pop("error", None)
        line = " ".join(f"{k}={_plain(v)}" for k, v in found.items())
        return f"{line}\n{error}" if error else line


def _plain(value: Any) -> str:
    text = str(value)
    return text if _BARE.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def configure(settings: LogSettings, process: str) -> None:
    """Send this process's log to standard error, where the supervisor picks it up."""
    kind: dict[Literal["text", "json"], type[_Format]] = {"text": TextFormat, "json": JsonFormat}
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(kind[settings.format](process))
    logging.basicConfig(level=settings.level, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(settings.level)))
