"""Settings as text for people: the values in force with secrets hidden, and the reference page of all fields."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from hanlu.app.settings import Settings

__all__ = ["as_markdown", "as_text", "hidden"]

_HIDDEN = "***"


def hidden(settings: Settings) -> dict[str, dict[str, Any]]:
    """Return section -> field -> JSON value; a secret that is set becomes `***`."""
    return {
        section: {
            name: _HIDDEN if value is not None and _is_secret(info, value) else _plain(value)
            for name, info in type(model).model_fields.items()
            for value in [getattr(model, name)]
        }
        for section, model in _sections(settings)
    }


def as_text(settings: Settings) -> str:
    """Return the values as TOML that `--config` reads again, secrets and unset fields aside."""
    lines: list[str] = []
    for section, fields in hidden(settings).items():
        lines += ["", f"[{section}]"]
        for name, value in fields.items():
            unset = value is None or value == _HIDDEN
            text = "(not set)" if value is None else _toml(value)
            lines.append(f"{'# ' if unset else ''}{name} = {text}")
    return "\n".join(lines[1:]) + "\n"


def as_markdown() -> str:
    """Return the reference page: every field with its variable, default and meaning."""
    lines = [
        "# Settings",
        "",
        "Made by `hanlu config --markdown`. A setting `web.port` stands in a settings file as `port` below `[web]`,",
        "in the environment as `HANLU_WEB__PORT`. Flags win over the environment, the environment over the file.",
    ]
    for section, annotation in ((n, i.annotation) for n, i in Settings.model_fields.items()):
        assert isinstance(annotation, type)
        assert issubclass(annotation, BaseModel)
        lines += ["", f"## {section}", "", (annotation.__doc__ or "").strip().partition("\n")[0], ""]
        lines += ["| setting | variable | default | meaning |", "|---|---|---|---|"]
        for name, info in annotation.model_fields.items():
            variable = f"`HANLU_{section.upper()}__{name.upper()}`"
            meaning = (info.description or "").replace("|", "\\|")
            lines.append(f"| `{section}.{name}` | {variable} | {_default(info)} | {meaning} |")
    return "\n".join(lines) + "\n"


def _sections(settings: Settings) -> Iterator[tuple[str, BaseModel]]:
    for name in Settings.model_fields:
        yield name, getattr(settings, name)


def _is_secret(info: FieldInfo, value: Any) -> bool:
    extra = info.json_schema_extra
    return isinstance(value, SecretStr) or (isinstance(extra, dict) and bool(extra.get("secret")))


def _default(info: FieldInfo) -> str:
    if info.default_factory is not None:
        return "(see meaning)"
    return "none" if info.default is None else f"`{_toml(_plain(info.default))}`"


def _plain(value: Any) -> Any:
    """Return a JSON value; what JSON lacks becomes text."""
    return json.loads(json.dumps(value, default=str, ensure_ascii=False))


def _toml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
