"""The systemd unit of a gateway, written out for the machine it is on."""

from __future__ import annotations

import shutil
import sys
from importlib.resources import files
from pathlib import Path
from typing import Final

from hanlu.core.errors import UsageError
from hanlu.gateway.config import GatewayConfig

__all__ = ["STATE_FOLDER", "UNIT", "install_unit", "unit_text"]

UNIT: Final = "hanlu-gateway.service"
STATE_FOLDER: Final = Path("/var/lib/hanlu-gateway")
"""The only folder the service may write to: the gateway's data lie in it."""

_AWKWARD: Final = frozenset("\"'\\%$ \t\n:")
"""Characters of a path that mean something to systemd."""


def unit_text(command: Path, config: Path) -> str:
    """Return the unit that runs `command` (the installed `hanlu`) with the configuration file `config`.

    Raises:
        UsageError: a path holds characters that mean something to systemd.
    """
    for path in (command, config):
        if _AWKWARD & set(str(path)):
            raise UsageError(f"{path}: systemd would misread this path: move it to a plainer one")
    text = files("hanlu.app").joinpath("data", UNIT).read_text(encoding="utf-8")
    suffix = ".json" if config.suffix == ".json" else ".toml"
    return text.replace("@COMMAND@", str(command)).replace("@CONFIG@", str(config)).replace("@SUFFIX@", suffix)


def install_unit(folder: Path, config_file: Path, config: GatewayConfig) -> str:
    """Write the unit for `config_file` into `folder` and return what to do next, for people.

    Raises:
        UsageError: the gateway's data lie elsewhere than the service may write, or the folder cannot be written to.
    """
    if not config.data_dir.is_relative_to(STATE_FOLDER):
        raise UsageError(f"data_dir is {config.data_dir}: the service may write below {STATE_FOLDER} only, say that")
    command = Path(shutil.which(sys.argv[0]) or sys.argv[0]).absolute()
    target = folder / UNIT
    try:
        target.write_text(unit_text(command, config_file.absolute()), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{target}: cannot be written: {error.strerror}") from error
    return f"{target} written; now: systemctl daemon-reload && systemctl enable --now hanlu-gateway"
