"""Enrolling this gateway with the platform: makes its key on the spot, proves it holds it, writes what it is told.

Only the public half ever leaves. Whatever breaks on the way, the same command run again goes on from there: the key in
the file is used again, and the platform answers the same key again while the token is good. Files are written whole
and readable by their owner only, the configuration last.

The platform's part of the configuration stands between two marks and is replaced at every run; what is written outside
of them, the drivers above all, stays.
"""

from __future__ import annotations

import json
import os
import ssl
import tomllib
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hanlu.core.errors import ConflictError, PermissionDeniedError, RemoteError, TransientError, UsageError
from hanlu.core.limits import CODE_PATTERN
from hanlu.core.wire.enrolment import (
    Challenge,
    Enrolled,
    EnrolRequest,
    RenewRequest,
    clean_token,
    enrolment_statement,
    renewal_statement,
    to_text,
)
from hanlu.core.wire.envelope import key_id, public_bytes
from hanlu.gateway.config import GatewayConfig
from hanlu.gateway.identity import load_or_create_key

__all__ = ["SERVICE_STATE", "Files", "Platform", "configuration", "enrol", "is_exposed", "renew"]

_BEGIN: Final = "# >>> written by `hanlu enrol`: what stands here is replaced when it runs again"
_END: Final = "# <<< what stands below is yours"
_ANSWER_S: Final = 20.0
"""Seconds to wait for the platform."""
_MOST_BYTES: Final = 1 << 20
"""Longest answer taken, bytes."""
_FEWEST: Final = 8
_MOST: Final = 100
"""Characters of a token, as `EnrolRequest` has it."""
_BELOW: Final = """
# Where devices that speak lines connect; other devices have drivers, one [[drivers]] table each.
[line]
listen = "127.0.0.1:8050"
"""

SERVICE_STATE: Final = Path("/var/lib/hanlu-gateway")
"""The folder the systemd unit lets the gateway write to."""

Answer = TypeVar("Answer", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Platform:
    """Where the platform is asked.

    Attributes:
        url: base URL, http or https, without a trailing slash.
        ca_file: PEM roots to trust for https; None takes the system's.
    """

    url: str
    ca_file: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what is no address of a web server."""
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise UsageError(f"--server {self.url}: name it like https://hanlu.example.cn")


@dataclass(frozen=True, slots=True)
class Files:
    """Where a gateway's identity is kept.

    Attributes:
        config: the gateway's configuration, TOML.
        state: folder of its key, the broker's roots and the spool; None takes `SERVICE_STATE` for a configuration in
            `/etc`, where the systemd unit looks for them, else the configuration's own folder.
    """

    config: Path
    state: Path | None = None

    @property
    def folder(self) -> Path:
        """The folder of what the gateway process itself reads and writes."""
        if self.state is not None:
            return self.state
        return SERVICE_STATE if self.config.is_relative_to("/etc") else self.config.parent

    @property
    def key(self) -> Path:
        """The private key."""
        return self.folder / "gateway.key"

    @property
    def next_key(self) -> Path:
        """A new private key, before the platform knows it."""
        return self.folder / "gateway.key.next"

    @property
    def broker_ca(self) -> Path:
        """Roots the broker's certificate is checked by."""
        return self.folder / "broker-ca.pem"

    @property
    def memory(self) -> Path:
        """Where it enrolled, for renewing."""
        return self.config.with_name("enrolment.json")


class _Memory(BaseModel):
    """What is kept of an enrolment."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    server: str
    ca_file: Path | None = None
    gateway: str = Field(pattern=rf"^{CODE_PATTERN}$")


def is_exposed(url: str) -> bool:
    """Tell whether what is said to `url` can be read on the way: no TLS, and not to this very machine."""
    parts = urlsplit(url)
    if parts.scheme == "https" or parts.hostname == "localhost":
        return False
    try:
        return not ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return True


def enrol(platform: Platform, token: str, files: Files) -> Enrolled:
    """Spend a token: make or take up the key, have it enrolled, write the configuration.

    Raises:
        UsageError: that is no token, a file there is not ours to change, or the key file cannot be used.
        PermissionDeniedError: the platform enrols nothing; the message says why and what to do.
        TransientError: the platform does not answer; run it again.
        RemoteError: what answers is not the platform.
    """
    if not _FEWEST <= len(clean_token(token)) <= _MOST:  # before a key is made, and without repeating what was typed
        raise UsageError("--token: this is no token; give the whole of it, as in the line the platform showed")
    _demand_ours(files.config)
    key = _key(files.key)
    public_key = public_bytes(key)
    signature = key.sign(enrolment_statement(token, public_key))
    asked = EnrolRequest(token=clean_token(token), public_key=to_text(public_key), signature=to_text(signature))
    enrolled = _ask(platform, "/api/enrol", asked, Enrolled)
    _keep(platform, files, enrolled)
    return enrolled


def renew(files: Files, *, new_key: bool) -> Enrolled:
    """Get a new broker password and, when asked to, announce a new key, signed by the one in force.

    The gateway takes both up when it starts again. What waits in its spool stays signed by the old key, which counts
    until the time the answer names.

    Raises:
        UsageError: this gateway never enrolled here.
        PermissionDeniedError: the platform renews nothing, for example after a revocation.
        TransientError: the platform does not answer; run it again.
        RemoteError: what answers is not the platform.
    """
    known = _remembered(files)
    platform = Platform(known.server, known.ca_file)
    key = _key(files.key)
    successor = _key(files.next_key) if new_key else None
    challenge = _ask(platform, "/api/enrol/challenge", None, Challenge).challenge
    enrolled = _ask(platform, "/api/enrol/renew", _renewal(challenge, known.gateway, key, successor), Enrolled)
    _keep(platform, files, enrolled)
    if successor is not None:
        files.next_key.replace(files.key)
        _sync_folder(files.key.parent)
    return enrolled


def configuration(present: str, enrolled: Enrolled, files: Files) -> str:
    """Return the gateway's configuration with the platform's part renewed.

    Args:
        present: what the file holds now, "" when there is none.
        enrolled: what the platform said.
        files: where things lie.

    Raises:
        UsageError: what stands outside the marks does not go with the platform's part.
    """
    broker = enrolled.broker
    values: dict[str, Any] = {
        "code": enrolled.gateway,
        "partition": enrolled.partition,
        "data_dir": str((files.folder / enrolled.gateway).absolute()),
        "key_file": str(files.key.absolute()),
        "broker.host": broker.host,
        "broker.port": broker.port,
        "broker.tls": broker.tls,
        "broker.username": broker.username,
        "broker.password": broker.password,
    }
    if broker.ca_pem is not None:
        values["broker.ca_file"] = str(files.broker_ca.absolute())
    # A JSON string, number or truth value is one of TOML as well.
    ours = [_BEGIN, *(f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in values.items()), _END]
    before, _, rest = present.partition(_BEGIN)
    below = rest.partition(_END)[2] if rest else _BELOW
    text = before + "\n".join(ours) + below
    try:
        GatewayConfig.model_validate(tomllib.loads(text))
    except ValidationError as error:
        each = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, each["loc"]))
        raise UsageError(f"{files.config}: {where}: {each['msg']}; correct what stands outside the marks") from None
    except ValueError as error:
        raise UsageError(f"{files.config}: {error}; correct what stands outside the marks") from None
    return text


def _renewal(challenge: str, gateway: str, key: Ed25519PrivateKey, successor: Ed25519PrivateKey | None) -> RenewRequest:
    kid = key_id(public_bytes(key))
    new_public = public_bytes(successor) if successor else None
    statement = renewal_statement(challenge, gateway, kid, new_public)
    return RenewRequest(
        challenge=challenge,
        gateway=gateway,
        kid=kid.hex(),
        signature=to_text(key.sign(statement)),
        new_public_key=to_text(new_public) if new_public else None,
        new_signature=to_text(successor.sign(statement)) if successor else None,
    )


def _demand_ours(config: Path) -> None:
    """Refuse to write over a configuration somebody made by hand."""
    if config.exists() and _BEGIN not in config.read_text(encoding="utf-8"):
        raise UsageError(f"{config} is there and was not written by `hanlu enrol`: name another file with --out")


def _keep(platform: Platform, files: Files, enrolled: Enrolled) -> None:
    """Write everything down, the configuration last: where it is, the rest is too."""
    present = files.config.read_text(encoding="utf-8") if files.config.exists() else ""
    if present:
        _demand_ours(files.config)
        named = _code_in(present)
        if named is not None and named != enrolled.gateway:
            raise ConflictError(
                f"{files.config} is of {named}, the token is for {enrolled.gateway}: name another file with --out"
            )
    text = configuration(present, enrolled, files)
    if enrolled.broker.ca_pem is not None:
        _write(files.broker_ca, enrolled.broker.ca_pem)
    ca_file = platform.ca_file.absolute() if platform.ca_file else None
    memory = _Memory(server=platform.url, ca_file=ca_file, gateway=enrolled.gateway)
    _write(files.memory, memory.model_dump_json(indent=1) + "\n")
    _write(files.config, text)


def _code_in(text: str) -> str | None:
    try:
        code = tomllib.loads(text).get("code")
    except ValueError:
        return None
    return code if isinstance(code, str) else None


def _remembered(files: Files) -> _Memory:
    try:
        return _Memory.model_validate_json(files.memory.read_bytes())
    except (OSError, ValueError):
        raise UsageError(f"{files.memory} does not say where this gateway enrolled: enrol it with a token") from None


def _ask(platform: Platform, path: str, body: BaseModel | None, kind: type[Answer]) -> Answer:
    """Post JSON and return the answer."""
    data = body.model_dump_json(exclude_none=True).encode() if body is not None else b""
    headers = {"Content-Type": "application/json", "Accept": "application/json", "Accept-Language": "en"}
    # The scheme was checked when the Platform was made.
    request = urllib.request.Request(platform.url + path, data, headers, method="POST")  # noqa: S310
    try:
        context = ssl.create_default_context(cafile=platform.ca_file)
        with urllib.request.urlopen(request, timeout=_ANSWER_S, context=context) as answer:  # noqa: S310
            return kind.model_validate_json(answer.read(_MOST_BYTES))
    except urllib.error.HTTPError as error:
        with error:
            raise _refusal(platform, error.code, error.read(_MOST_BYTES)) from None
    except ssl.SSLError as error:
        raise RemoteError(f"{platform.url}: {error}") from error
    except ValidationError:
        raise RemoteError(f"{platform.url}{path} does not answer as Hanlu does") from None
    except OSError as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLError):
            raise RemoteError(
                f"{platform.url}: its certificate is not trusted here ({reason}): name its CA with --ca"
            ) from error
        raise TransientError(f"{platform.url} does not answer: {reason}; run this again") from error


def _refusal(platform: Platform, status: int, body: bytes) -> PermissionDeniedError | TransientError | RemoteError:
    try:
        said: Any = json.loads(body)
    except ValueError:
        said = None
    detail = said.get("detail") if isinstance(said, Mapping) else None
    if not isinstance(detail, str):
        return RemoteError(f"{platform.url} answers {status}: is this Hanlu's address?")
    if status in {429, 503}:
        return TransientError(f"{platform.url}: {detail}")
    return PermissionDeniedError(f"{platform.url}: {detail}")


def _key(path: Path) -> Ed25519PrivateKey:
    """Return the key in `path`, made where there is none."""
    key = load_or_create_key(path)
    _to_owner_of_folder(path)
    return key


def _to_owner_of_folder(path: Path) -> None:
    """Hand a file that root wrote to whoever its folder belongs to: the account the gateway runs as."""
    if os.geteuid() == 0:
        folder = path.parent.stat()
        os.chown(path, folder.st_uid, folder.st_gid)


def _write(path: Path, text: str) -> None:
    """Replace a file at once, durably; nobody but its owner may read it at any moment."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)  # a draft left by an earlier run keeps its mode otherwise
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    _to_owner_of_folder(draft)
    draft.replace(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
