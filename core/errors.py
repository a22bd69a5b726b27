"""Every error Hanlu raises, split by whose fault it is and what to do about it.

Expected bad input is not an exception: decoders return `Rejected` (core/rejected.py), because a malformed message
from the field is everyday news. Translation of drivers' errors happens once per technology; HTTP status once in `app`.
"""

from __future__ import annotations

__all__ = [
    "ConflictError",
    "FatalError",
    "HanluError",
    "NotFoundError",
    "PermissionDeniedError",
    "RemoteError",
    "TransientError",
    "UsageError",
    "VerificationError",
]


class HanluError(Exception):
    """Something in Hanlu went wrong."""

    def __init__(self, message: str | None = None) -> None:
        """Keep `message`; without one the error speaks its own docstring."""
        super().__init__(message or (type(self).__doc__ or "").strip().splitlines()[0])


class RemoteError(HanluError):
    """A device or partner sent what its standard forbids: quarantine it and go on."""


class TransientError(HanluError):
    """A resource is away for the moment: try again later."""


class ConflictError(HanluError):
    """The thing exists already, or changed under our hands."""


class NotFoundError(HanluError):
    """There is no such thing here."""


class PermissionDeniedError(HanluError):
    """This person may not do that."""


class UsageError(HanluError):
    """The command or setting is wrong; the message says what to change. Exit code 2."""


class VerificationError(HanluError):
    """A proof or signature is false: never retried, always loud."""


class FatalError(HanluError):
    """The state is unknown: stop, and let recovery speak."""
