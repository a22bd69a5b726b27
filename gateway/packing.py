"""Batches to messages; pure. Packs what arrived together, without a timer: a message never waits for company."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hanlu.core.reading import Reading
from hanlu.core.senml import encode_json
from hanlu.core.wire.documents import Loss
from hanlu.core.wire.envelope import ContentType
from hanlu.gateway.driver.contract import Batch
from hanlu.gateway.item import Item, Kind

__all__ = ["Packing"]


@dataclass(frozen=True, slots=True)
class Packing:
    """How batches become messages.

    Attributes:
        max_readings: most readings in one message.
        replay: everything is recorded data played again, whatever the batches say.
    """

    max_readings: int = 200
    replay: bool = False

    def items(self, batches: Iterable[Batch]) -> list[Item]:
        """Return the messages of `batches`: readings in their order, replayed ones never mixed with others.

        The counts of the items sum up to the counts of the batches; what could not be read is not among them.
        """
        items: list[Item] = []
        waiting: list[Reading] = []
        waiting_replayed = self.replay
        for batch in batches:
            replayed = self.replay or batch.replayed
            if replayed is not waiting_replayed:
                items.extend(self._packs(waiting, waiting_replayed))
                waiting, waiting_replayed = [], replayed
            waiting.extend(batch.readings)
            items.extend(_loss(loss, replayed) for loss in batch.losses)
            items.extend(Item(Kind.EVENT, ContentType.EPCIS_JSON, event, replayed=replayed) for event in batch.events)
        items.extend(self._packs(waiting, waiting_replayed))
        return items

    def _packs(self, readings: Sequence[Reading], replayed: bool) -> Iterable[Item]:
        for start in range(0, len(readings), self.max_readings):
            chunk = readings[start : start + self.max_readings]
            payload = encode_json(chunk, _shared_device(chunk))
            yield Item(Kind.READING, ContentType.SENML_JSON, payload, len(chunk), replayed)


def _loss(loss: Loss, replayed: bool) -> Item:
    payload = loss.model_dump_json(exclude_none=True).encode()
    return Item(Kind.READING, ContentType.LOSS, payload, loss.count, replayed)


def _shared_device(readings: Sequence[Reading]) -> str:
    """Return `device/` when all readings are of one device, else nothing."""
    device, slash, _ = readings[0].name.partition("/")
    base = device + slash
    return base if slash and all(len(r.name) > len(base) and r.name.startswith(base) for r in readings) else ""
