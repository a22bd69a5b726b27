"""What the planner looks up: receivers, rotas, policies, mutes, the calendar; read as a whole, values afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from psycopg.rows import class_row, dict_row

from hanlu.alerts.people.chain import Line, Mute
from hanlu.alerts.people.escalation import Due, NodePolicy, Policy
from hanlu.alerts.people.facts import AlarmFacts
from hanlu.alerts.people.model import Receiver
from hanlu.alerts.people.rota import Rota, on_call
from hanlu.alerts.people.workdays import Workdays
from hanlu.core.clock import from_ms
from hanlu.db.pool import Connection
from hanlu.db.queries import load_queries

__all__ = ["Directory", "read_directory"]

_QUERIES = load_queries("hanlu.alerts.people")


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
    """Read the directory through `connection` (acting as hanlu_alerts)."""
    with connection.cursor(row_factory=dict_row) as cursor:
        receivers = [Receiver.model_validate(row) for row in cursor.execute(_QUERIES["people_receivers"])]
        rotas = [Rota.model_validate(row["document"]) for row in cursor.execute(_QUERIES["people_rotas"])]
        policies = {
            row["organisation_id"]: Policy.model_validate(row["document"])
            for row in cursor.execute(_QUERIES["people_policies"])
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
