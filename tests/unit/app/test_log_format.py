"""Log lines: one a record, in order, an action in each, no password in any."""

from __future__ import annotations

import json
import logging
from typing import Any

from hanlu.app.log_format import JsonFormat, TextFormat


def record(message: str, **fields: Any) -> logging.LogRecord:
    made = logging.LogRecord("hanlu.app", logging.INFO, "", 0, message, None, None)
    made.created = 1792526400.25
    made.action, made.fields = "app.test.done", fields
    return made


def test_text_is_one_line_with_quotes_where_needed() -> None:
    line = TextFormat("web").format(record("all is\nwell", room="冷库 1", count=3))
    assert line == (
        "time=2026-10-20T20:00:00.250Z level=info process=web action=app.test.done "
        'message="all is\\nwell" room="冷库 1" count=3'
    )


def test_json_is_one_object_with_the_same_fields() -> None:
    line = JsonFormat("web").format(record("done", count=3))
    assert json.loads(line) == {
        "time": "2026-10-20T20:00:00.250Z",
        "level": "info",
        "process": "web",
        "action": "app.test.done",
        "message": "done",
        "count": 3,
    }


def test_password_in_a_url_is_hidden_in_message_and_fields() -> None:
    for formatter in (TextFormat("web"), JsonFormat("web")):
        line = formatter.format(record("connecting to mqtt://gw:pe%20ach@host:1", url="postgresql://u:geheim@db/x"))
        assert "pe%20ach" not in line
        assert "geheim" not in line
        assert "mqtt://gw:***@host:1" in line


def test_record_of_a_library_has_its_logger_as_action() -> None:
    made = logging.LogRecord("uvicorn.error", logging.WARNING, "", 0, "slow", None, None)
    assert "action=uvicorn.error" in TextFormat("web").format(made)
