"""Settings of sign-in and sessions, each with its unit and the reason for its default."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["SignInSettings"]


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
