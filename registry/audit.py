"""The audit: who did what and when, append only (the database refuses to change or delete a line).

Source: 网络安全法 Art. 21 (logs kept six months or longer), OWASP ASVS v5.0.0 16.3 (sign-ins, refusals and changes of
rights are recorded). Lines hold no password, no token and no address; a sign-in name that does not exist is not kept
either, because people type their password there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from psycopg.types.json import Jsonb

from hanlu.core.clock import Clock, from_ms
from hanlu.db.pool import Connection, Pool, translated
from hanlu.db.queries import load_queries

__all__ = ["ACTIONS", "Audit"]

ACTIONS: Final = {
    "registry.session.open": "signed in",
    "registry.session.close": "signed out",
    "registry.session.refuse": "wrong password",
    "registry.session.wait": "tried again too soon after wrong passwords",
    "registry.session.forged": "a session cookie that was never given out",
    "registry.request.forged": "a changing request without the session's token, or from another site",
    "registry.access.refuse": "asked for something their role does not allow",
    "registry.person.add": "added a person",
    "registry.person.disable": "barred a person from signing in",
    "registry.person.enable": "let a person sign in again",
    "registry.person.password": "changed their own password",
    "registry.person.reset": "gave a person a new random password",
    "registry.gateway.add": "added a gateway",
    "registry.gateway.token": "made a one-time enrolment token",
    "registry.gateway.enrol": "a gateway enrolled its key with a token",
    "registry.gateway.refuse": "a token or signature that enrols nothing",
    "registry.gateway.renew": "a gateway renewed its key or its broker password",
    "registry.gateway.password": "gave a gateway a new broker password",
    "registry.gateway.revoke": "stopped taking anything from a gateway",
    "registry.gateway.lost": "declared lost what was missing of a gateway",
    "registry.channel.approve": "approved a channel that waited",
    "registry.channel.ignore": "put a waiting channel on the ignored list",
    "registry.channel.restore": "took a channel off the ignored list",
}
"""What this room and the application write; the other rooms add their own, `room.entity.verb`."""

_QUERIES = load_queries("hanlu.registry")


class Audit:
    """Writes lines of the audit."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        """Use `pool`, whose connections act as `hanlu_registry`."""
        self._pool = pool
        self._clock = clock

    def write(self, person_id: int | None, action: str, subject: str, detail: Mapping[str, Any]) -> None:
        """Write one line in a transaction of its own (the `audit` of registry/web.py).

        Args:
            person_id: who did it; None when nobody is signed in.
            action: `room.entity.verb`.
            subject: what it was done to, e.g. `alarm 17`.
            detail: values for a reader; JSON types only, no secrets.
        """
        with translated(), self._pool.connection() as connection:
            self.write_on(connection, person_id, action, subject, detail)

    def write_on(
        self, connection: Connection, person_id: int | None, action: str, subject: str, detail: Mapping[str, Any]
    ) -> None:
        """Write one line in the transaction of what it tells about, so that neither is there without the other."""
        connection.execute(
            _QUERIES["add_audit"],
            {
                "at": from_ms(self._clock.now_ms()),
                "person_id": person_id,
                "action": action,
                "subject": subject,
                "detail": Jsonb(dict(detail)),
            },
        )
