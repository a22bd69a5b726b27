"""What the planner looks up: receivers, rotas, policies, mutes, the calendar; read as a whole, values afterwards."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from psycopg.rows import class_row, dict_row
from pydantic import ValidationError

from hanlu.alerts.people.chain import Line, Mute
from hanlu.alerts.people.escalation import Due, NodePolicy, Policy
from hanlu.alerts.people.facts import AlarmFacts
from hanlu.alerts.people.model import Receiver
from hanlu.alerts.people.rota import Rota, on_call
from hanlu.alerts.people.workdays import Workdays
from hanlu.core.clock import from_ms
from hanlu.core.observe import log
from hanlu.db.pool import Connection
from hanlu.db.queries import load_queries

__all__ = ["Directory", "read_directory"]

_QUERIES = load_queries("hanlu.alerts.people")
_LOGGER = logging.getLogger(__name__)
_Read = TypeVar("_Read")


@dataclass(frozen=True, slots=True)
class Directory:
    """Who there is and what is agreed.

    Attributes:
        receivers: by code.
        rotas: by code.
        policies: by organisation.
        mutes: that have not ended.
        workdays: the calendar.
    """

    receivers: Mapping[str, Receiver] = field(default_factory=dict)
    rotas: Mapping[str, Rota] = field(default_factory=dict)
    policies: Mapping[int, Policy] = field(default_factory=dict)
    mutes: Sequence[Mute] = ()
    workdays: Workdays = field(default_factory=Workdays)

    def of(self, alarm: AlarmFacts) -> tuple[NodePolicy, ...]:
        """Return the policies for an alarm, from the nearest node upwards."""
        return tuple(NodePolicy(each, self.policies[each]) for each in alarm.nodes if each in self.policies)

    def lines(self, alarm: AlarmFacts, version: int, due: Due, now_ms: int) -> list[Line]:
        """Return a line for everybody a step names, each once; a rota that has nobody is a line as well."""
        targets: dict[str, None] = dict.fromkeys(due.step.receivers)
        for code in due.step.rotas:
            rota = self.rotas.get(code)
            people = on_call(rota, now_ms, self.workdays) if rota else ()
            targets |= dict.fromkeys(each.receiver for each in people) if people else {f"rota:{code}": None}
        return [
            Line(alarm, version, "call", due.number, target, self.receivers.get(target), now_ms) for target in targets
        ]


def read_directory(connection: Connection, now_ms: int) -> Directory:
    """Read the directory through `connection` (acting as hanlu_alerts).

    What this version of Hanlu cannot read is left out with an error in the log: everybody else is told all the same.
    """
    with connection.cursor(row_factory=dict_row) as cursor:
        receivers = [
            each
            for row in cursor.execute(_QUERIES["people_receivers"])
            if (each := _readable(Receiver.model_validate, row, f"receiver {row['code']}")) is not None
        ]
        rotas = [
            rota
            for row in cursor.execute(_QUERIES["people_rotas"])
            if (rota := _readable(Rota.model_validate, row["document"], f"rota {row['code']}")) is not None
        ]
        policies = {
            row["organisation_id"]: policy
            for row in cursor.execute(_QUERIES["people_policies"])
            if (policy := _readable(Policy.model_validate, row["document"], f"policy of {row['organisation_id']}"))
            is not None
        }
        overrides = {row["day"]: (row["work"], row["name"]) for row in cursor.execute(_QUERIES["people_holidays"])}
    with connection.cursor(row_factory=class_row(Mute)) as cursor:
        mutes = cursor.execute(_QUERIES["people_mutes"], {"now": from_ms(now_ms)}).fetchall()
    return Directory(
        {each.code: each for each in receivers},
        {each.code: each for each in rotas},
        policies,
        mutes,
        Workdays(overrides),
    )


def _readable(read: Callable[[Any], _Read], value: Any, what: str) -> _Read | None:
    try:
        return read(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        words = f"{what} cannot be read, nobody is told by it: {where}: {first['msg']}"
        log(_LOGGER, logging.ERROR, "alerts.people.unreadable", words)
        return None
