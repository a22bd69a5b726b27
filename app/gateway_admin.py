"""What the commands that administer gateways share: the settings in force, the database, the broker's door.

Whoever reaches the database and the data folder could write there anyway, so nobody is asked to sign in; the audit
notes that it was done at the machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from hanlu.app.running import settings_of_running
from hanlu.app.settings import Settings
from hanlu.app.wiring import broker_door, database_url
from hanlu.core.clock import SystemClock
from hanlu.db.pool import open_pool
from hanlu.registry.audit import Audit
from hanlu.registry.gateways import Gateways, Token

__all__ = ["AtTheMachine", "at_the_machine"]


@dataclass(frozen=True, slots=True)
class AtTheMachine:
    """What a command works with: the settings in force, and the gateways of the register."""

    settings: Settings
    gateways: Gateways

    def enrol_line(self, token: Token) -> str:
        """Return the line to type at the gateway."""
        from hanlu.registry.gateway_pages import enrol_command

        return enrol_command(self.settings.web.base_url, token.token)


@contextmanager
def at_the_machine(settings: Settings, *, own_config: bool) -> Iterator[AtTheMachine]:
    """Open the register of the running Hanlu, or of `settings` where a file was named for the command.

    Raises:
        UsageError: no database is named and no `hanlu up` runs.
    """
    effective = settings if own_config else settings_of_running(settings)
    pool = open_pool(database_url(effective), "hanlu_registry", name="hanlu gateways", max_size=1)
    try:
        clock = SystemClock()
        door = broker_door(effective)
        yield AtTheMachine(effective, Gateways(pool, clock, Audit(pool, clock), door, effective.enrolment))
    finally:
        pool.close()
