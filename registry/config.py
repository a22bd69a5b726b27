"""Settings of sign-in, sessions and enrolment, each with its unit and the reason for its default."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["BrokerPlace", "BrokerQuestions", "EnrolmentSettings", "SignInSettings"]


class SignInSettings(BaseModel):
    """How people sign in and how long that lasts. Source: OWASP ASVS v5.0.0, 6.3.1, 7.3.1, 7.3.2."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    free_tries: int = Field(5, ge=1, le=100, description="Wrong passwords in a row before a sign-in name must wait.")
    first_lock_s: int = Field(
        15, ge=1, le=3600, description="First wait of a sign-in name, seconds; doubles each time."
    )
    max_lock_s: int = Field(900, ge=1, le=86400, description="Longest wait of a sign-in name, seconds.")
    forget_after_s: int = Field(
        86_400, ge=60, le=2_592_000, description="Wrong passwords older than this are forgotten, seconds."
    )
    address_tries: int = Field(30, ge=1, le=10_000, description="Wrong passwords from one address within its window.")
    address_window_s: int = Field(300, ge=1, le=86400, description="Window of that count, seconds.")
    session_absolute_s: int = Field(
        43_200, ge=60, le=2_592_000, description="A session ends after this long whatever happens, seconds (a shift)."
    )
    session_idle_s: int = Field(
        7_200, ge=60, le=2_592_000, description="A session ends when unused for this long, seconds."
    )
    hashing_at_once: int = Field(
        2, ge=1, le=64, description="Passwords checked at the same time; each takes 64 MiB and a core for a while."
    )


class EnrolmentSettings(BaseModel):
    """How gateways get their identity."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    token_hours: int = Field(
        24, ge=1, le=168, description="A one-time enrolment token is good for so long, hours (a day of field work)."
    )
    key_overlap_s: int = Field(
        604_800,
        ge=0,
        le=2_592_000,
        description="A replaced key counts for so long, seconds: longer than the longest outage, for what waits in the"
        " spool was signed by it. A revoked key ends at once whatever this says.",
    )
    password_overlap_s: int = Field(
        3600,
        ge=0,
        le=86_400,
        description="A replaced broker password is good for so long, seconds, where the broker asks by HTTP.",
    )
    challenge_s: int = Field(60, ge=5, le=600, description="A challenge must be signed within this time, seconds.")


@dataclass(frozen=True, slots=True)
class BrokerPlace:
    """Where gateways reach the broker, as they are told when they enrol (option `broker` of the room's pages).

    Attributes:
        host: name or address as seen from a gateway.
        port: TCP port.
        tls: speak TLS.
        ca_pem: roots to trust; None takes the gateway's system's.
    """

    host: str
    port: int
    tls: bool
    ca_pem: str | None = None


@dataclass(frozen=True, slots=True)
class BrokerQuestions:
    """Who may ask us, as a broker does, whether a client may do something (option `questions` of the room's pages).

    Attributes:
        secret: what the asker shows; None: nobody may ask.
        networks: addresses it may ask from.
        platform_user: sign-in name of the platform's own processes.
        platform_hash: of their password; None: they are signed in by other means.
    """

    secret: str | None
    networks: tuple[IPv4Network | IPv6Network, ...]
    platform_user: str
    platform_hash: str | None
