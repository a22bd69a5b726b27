"""A gateway's side of enrolment, without a gateway: a key, and the requests it signs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hanlu.core.wire.enrolment import EnrolRequest, RenewRequest, enrolment_statement, renewal_statement, to_text
from hanlu.core.wire.envelope import key_id, public_bytes

if TYPE_CHECKING:
    from fix_register import Register

    from hanlu.registry.enrolment import Enrolments
    from hanlu.registry.gateways import Gateways

ADDRESS = "192.0.2.7"


@dataclass(slots=True)
class EdgeKey:
    """A key made at the edge."""

    private: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def public(self) -> bytes:
        return public_bytes(self.private)

    @property
    def kid(self) -> bytes:
        return key_id(self.public)

    def enrol(self, token: str) -> EnrolRequest:
        signature = self.private.sign(enrolment_statement(token, self.public))
        return EnrolRequest(token=token, public_key=to_text(self.public), signature=to_text(signature))

    def renew(self, challenge: str, gateway: str, new: EdgeKey | None = None) -> RenewRequest:
        statement = renewal_statement(challenge, gateway, self.kid, new.public if new else None)
        return RenewRequest(
            challenge=challenge,
            gateway=gateway,
            kid=self.kid.hex(),
            signature=to_text(self.private.sign(statement)),
            new_public_key=to_text(new.public) if new else None,
            new_signature=to_text(new.private.sign(statement)) if new else None,
        )


class Door:
    """A broker's list of logins that remembers what it was told; `jammed` makes it fail."""

    def __init__(self) -> None:
        self.logins: dict[str, str | None] = {}
        self.jammed = False

    def admit(self, code: str, stored: str) -> None:
        self._open(code, stored)

    def expel(self, code: str) -> None:
        self._open(code, None)

    def _open(self, code: str, stored: str | None) -> None:
        if self.jammed:
            raise OSError("no space left on device")
        self.logins[code] = stored


@dataclass(frozen=True, slots=True)
class Enrolling:
    """The services over a fresh register."""

    register: Register
    gateways: Gateways
    enrolments: Enrolments
    door: Door

    def enrolled(self, code: str, site: str = "yanling-store") -> EdgeKey:
        """Add a gateway and enrol a key; return it."""
        from hanlu.registry.enrolment import Granted

        self.gateways.add(None, code, site)
        key = EdgeKey()
        assert isinstance(self.enrolments.enrol(key.enrol(self.gateways.token(None, code).token), ADDRESS), Granted)
        return key


@pytest.fixture
def enrolling(register: Register) -> Enrolling:
    """Gateways and enrolment over the test's own register, with a door that remembers."""
    from hanlu.registry.config import EnrolmentSettings, SignInSettings
    from hanlu.registry.enrolment import Enrolments
    from hanlu.registry.gateways import Gateways

    door, settings = Door(), EnrolmentSettings()
    return Enrolling(
        register,
        Gateways(register.pool, register.clock, register.audit, door, settings),
        Enrolments(register.pool, register.clock, register.audit, door, settings, SignInSettings()),
        door,
    )
