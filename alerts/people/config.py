"""Settings of notification: limits and times of sending, the mail server, and where messages may go."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

__all__ = ["NotifyConfig"]


class NotifyConfig(BaseModel):
    """Telling people of alarms: e-mail server, waiting, repeating, and which addresses may be called."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    enabled: bool = Field(True, description="Whether people are told of alarms at all; the console shows them anyway.")
    smtp_host: str | None = Field(None, description="Mail server for e-mail receivers; none = no e-mail is sent.")
    smtp_port: Annotated[int, Field(ge=1, le=65535)] = Field(587, description="Its TCP port.")
    smtp_security: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="`starttls` (usually 587), `tls` from the start (465), or `none` on this machine only."
    )
    smtp_user: str | None = Field(None, description="Sign-in name at the mail server; none = no sign-in.")
    smtp_password: str | None = Field(
        None, repr=False, description="Password there.", json_schema_extra={"secret": True}
    )
    smtp_from: str = Field("hanlu@localhost", description="Sender's address.")
    smtp_ca_file: Path | None = Field(
        None, description="PEM file of the CA that made the mail server's certificate; none = the system's roots."
    )
    allow_http_hosts: tuple[str, ...] = Field(
        (), description="Hosts that webhooks may reach by plain http; this machine always may be."
    )
    allow_networks: tuple[str, ...] = Field(
        (),
        description="Private networks webhooks and bots may reach, as CIDR; public addresses always may be. Who may"
        " edit receivers may then have messages posted to every service there, this machine's with 127.0.0.0/8.",
    )
    group_wait_s: float = Field(
        20.0,
        ge=0,
        le=600,
        description="How long the first alarm of a site waits for others to share its message, seconds.",
    )
    critical_wait_s: float = Field(3.0, ge=0, le=600, description="The same for alarms of priority critical, seconds.")
    group_interval_s: float = Field(
        120.0, ge=0, le=3600, description="Least time between two messages about one site to one receiver, seconds."
    )
    repeat_s: float = Field(
        300.0, ge=0, le=86400, description="A message about just the same is not sent again within this, seconds."
    )
    digest_from: int = Field(
        4, ge=2, le=100, description="From so many messages waiting for one receiver they become one."
    )
    connect_s: float = Field(5.0, gt=0, le=60, description="Longest wait for a connection to a channel, seconds.")
    deadline_s: float = Field(
        15.0, gt=0, le=120, description="Longest whole attempt, from connecting to the answer's end, seconds."
    )
    attempts: int = Field(12, ge=1, le=100, description="Attempts of one message before it has failed.")
    retry_first_s: float = Field(5.0, gt=0, le=600, description="Pause before the second attempt, seconds; doubles.")
    retry_max_s: float = Field(600.0, gt=0, le=86400, description="Longest pause between two attempts, seconds.")
    give_up_s: float = Field(
        21600.0, gt=0, le=604800, description="A message not sent so long after it was due has failed, seconds."
    )
    workers: int = Field(8, ge=1, le=64, description="Messages under way at once, each to another receiver.")
    slow_workers: int = Field(
        3, ge=1, le=64, description="Of these at most for receivers that did not answer the last time."
    )
    link_life_s: float = Field(
        43200.0, gt=0, le=604800, description="How long a link that acknowledges holds, seconds."
    )
    poll_s: float = Field(1.0, gt=0, le=60, description="Seconds between looks for what is due when nothing wakes.")

    @field_validator("allow_networks")
    @classmethod
    def _networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        for each in networks:
            ip_network(each)
        return networks
