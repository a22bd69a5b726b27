"""Replays of dead letters in the database: each letter in one transaction, each attempt that changes something once.

What a crash leaves: before the commit nothing, after it everything; there is no step between. Two that try the same
letter at once: one holds its row, the other passes it by. Should that ever fail, the key of `telemetry.replay` and the
identities of arrivals and readings refuse the second. The transactions need not be on disk at once (nobody was told
anything yet): a crash merely has them done again.

A whole letter goes the way of every message, through the `Writer`. A part moves readings from the dead of their spool's
account to the stored, and an arrival without a number tells the followers of them as late data.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

from psycopg.rows import dict_row

from hanlu.core.errors import FatalError
from hanlu.core.reading import Evidence
from hanlu.core.rejected import Reason, Rejected
from hanlu.core.wire.topics import Lane, Topic, parse_topic
from hanlu.db.pool import Connection, translated
from hanlu.ingest.arrivals import Settled, insert_arrivals, keep_latest, settle
from hanlu.ingest.dead_letters import keep_losses, repeated_losses, storable
from hanlu.ingest.directory import Gateway, Snapshot
from hanlu.ingest.ledger import lock_accounts
from hanlu.ingest.message import Accepted, Dead, Departed, Outcome, Refused
from hanlu.ingest.replay import AUTOMATIC, Letter, Part, revive, taken_again, waiting_names
from hanlu.ingest.store import store_readings
from hanlu.ingest.writer import Writer

__all__ = ["Replayer"]

_UNTOLD: Final = 500
"""Characters of a reason added to a letter's detail."""


class Replayer(Writer):
    """Replays letters over a connection of its own. Not for several threads."""

    hears = False
    """What is replayed says nothing of who is connected now."""

    def __init__(self, database_url: str, most_unapproved: int) -> None:
        """Remember where to connect to.

        Args:
            database_url: libpq URL; never logged.
            most_unapproved: channel names listed as waiting, for each gateway.
        """
        super().__init__(database_url)
        self._most_unapproved = most_unapproved
        self._whole: tuple[Letter, Accepted] | None = None

    def replay(self, dead_letter_id: int, snapshot: Snapshot, now_ms: int, done_by: str) -> str | None:
        """Try a letter again and return what came of it.

        Args:
            dead_letter_id: of the letter.
            snapshot: the registry, read after the cause was mended.
            now_ms: the platform's clock, Unix milliseconds UTC.
            done_by: `keeper`, or the sign-in name of the person.

        Returns:
            The outcome when the letter is resolved, `open` when it stays or a part of it does, None when it is not
            there, resolved already, or in somebody else's hands.

        Raises:
            TransientError: the database is away; nothing is changed.
        """
        with translated(), self.connection.transaction():
            letter = self._locked(dead_letter_id)
            if letter is None:
                return None
            self.connection.execute("SET LOCAL synchronous_commit = off")
            # First the account, then the letters: the order of the worker, so that nobody waits in a circle.
            if letter.gateway_id is not None and letter.epoch is not None:
                lock_accounts(self.connection, self._queries, [(letter.gateway_id, letter.epoch)])
            self._note(letter)
            if letter.dropped or not letter.body:
                return "open"
            if letter.arrival_id is not None:
                return self._replay_part(letter, snapshot, done_by)
        return self._replay_whole(letter, taken_again(letter, snapshot, now_ms))

    def look_at(self, dead_letter_id: int, snapshot: Snapshot, now_ms: int, done_by: str) -> None:
        """Take in a new letter: list what it waits for, and try it where the registry may know better by now.

        Raises:
            TransientError: the database is away; nothing is changed.
        """
        with translated(), self.connection.transaction():
            letter = self._locked(dead_letter_id)
            if letter is None:
                return
            self._note(letter)
        if letter.reason in AUTOMATIC:
            self.replay(dead_letter_id, snapshot, now_ms, done_by)

    def close_letter(self, dead_letter_id: int) -> bool:
        """Mark an open letter as closed by a person and tell whether that was done; its readings stay dead."""
        with translated(), self.connection.transaction():
            letter = self._locked(dead_letter_id)
            if letter is None:
                return False
            self._note(letter)
            self._no_longer_waiting(letter, waiting_names(letter))
            self._resolve(letter, "closed")
        return True

    def space(self) -> list[tuple[str, int, int]]:
        """Return gateway ("" for none), bytes of bodies kept and rows, the noisiest first."""
        with translated():
            return list(self.connection.execute(self._queries["letter_space"]))

    def oldest(self, gateway: str | None, most: int, *, bodies: bool) -> list[tuple[int, int]]:
        """Return the letters to be shed first, with the bytes they hold.

        Args:
            gateway: whose letters ("" for those that name none): resolved before open ones, old before new; None for
                resolved ones of anybody.
            most: letters.
            bodies: leave out those without one.
        """
        columns = {"gateway": gateway, "most": most, "bodies": bodies}
        with translated():
            found = list(self.connection.execute(self._queries["oldest_resolved"], columns))
            if gateway is not None and len(found) < most:
                known = {each[0] for each in found}
                others = self.connection.execute(self._queries["oldest_letters"], columns)
                found += [each for each in others if each[0] not in known]
        return found[:most]

    def shed(self, dead_letter_id: int, *, fold: bool) -> bool:
        """Drop a letter's body, or fold its row as well, and tell whether that was done."""
        with translated(), self.connection.transaction():
            letter = self._locked(dead_letter_id, "lock_any_letter")
            if letter is None:
                return False
            if letter.noted:
                self._no_longer_waiting(letter, waiting_names(letter))
            query = "fold_letter" if fold else "drop_body"
            return self.connection.execute(self._queries[query], {"dead_letter_id": dead_letter_id}).rowcount == 1

    def _locked(self, dead_letter_id: int, query: str = "lock_letter") -> Letter | None:
        with self.connection.cursor(row_factory=dict_row) as cursor:
            row = cursor.execute(self._queries[query], {"dead_letter_id": dead_letter_id}).fetchone()
        return None if row is None else _letter(row)

    def _note(self, letter: Letter) -> None:
        """List what a letter waits for, once."""
        if letter.noted:
            return
        self.connection.execute(self._queries["note_letter"], {"dead_letter_id": letter.dead_letter_id})
        names = waiting_names(letter)
        if names:
            self.connection.execute(
                self._queries["add_waiting"],
                _columns(letter, names) | {"received_ms": letter.received_ms, "most": self._most_unapproved},
            )

    def _replay_whole(self, letter: Letter, outcome: Outcome) -> str | None:
        """Take a message nobody could answer for, or note why it still is one."""
        if isinstance(outcome, Accepted):
            self._whole = letter, outcome
            self.commit([outcome])
            return "taken" if self._whole is None else None
        with translated(), self.connection.transaction():
            locked = self._locked(letter.dead_letter_id)
            if locked is None:
                return None
            if isinstance(outcome, Departed):
                return self._resolve(locked, "nothing_to_store")
            assert isinstance(outcome, Refused), "decoding leaves nothing out"
            return self._refused_again(locked, outcome)

    def _transact(
        self, write: Callable[[Connection, Sequence[Outcome]], Any], outcomes: Sequence[Outcome]
    ) -> list[Any]:
        """Resolve the letter in the transaction that takes its message."""
        assert self._whole is not None
        letter, accepted = self._whole
        self._tips.clear()  # the worker's own writer moves on meanwhile
        with self.connection.transaction():
            self.connection.execute("SET LOCAL synchronous_commit = off")
            if self._locked(letter.dead_letter_id) is None:
                return []
            lock_accounts(self.connection, self._queries, [accepted.spool] if accepted.spool else [])
            # Before the message is written: should a part of it be refused for the same reason, that opens the letter
            # anew, as a part.
            self._resolve(letter, "arrived" if self._has_arrived(accepted) else "taken")
            committed = super()._transact(write, outcomes)
        self._whole = None
        return committed

    def _has_arrived(self, message: Accepted) -> bool:
        header = message.header
        row = self.connection.execute(
            self._queries["has_arrived"],
            {
                "gateway_id": message.gateway_id,
                "epoch": header.epoch if header else None,
                "seq": header.seq if header else None,
                "digest": message.digest,
            },
        ).fetchone()
        return row is not None and bool(row[0])

    def _refused_again(self, letter: Letter, refused: Refused) -> str:
        reason, detail = refused.dead.reason, storable(refused.dead.detail)
        if reason == letter.reason:
            self._keep_open(letter, detail, letter.reading_count, letter.places, changed=False)
            return "open"
        renamed = self.connection.execute(
            self._queries["rename_letter"],
            {"dead_letter_id": letter.dead_letter_id, "reason": reason, "detail": detail},
        ).fetchone()
        return "open" if renamed is not None else self._resolve(letter, "joined")

    def _replay_part(self, letter: Letter, snapshot: Snapshot, done_by: str) -> str:
        """Store what is good now of the part, move its account, and keep what is still refused."""
        topic = parse_topic(letter.topic)
        gateway = _owner(snapshot, letter)
        part = revive(letter, gateway) if gateway and isinstance(topic, Topic) else None
        if part is None or isinstance(part, Rejected) or not isinstance(topic, Topic):
            self._keep_open(letter, _with(letter.detail, part), letter.reading_count, letter.places, changed=False)
            return "open"
        settled, arrival_id = self._store(letter, topic, part)
        refused = [*part.good.dead, *settled.dead]
        found = len(settled.values) + settled.duplicate + settled.message.lost_count
        if letter.is_whole_payload:
            refused += _missing(letter, found + sum(each.reading_count for each in refused))
        revived = min(found, letter.reading_count)
        own = [each for each in refused if each.reason == letter.reason]
        moved = [each for each in refused if each.reason != letter.reason]
        before, names = waiting_names(letter), Counter[tuple[str, str]]()
        changed = bool(revived or moved)
        if changed:
            self._account(letter, settled, arrival_id, revived, done_by)
        for each in moved:
            self._add_to_letter(letter, each)
        outcome = self._conclude(letter, part, own, changed=changed)
        if outcome == "open":
            kept = self._locked(letter.dead_letter_id)
            names = waiting_names(kept) if kept else names
        self._no_longer_waiting(letter, before - names)
        return outcome

    def _store(self, letter: Letter, topic: Topic, part: Part) -> tuple[Settled, int | None]:
        """Store the good readings and return them with the arrival that tells of them, None when there is no news."""
        connection, queries = self.connection, self._queries
        if letter.gateway_id is None:
            raise FatalError(f"dead letter {letter.dead_letter_id} belongs to an arrival without a gateway")
        message = Accepted(
            Topic(topic.partition, topic.gateway, Lane.BACKLOG),
            letter.gateway_id,
            letter.received_ms,
            letter.body,
            _identity(letter),
            None,
            letter.evidence,
            [],
            [],
            [],
        )._replace(**part.good._replace(dead=())._asdict(), loss=part.loss)
        fates = _fates(connection, queries, message) if message.values else None
        (settled,) = settle([message], fates, repeated_losses(connection, queries, [message]))
        told = Settled(settled.message, settled.channel_ids, settled.observed_ms, settled.values, settled.duplicate, ())
        if not (settled.values or settled.duplicate or settled.message.lost_count):
            return settled, None
        ids = insert_arrivals(connection, queries, [told])
        keep_losses(connection, queries, [told], ids)
        keep_latest(connection, queries, [told])
        connection.execute(queries["announce"])
        return settled, ids[message.gateway_id, message.digest]

    def _account(self, letter: Letter, settled: Settled, arrival_id: int | None, revived: int, done_by: str) -> None:
        counts = {
            "gateway_id": letter.gateway_id,
            "epoch": letter.epoch,
            "stored": len(settled.values),
            "duplicate": settled.duplicate,
            "lost": settled.message.lost_count,
            "revived": revived,
        }
        identity = {"dead_letter_id": letter.dead_letter_id, "attempt": letter.attempts + 1}
        self.connection.execute(
            self._queries["record_replay"], counts | identity | {"arrival_id": arrival_id, "done_by": done_by}
        )
        if letter.epoch is None:
            return
        if self.connection.execute(self._queries["revive_account"], counts).rowcount != 1:
            raise FatalError(f"the account of dead letter {letter.dead_letter_id} has fewer dead than it revives")

    def _conclude(self, letter: Letter, part: Part, own: Sequence[Dead], *, changed: bool) -> str:
        """Resolve the letter, or keep open what is refused for its own reason still."""
        left = sum(each.reading_count for each in own)
        placed = [place for each in own for place in each.places or ()]
        # Records that were refused for their form have no place and are not looked at again one by one.
        unplaced = 0 if letter.places is None else letter.reading_count - len(letter.places)
        if left + unplaced == 0:
            return self._resolve(letter, "replayed" if changed else "nothing_to_store", changed=changed)
        detail = "; ".join(each.detail for each in own) or letter.detail
        told = letter.places is not None or all(each.places is not None for each in own)
        self._keep_open(letter, detail, left + unplaced, tuple(sorted(placed)) if told else None, changed=changed)
        return "open"

    def _keep_open(
        self, letter: Letter, detail: str, reading_count: int, places: tuple[int, ...] | None, *, changed: bool
    ) -> None:
        self.connection.execute(
            self._queries["keep_letter_open"],
            {
                "dead_letter_id": letter.dead_letter_id,
                "detail": storable(detail),
                "reading_count": reading_count,
                "places": None if places is None else list(places),
                "changed": changed,
            },
        )

    def _add_to_letter(self, letter: Letter, dead: Dead) -> None:
        self.connection.execute(
            self._queries["add_to_letter"],
            {
                "arrival_id": letter.arrival_id,
                "received_ms": letter.received_ms,
                "topic": letter.topic,
                "gateway": letter.gateway,
                "reason": dead.reason,
                "detail": storable(dead.detail),
                "reading_count": dead.reading_count,
                "body": letter.body,
                "digest": letter.digest,
                "places": None if dead.places is None else list(dead.places),
            },
        )

    def _no_longer_waiting(self, letter: Letter, names: Counter[tuple[str, str]]) -> None:
        if names:
            columns = _columns(letter, names)
            del columns["units"]
            self.connection.execute(self._queries["take_waiting"], columns)

    def _resolve(self, letter: Letter, outcome: str, *, changed: bool = False) -> str:
        self.connection.execute(
            self._queries["resolve_letter"],
            {"dead_letter_id": letter.dead_letter_id, "outcome": outcome, "changed": changed},
        )
        return outcome


def _missing(letter: Letter, found: int) -> list[Dead]:
    """Return what the header counts and the payload, now that it can be read, does not hold."""
    missing = letter.reading_count - found
    detail = f"the header counts {letter.reading_count} readings, the payload holds {found}"
    return [Dead(Reason.MALFORMED, detail, missing)] if missing > 0 else []


def _fates(connection: Connection, queries: Any, message: Accepted) -> Any:
    columns = message.channel_ids, message.observed_ms, message.values, message.qualities
    return store_readings(connection, queries, *columns)


def _owner(snapshot: Snapshot, letter: Letter) -> Gateway | None:
    gateway = snapshot.gateways.get(letter.gateway or "")
    return gateway if gateway is not None and gateway.gateway_id == letter.gateway_id else None


def _identity(letter: Letter) -> bytes:
    """Return the digest of the arrival of an attempt: the same attempt cannot arrive twice."""
    words = f"hanlu replay {letter.dead_letter_id} {letter.attempts + 1} {letter.digest.hex()}"
    return hashlib.sha256(words.encode()).digest()


def _columns(letter: Letter, names: Counter[tuple[str, str]]) -> dict[str, Any]:
    return {
        "gateway_id": letter.gateway_id,
        "names": [storable(name) for name, _ in names],
        "units": [storable(unit) for _, unit in names],
        "counts": list(names.values()),
    }


def _with(detail: str, why: Rejected | Part | None) -> str:
    if not isinstance(why, Rejected) or why.detail in detail:
        return detail
    return f"{detail}; not replayed: {why.detail}"[: len(detail) + _UNTOLD]


def _letter(row: dict[str, Any]) -> Letter:
    places, epoch = row.pop("places"), row.pop("epoch")
    return Letter(
        **row | {"body": bytes(row["body"]), "digest": bytes(row["digest"]), "evidence": Evidence(row["evidence"])},
        places=None if places is None else tuple(places),
        epoch=None if epoch is None else bytes(epoch),
    )
