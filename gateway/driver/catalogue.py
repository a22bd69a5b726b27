"""The drivers there are, one line each, and their configuration by `kind`.

A driver is imported when a gateway uses it, so that a gateway carries only what it needs.
"""

from __future__ import annotations

import importlib
from typing import Annotated, Any, Final, cast

from pydantic import BeforeValidator, SerializeAsAny

from hanlu.gateway.driver.mapping import DriverConfig

__all__ = ["KINDS", "AnyDriver", "config_class"]

KINDS: Final[dict[str, str]] = {
    "csv_folder": "csv_folder:CsvFolderConfig",
    "dji": "dji:DjiConfig",
    "http_push": "http_push:HttpPushConfig",
    "lorawan": "lorawan.driver:LorawanConfig",
    "jt808": "jt808:Jt808Config",
    "mavlink": "mavlink:MavlinkConfig",
    "mavlink_tlog": "mavlink:TlogConfig",
    "modbus": "modbus:ModbusConfig",
    "mqtt_senml": "mqtt_senml:MqttSenmlConfig",
    "sparkplug": "sparkplug:SparkplugConfig",
    "ulog": "ulog:UlogConfig",
}
"""Kind to the class of its configuration, `module:Class`, modules below hanlu.gateway.driver."""


def config_class(kind: str) -> type[DriverConfig]:
    """Return the configuration class of a kind.

    Raises:
        ValueError: there is no such kind, or a library it needs is not installed; the message says what to do.
    """
    place = KINDS.get(kind)
    if place is None:
        raise ValueError(f"there is no driver {kind!r}; known are {', '.join(sorted(KINDS))}")
    module, _, name = place.partition(":")
    try:
        return cast("type[DriverConfig]", getattr(importlib.import_module(f"hanlu.gateway.driver.{module}"), name))
    except ModuleNotFoundError as error:
        raise ValueError(f"driver {kind!r} needs {error.name}, which is not installed here") from error


def _chosen(values: Any) -> DriverConfig:
    if isinstance(values, DriverConfig):
        return values
    if not isinstance(values, dict) or not isinstance(values.get("kind"), str):
        raise ValueError(f"a driver needs its `kind`, one of {', '.join(sorted(KINDS))}")
    return config_class(values["kind"]).model_validate(values)


AnyDriver = Annotated[SerializeAsAny[DriverConfig], BeforeValidator(_chosen)]
"""The configuration of any driver, chosen by its `kind`."""
