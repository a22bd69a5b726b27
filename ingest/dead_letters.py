"""What could not be taken, kept with its bytes and the reason, and losses a gateway declares.

The same bytes refused for the same reason are one row that counts up, so a device that repeats itself fills no disk. A
loss that names its source counts once, like a reading: a device that had no answer to it declares it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from hanlu.core.rejected import Reason
from hanlu.db.pool import Connection
from hanlu.db.queries import Queries
from hanlu.ingest.arrivals import Settled
from hanlu.ingest.binary import Int8s, Texts
from hanlu.ingest.message import Accepted, Dead, Refused

__all__ = ["keep_dead_letters", "keep_losses", "repeated_losses", "storable"]

_TOPIC_LENGTH: Final = 200
"""Characters kept of a topic: ours are below 70, and a foreign one must not outgrow the index over it."""

_DETAIL_LENGTH: Final = 4_000
"""Characters kept of what is wrong: some of it repeats the message, which is kept beside it anyway."""

_Key = tuple[str, Reason, bytes]


def keep_dead_letters(
    connection: Connection,
    queries: Queries,
    settled: Sequence[Settled],
    arrival_ids: Mapping[tuple[int, bytes], int],
    refused: Iterable[Refused],
) -> None:
    """Keep what was refused of a batch: whole messages, and parts of those that arrived.

    Args:
        connection: in a transaction.
        queries: of this room.
        settled: messages that arrived.
        arrival_ids: of those, by gateway and digest.
        refused: messages that cannot be attributed.
    """
    letters: dict[_Key, dict[str, Any]] = {}
    for each in settled:
        message = each.message
        for dead in each.dead:
            letter = _letter(str(message.topic), message.topic.gateway, dead, message.received_ms, message.body)
            letter["body_sha256"] = message.digest
            letter["arrival_id"] = arrival_ids[message.gateway_id, message.digest]
            _add(letters, letter)
    for whole in refused:
        letter = _letter(whole.topic, whole.gateway, whole.dead, whole.received_ms, whole.body)
        letter["body_sha256"] = whole.digest
        _add(letters, letter)
    if letters:
        with connection.cursor() as cursor:
            cursor.executemany(queries["keep_dead_letter"], [letters[key] for key in sorted(letters)])


def repeated_losses(connection: Connection, queries: Queries, messages: Sequence[Accepted]) -> set[int]:
    """Return which of the messages declare a loss that is on record, or that an earlier one of them declares.

    Args:
        connection: in a transaction.
        queries: of this room.
        messages: fresh ones, in their order; the answer names their indexes.
    """
    named = [
        (index, (message.gateway_id, loss.source, loss.reason, loss.channel or ""))
        for index, message in enumerate(messages)
        if (loss := message.loss) is not None and loss.source
    ]
    if not named:
        return set()
    rows = connection.execute(
        queries["list_losses"],
        {
            "gateway_ids": Int8s([identity[0] for _, identity in named]),
            "sources": Texts([identity[1] for _, identity in named]),
            "reasons": Texts([identity[2] for _, identity in named]),
            "channels": Texts([identity[3] for _, identity in named]),
        },
    )
    known = {named[place - 1][1] for (place,) in rows}
    repeated: set[int] = set()
    for index, identity in named:
        if identity in known:
            repeated.add(index)
        known.add(identity)
    return repeated


def keep_losses(
    connection: Connection,
    queries: Queries,
    settled: Iterable[Settled],
    arrival_ids: Mapping[tuple[int, bytes], int],
) -> None:
    """Keep the losses declared in a batch."""
    losses = [
        {
            "arrival_id": arrival_ids[message.gateway_id, message.digest],
            "gateway_id": message.gateway_id,
            "reason": loss.reason,
            "reading_count": loss.count,
            "channel": loss.channel,
            "from_ms": loss.from_ms,
            "to_ms": loss.to_ms,
            "detail": loss.detail,
            "source": loss.source,
        }
        for message in (each.message for each in settled)
        if (loss := message.loss) is not None
    ]
    if losses:
        with connection.cursor() as cursor:
            cursor.executemany(queries["insert_loss"], losses)


def _letter(topic: str, gateway: str | None, dead: Dead, received_ms: int, body: bytes) -> dict[str, Any]:
    return {
        "arrival_id": None,
        "received_ms": received_ms,
        "topic": storable(topic)[:_TOPIC_LENGTH],
        "gateway": gateway,
        "reason": dead.reason,
        "detail": storable(dead.detail[:_DETAIL_LENGTH]),
        "reading_count": dead.reading_count,
        "body": body,
        "places": None if dead.places is None else list(dead.places),
        "times": 1,
    }


def _add(letters: dict[_Key, dict[str, Any]], letter: dict[str, Any]) -> None:
    """Add a letter; one with the same key in the same message joins it, in another message counts it up."""
    key = (letter["topic"], letter["reason"], letter["body_sha256"])
    known = letters.setdefault(key, letter)
    if known is letter:
        return
    if letter["arrival_id"] is not None and letter["arrival_id"] == known["arrival_id"]:
        known["reading_count"] += letter["reading_count"]
        known["detail"] = f"{known['detail']}; {letter['detail']}"
        if letter["places"] is not None:
            known["places"] = sorted([*(known["places"] or ()), *letter["places"]])
    else:
        known["times"] += 1


def storable(text: str) -> str:
    """Return the text with other signs for what PostgreSQL's UTF-8 cannot hold."""
    return text.replace("\0", "\N{SYMBOL FOR NULL}").encode("utf-8", "replace").decode()
