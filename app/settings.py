"""Every setting of Hanlu, with its meaning and unit, read once and never changed afterwards.

Values come, weakest first, from the defaults below, from one TOML or JSON file (`--config`), from environment
variables `HANLU_<SECTION>__<FIELD>`, and from the flags of a command. This is the only file that reads the
environment; all other code is handed a `Settings`. With nothing set, `hanlu up` starts its own database, broker and
chain; giving a URL replaces that one service by yours (docs/reference/config.md lists all fields).
"""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from hanlu.alerts.people.config import NotifyConfig
from hanlu.core.errors import UsageError
from hanlu.registry.config import EnrolmentSettings, SignInSettings

__all__ = [
    "MULTIPROCESS_VARIABLE",
    "BrokerSettings",
    "ChainSettings",
    "DataSettings",
    "DatabaseSettings",
    "GatewaySettings",
    "IngestSettings",
    "LogSettings",
    "MetricsSettings",
    "Settings",
    "SupervisorSettings",
    "WebSettings",
    "cache_dir",
    "default_data_folder",
    "load",
    "process_environment",
]

MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Tells a process the folder of the figures it shares with others on this machine (prometheus_client)."""

_PREFIX = "HANLU_"
_SECRET: dict[str, Any] = {"secret": True}

Port = Annotated[int, Field(ge=1, le=65535)]


class Section(BaseModel):
    """One group of settings: frozen, and an unknown name is an error, because a mistyped limit must not pass
    silently."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class DataSettings(Section):
    """Where everything lives that must survive a restart."""

    folder: Path = Field(
        default_factory=lambda: default_data_folder(),  # noqa: PLW0108 - defined below
        description="Data folder: database, broker, chain, logs, keys. `.hanlu` in a clone, else the user's data home.",
    )


class WebSettings(Section):
    """The web application: operator console, consumer and inspector pages."""

    host: str = Field(
        "127.0.0.1", description="Address to listen on. Anything but loopback belongs behind a TLS proxy."
    )
    port: Port = Field(8077, description="TCP port of the web application.")
    public_url: str | None = Field(
        None, description="Base URL printed in QR codes, without trailing slash; none = http://<host>:<port>."
    )

    @property
    def base_url(self) -> str:
        """The URL users open, without a trailing slash."""
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")


class DatabaseSettings(Section):
    """PostgreSQL: embedded unless a URL is given."""

    url: str | None = Field(
        None,
        description="postgresql:// URL of an external server (15 or newer, TimescaleDB if it has it); none = embedded.",
        json_schema_extra=_SECRET,
    )
    embedded: bool = Field(
        False, description="Set by `hanlu up`: the database at the URL is its own, so a new one gets its log at once."
    )
    timescaledb: Literal["auto", "off"] = Field(
        "auto", description="Embedded server only: build TimescaleDB into it where the machine can, or never."
    )
    debian_mirror: str | None = Field(
        None,
        description="Embedded server only: Debian archive with TimescaleDB's source; none = the one in /etc/apt.",
        json_schema_extra=_SECRET,
    )
    run_as: str = Field(
        "nobody",
        description="Embedded server started by root only: the account it runs as, for PostgreSQL refuses root.",
    )
    shared_buffers_mb: int = Field(256, ge=16, le=65536, description="Embedded server: page cache, MiB.")
    max_connections: int = Field(60, ge=10, le=1000, description="Embedded server: connections at most.")
    build_timeout_s: float = Field(
        900.0, gt=0, description="Building TimescaleDB is given up after this long, seconds."
    )


class BrokerSettings(Section):
    """MQTT broker: embedded unless a URL is given."""

    url: str | None = Field(
        None,
        description="mqtt:// or mqtts:// URL with the platform's user and password; none = embedded.",
        json_schema_extra=_SECRET,
    )
    embedded: bool = Field(
        False, description="Set by `hanlu up`: the broker at the URL is its own, so logins are written to its files."
    )
    port: Port = Field(8078, description="Embedded broker: TCP port, loopback only.")
    public_host: str | None = Field(
        None,
        min_length=1,
        max_length=253,
        description="Host gateways are told at enrolment; none = broker.url's, or with tls_port web.public_url's.",
    )
    public_port: Port | None = Field(
        None, description="Port gateways are told at enrolment; none = that of broker.url, or tls_port."
    )
    ca_file: Path | None = Field(
        None,
        description="PEM file of the CA that made the broker's certificate: trusted by the platform, told to gateways"
        " at enrolment, and where certificates of gateways are required the CA of those; none = the system's roots.",
    )
    client_certificate_file: Path | None = Field(
        None, description="External broker that asks for it: PEM certificate of the platform."
    )
    client_key_file: Path | None = Field(None, description="PEM key of that certificate.")
    tls_port: Port | None = Field(
        None, description="Embedded broker: TCP port for gateways elsewhere, with TLS; none = loopback only."
    )
    tls_host: str = Field("0.0.0.0", description="Embedded broker: address of that port.")  # noqa: S104 - TLS only
    certificate_file: Path | None = Field(
        None, description="Embedded broker: PEM certificate for tls_port (`hanlu broker certificate` makes one)."
    )
    key_file: Path | None = Field(None, description="Embedded broker: PEM key of that certificate.")
    crl_file: Path | None = Field(
        None, description="Embedded broker: PEM list of client certificates that were revoked; read at its start."
    )
    require_certificate: bool = Field(
        False, description="Embedded broker: at tls_port a gateway must show a certificate of ca_file's CA."
    )
    use_identity_as_username: bool = Field(
        False,
        description="Embedded broker: the certificate's common name, a gateway's code, is the sign-in name and replaces"
        " the password; revoking such a gateway takes crl_file.",
    )
    ask_key: str | None = Field(
        None,
        min_length=16,
        description="What a broker shows (`Authorization: Bearer`) to ask at /broker who may do what; none = nobody"
        " may ask.",
        json_schema_extra=_SECRET,
    )
    ask_from: tuple[str, ...] = Field(
        ("127.0.0.0/8", "::1/128"), description="Networks a broker may ask from; this machine unless set."
    )
    kind: Literal["auto", "mosquitto", "amqtt"] = Field(
        "auto",
        description="Embedded broker: Mosquitto where installed, else amqtt (for trials); or exactly one of them.",
    )
    max_queued_mb: int = Field(
        256, ge=1, le=65536, description="Embedded broker: queue kept for one absent client, MiB."
    )
    session_expiry_days: int = Field(
        14, ge=1, le=3650, description="Embedded broker: a client absent for this long is forgotten, days."
    )

    @field_validator("ask_from")
    @classmethod
    def _networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        for each in networks:
            ip_network(each)
        return networks

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.tls_port is not None and (self.certificate_file is None or self.key_file is None):
            raise ValueError("tls_port needs certificate_file and key_file: `hanlu broker certificate` makes them")
        if self.use_identity_as_username and not self.require_certificate:
            raise ValueError("use_identity_as_username needs require_certificate")
        if self.require_certificate and self.ca_file is None:
            raise ValueError("require_certificate needs ca_file")
        return self


class ChainSettings(Section):
    """EVM chain that anchors the log's checkpoints: embedded unless a URL is given."""

    url: str | None = Field(
        None, description="JSON-RPC URL of an EVM chain; none = embedded trial chain.", json_schema_extra=_SECRET
    )
    enabled: bool = Field(True, description="Whether checkpoints are anchored at all.")
    port: Port = Field(8079, description="Embedded chain: TCP port, loopback only.")
    chain_id: int = Field(31337, ge=1, description="Embedded chain: its EIP-155 chain id.")
    state_interval_s: int = Field(
        5, ge=1, le=3600, description="Embedded chain: seconds between writes of its state file."
    )
    embedded: bool = Field(
        False, description="Set by `hanlu up`: the chain at the URL is its own trial chain, whose accounts it may fill."
    )
    anchor_every_s: float = Field(60.0, ge=0, description="Least time between two anchors, seconds.")
    key_file: Path | None = Field(
        None,
        description="File with the sender's private key (hex); none = made by the embedded chain, 0600, data folder.",
    )


class IngestSettings(Section):
    """The ingest workers. Several share the work and take over from one another: start `hanlu run ingest` again."""

    sessions: int = Field(
        1, ge=1, le=64, description="Shares of the work: so many ingest workers work at once, further ones stand by."
    )
    lease_s: float = Field(
        5.0, gt=0, le=300, description="A frozen worker is taken over from after so many seconds; a dead one at once."
    )


class GatewaySettings(Section):
    """The gateways of the simulated county, which run on this machine; real ones have settings of their own."""

    line_port: Port = Field(
        8060, description="TCP port of the first gateway's device driver, loopback only; the others follow it."
    )


class SupervisorSettings(Section):
    """How `hanlu up` keeps its processes."""

    ready_deadline_s: float = Field(
        60.0, gt=0, description="A process that is not ready by then is restarted, seconds."
    )
    stop_deadline_s: float = Field(10.0, gt=0, description="A process that has not stopped by then is killed, seconds.")
    backoff_first_s: float = Field(0.5, gt=0, description="Pause before the first restart, seconds; doubles each time.")
    backoff_max_s: float = Field(30.0, gt=0, description="Longest pause between restarts, seconds.")
    stable_after_s: float = Field(30.0, gt=0, description="Running this long forgives earlier crashes, seconds.")
    log_max_mb: int = Field(16, ge=1, le=1024, description="Size at which a log file is rotated, MiB.")
    log_files: int = Field(4, ge=1, le=100, description="Rotated files kept for each process.")


class LogSettings(Section):
    """What the processes write to their logs."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least severity written.")
    format: Literal["text", "json"] = Field("text", description="key=value text, or one JSON object a line.")


class MetricsSettings(Section):
    """Figures for Prometheus at `/metrics`."""

    token: str | None = Field(
        None,
        min_length=16,
        description="What a scraper shows as `Authorization: Bearer`; none = only local programs are answered.",
        json_schema_extra=_SECRET,
    )
    shared_folder: Path | None = Field(
        None, description="Set by `hanlu up`: where the processes of this machine keep their figures."
    )


class Settings(Section):
    """All sections together."""

    data: DataSettings = Field(default_factory=DataSettings)
    web: WebSettings = Field(default_factory=WebSettings)
    database: DatabaseSettings = Field(default_factory=DatabaseSettings)
    broker: BrokerSettings = Field(default_factory=BrokerSettings)
    chain: ChainSettings = Field(default_factory=ChainSettings)
    ingest: IngestSettings = Field(default_factory=IngestSettings)
    gateway: GatewaySettings = Field(default_factory=GatewaySettings)
    signin: SignInSettings = Field(default_factory=SignInSettings)
    enrolment: EnrolmentSettings = Field(default_factory=EnrolmentSettings)
    supervisor: SupervisorSettings = Field(default_factory=SupervisorSettings)
    log: LogSettings = Field(default_factory=LogSettings)
    metrics: MetricsSettings = Field(default_factory=MetricsSettings)
    notify: NotifyConfig = Field(default_factory=NotifyConfig)

    def with_values(self, **sections: Mapping[str, Any]) -> Settings:
        """Return a copy with some fields replaced and checked, e.g. `with_values(web={"port": 9000})`.

        Raises:
            UsageError: if a value or name is not allowed.
        """
        return _validated(_merged(self.model_dump(), sections))


def load(
    config: Path | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, Mapping[str, Any]] | None = None,
) -> Settings:
    """Join defaults, file, environment and flags.

    Args:
        config: TOML file, or JSON when its name ends so; its tables are the sections.
        environ: the environment, None for the process's own.
        flags: section -> field -> value, from the command line; None values count as not given.

    Raises:
        UsageError: if the file cannot be read, or a name or value is not allowed; the message says which and why.
    """
    values = _from_file(config) if config else {}
    values = _merged(values, _from_environment(os.environ if environ is None else environ))
    given = {s: {k: v for k, v in fields.items() if v is not None} for s, fields in (flags or {}).items()}
    return _validated(_merged(values, given))


def process_environment() -> dict[str, str]:
    """Return the environment for child processes: ours without Hanlu's own variables, which travel by file instead."""
    return {k: v for k, v in os.environ.items() if not (k.startswith(_PREFIX) or k in {"PYTHONPATH", "PYTHONHOME"})}


def cache_dir() -> Path:
    """Return the folder for what can be built again (XDG Base Directory Specification 0.8): `~/.cache/hanlu`."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "hanlu"


def default_data_folder() -> Path:
    """Return `.hanlu` beside the code in a clone, or `~/.local/share/hanlu` for the installed wheel (XDG)."""
    root = Path(__file__).resolve().parent.parent
    if (root / "pyproject.toml").is_file():
        return root / ".hanlu"
    base = os.environ.get("XDG_DATA_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".local" / "share") / "hanlu"


def _from_file(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        values: Any = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as exc:
        raise UsageError(f"{path}: cannot read this as settings: {exc}") from exc
    if not isinstance(values, dict) or not all(isinstance(v, dict) for v in values.values()):
        raise UsageError(f"{path}: settings stand in sections, for example [web] and below it port = 8077")
    return values


def _from_environment(environ: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Pick `HANLU_WEB__PORT=8077` and the like; names without the double underscore are not settings."""
    values: dict[str, dict[str, Any]] = {}
    for name, value in environ.items():
        if not name.startswith(_PREFIX) or "__" not in name:
            continue
        section, field = name.removeprefix(_PREFIX).lower().split("__", 1)
        values.setdefault(section, {})[field] = value
    return values


def _merged(below: Mapping[str, Any], above: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {s: {**below.get(s, {}), **above.get(s, {})} for s in [*below, *(s for s in above if s not in below)]}


def _validated(values: Mapping[str, Any]) -> Settings:
    try:
        return Settings.model_validate(values)
    except ValidationError as exc:
        raise UsageError("\n".join(_sentence(e) for e in exc.errors())) from exc


def _sentence(error: Any) -> str:
    """Say one validation error the way a person would, with the nearest right name for a wrong one."""
    location = [str(part) for part in error["loc"]]
    name = ".".join(location)
    if error["type"] != "extra_forbidden":
        return f"setting {name}: {error['msg']} (given: {str(error['input'])[:60]!r})"
    known: list[str] = list(Settings.model_fields)
    if len(location) > 1:
        section = Settings.model_fields[location[0]].annotation
        known = list(getattr(section, "model_fields", {}))
    near = difflib.get_close_matches(location[-1], known, n=1)
    return f"setting {name}: there is no such setting" + (f"; did you mean {near[0]}?" if near else "")
