"""A lot of Yanling yellow peaches on its way, as the events its handlers scan.

Harvest makes three lots, one a plot, and names the farm inputs that went into them; sorting and packing makes one lot
of boxes of the three. From there the boxes travel together. A lot is harvested every day at 05:30; everything about it
follows from its day, so that the same events come out whenever they are asked for, and a repeated one counts once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Any, Final, NamedTuple

from hanlu.firmware_sim import day
from hanlu.firmware_sim.county import County, lot_uri, place_uri
from hanlu.firmware_sim.physics.chance import generator
from hanlu.firmware_sim.physics.scanner import Amount, Where, document, iso, object_event, transformation_event
from hanlu.firmware_sim.physics.schedule import CHINA_OFFSET_MS, DAY_MS
from hanlu.firmware_sim.yanling import FERTILISER_GTIN, HARVEST_GTIN, PACKED_GTIN, PESTICIDE_GTIN

__all__ = ["Lots", "TimedEvent", "journey", "journeys", "lots"]

BOX_KG: Final = 2.5
_PLOTS: Final = ("a", "b", "c")
_BETWEEN_PLOTS_MS: Final = 25 * 60_000
_SEASON_DAYS: Final = 28
"""Farm inputs are bought and applied once for so many days of harvest."""
_BOUGHT_DAYS: Final = 60
_FERTILISED_DAYS: Final = 45
_SPRAYED_DAYS: Final = 21
"""Before the first harvest day; the matrine label of the demo asks for 10 days."""
_BOOKS_MS: Final = 30 * 60_000
"""So long before a harvest the grower's input records are handed in."""
_MS_PER_S: Final = 1000


class TimedEvent(NamedTuple):
    """A document that a device hands to its gateway.

    Attributes:
        at_ms: when, Unix milliseconds: the time of the event in it, or later for records kept on paper until then.
        gateway: code of the gateway.
        device: code of the scanner.
        document: an EPCISDocument with one event.
    """

    at_ms: int
    gateway: str
    device: str
    document: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Lots:
    """The lots of one day, as Digital Links, and how much of them.

    Attributes:
        harvest: one a plot, with kilograms.
        packed: the boxes.
        boxes: how many.
        fertiliser: lot of the fertiliser applied.
        pesticide: lot of the pesticide applied.
    """

    harvest: tuple[Amount, ...]
    packed: str
    boxes: int
    fertiliser: str
    pesticide: str


def lots(start_ms: int) -> Lots:
    """Return the lots of the harvest at `start_ms`; lot codes carry the local date."""
    local = datetime.fromtimestamp((start_ms + CHINA_OFFSET_MS) / _MS_PER_S, tz=UTC)
    season = datetime.fromtimestamp((_season_ms(start_ms) + CHINA_OFFSET_MS) / _MS_PER_S, tz=UTC)
    rng = generator("lots", local.date())
    code = f"YL{local:%y%m%d}"
    harvest = tuple(
        Amount(lot_uri(HARVEST_GTIN, f"{code}{plot.upper()}"), round(rng.uniform(68.0, 76.0), 1), "KGM")
        for plot in _PLOTS
    )
    boxes = int(sum(amount.quantity for amount in harvest) * rng.uniform(0.92, 0.96) / BOX_KG)
    return Lots(
        harvest=harvest,
        packed=lot_uri(PACKED_GTIN, f"{code}P"),
        boxes=boxes,
        fertiliser=lot_uri(FERTILISER_GTIN, f"SF{season:%y%m}A"),
        pesticide=lot_uri(PESTICIDE_GTIN, f"KS{season:%y%m}3"),
    )


def journey(county: County, start_ms: int) -> list[TimedEvent]:
    """Return every event of the lot harvested at `start_ms` (Unix milliseconds), in the order they are handed over.

    Times of day are relative to `start_ms`, which `day.harvest_at` puts at 05:30 local. The records of farm inputs come
    first and are the same for every lot of a season: whoever has them counts them once.
    """
    way = _Way(county, start_ms, lots(start_ms))
    stages = (way.inputs(), way.harvest(), way.precooling(), way.packing(), way.to_store(), way.to_shop(), way.sales())
    return list(chain.from_iterable(stages))


def journeys(county: County, from_ms: int, to_ms: int) -> Iterator[TimedEvent]:
    """Yield the events of all lots that are handed over after `from_ms` and not after `to_ms`, in time order."""
    first = day.harvest_at(from_ms) - 2 * DAY_MS
    harvests = range(first, to_ms + DAY_MS, DAY_MS)
    events = chain.from_iterable(journey(county, start) for start in harvests)
    yield from sorted((event for event in events if from_ms < event.at_ms <= to_ms), key=lambda event: event.at_ms)


def _season_ms(start_ms: int) -> int:
    """Return the first harvest day of the season `start_ms` falls in, as an instant at the same time of day."""
    return start_ms - (start_ms + CHINA_OFFSET_MS) // DAY_MS % _SEASON_DAYS * DAY_MS


class _Way:
    """One lot's stages; each returns its events."""

    def __init__(self, county: County, start_ms: int, these: Lots) -> None:
        self._county = county
        self._start_ms = start_ms
        self._lots = these
        self._boxes = (Amount(these.packed, these.boxes),)

    def _at(self, seconds_of_day: int) -> int:
        return self._start_ms + (seconds_of_day - day.HARVEST_S) * _MS_PER_S

    def _place(self, zone: str) -> str:
        return place_uri(self._county.zone(zone).gln)

    def _party(self, code: str) -> str:
        gln = next(each.gln for each in self._county.participants if each.code == code)
        return f"https://id.gs1.org/417/{gln}"

    def _handover(self, source: str, destination: str) -> dict[str, Any]:
        return {
            "sourceList": [{"type": "possessing_party", "source": self._party(source)}],
            "destinationList": [{"type": "possessing_party", "destination": self._party(destination)}],
        }

    def _scan(self, scanner: str, at_ms: int, event: dict[str, Any]) -> TimedEvent:
        gateway = next(device.gateway for device in self._county.devices if device.code == scanner)
        return TimedEvent(at_ms, gateway, scanner, document([event], at_ms))

    def _move(
        self, scanner: str, seconds: int, step: str, disposition: str, to: str, more: dict[str, Any] | None = None
    ) -> TimedEvent:
        """Return the scan of all boxes coming to zone `to`."""
        at_ms = self._at(seconds)
        where = Where(self._place(to), self._place(to))
        return self._scan(scanner, at_ms, object_event(at_ms, step, disposition, where, self._boxes, more=more))

    def inputs(self) -> Iterator[TimedEvent]:
        """Farm inputs bought and applied before the season; the same events for every lot of the season."""
        season = _season_ms(self._start_ms)
        fertiliser = Amount(self._lots.fertiliser, 25.0)
        pesticide = Amount(self._lots.pesticide, 24.0)
        field = Where(self._place("plot-a"), self._place("plot-a"))
        bought = season - _BOUGHT_DAYS * DAY_MS
        for amount, facts in (
            (fertiliser, {"hanlu:registration": "微生物肥(2024)准字(0000)号(演示)", "hanlu:kind": "生物有机肥"}),
            (pesticide, {"hanlu:registration": "PD20240000(演示)", "hanlu:preHarvestIntervalDays": 10}),
        ):
            more = {"ilmd": facts, **self._handover("inputs", "growers")}
            event = object_event(bought, "commissioning", "active", field, [amount], action="ADD", more=more)
            yield self._scan("scanner-1", self._start_ms - _BOOKS_MS, event)
        for amount, days, dose in ((fertiliser, _FERTILISED_DAYS, "40 kg/亩"), (pesticide, _SPRAYED_DAYS, "60 ml/亩")):
            applied = season - days * DAY_MS
            more = {"hanlu:work": "施肥" if amount is fertiliser else "植保", "hanlu:dose": dose}
            event = object_event(applied, "other", "in_progress", field, [amount], more=more)
            yield self._scan("scanner-1", self._start_ms - _BOOKS_MS, event)

    def harvest(self) -> Iterator[TimedEvent]:
        """One lot a plot; farm inputs are inputs of it, so that tracing back from a box reaches them."""
        for number, (plot, amount) in enumerate(zip(_PLOTS, self._lots.harvest, strict=True)):
            at_ms = self._start_ms + number * _BETWEEN_PLOTS_MS
            used = [Amount(self._lots.fertiliser, 0.1), Amount(self._lots.pesticide, 0.08)]
            facts = {
                "cbvmda:lotNumber": amount.lot.rsplit("/", 1)[1],
                "cbvmda:harvestStartDate": iso(at_ms)[:10],
                "cbvmda:harvestEndDate": iso(at_ms)[:10],
                "cbvmda:countryOfOrigin": "CN",
                "hanlu:variety": "锦绣黄桃",
                "hanlu:cooperative": "平乐黄桃专业合作社(演示)",
                "hanlu:plot": self._county.zone(f"plot-{plot}").name_zh,
            }
            where = Where(self._place(f"plot-{plot}"), self._place(f"plot-{plot}"))
            event = transformation_event(at_ms, "commissioning", "active", where, used, [amount], more={"ilmd": facts})
            yield self._scan("scanner-1", at_ms, event)

    def precooling(self) -> Iterator[TimedEvent]:
        """The three lots go into the pre-cooler together, and are inspected when they come out."""
        into = Where(self._place("precool-1"), self._place("precool-1"))
        hall = Where(self._place("hall-1"), self._place("hall-1"))
        report = f"https://hanlu.example/reports/{self._lots.packed.rsplit('/', 1)[1]}"
        tested = {"bizTransactionList": [{"type": "testres", "bizTransaction": report}]}
        for seconds, step, disposition, where, more in (
            (day.PRECOOL_IN_S, "storing", "in_progress", into, None),
            (day.INSPECTION_S, "inspecting", "conformant", hall, tested),
        ):
            at_ms = self._at(seconds)
            event = object_event(at_ms, step, disposition, where, self._lots.harvest, more=more)
            yield self._scan("scanner-1", at_ms, event)

    def packing(self) -> Iterator[TimedEvent]:
        """Sorting and packing: three lots become boxes of one; what is sorted out is the difference in weight."""
        at_ms = self._at(day.PACKED_S)
        hall = Where(self._place("hall-1"), self._place("hall-1"))
        facts = {
            "cbvmda:lotNumber": self._lots.packed.rsplit("/", 1)[1],
            "cbvmda:bestBeforeDate": iso(at_ms + 14 * DAY_MS)[:10],
            "cbvmda:countryOfOrigin": "CN",
            "hanlu:grade": "一级 65-75 mm",
            "hanlu:netWeightKilograms": BOX_KG,
        }
        event = transformation_event(
            at_ms, "packing", "in_progress", hall, self._lots.harvest, self._boxes, more={"ilmd": facts}
        )
        yield self._scan("scanner-1", at_ms, event)

    def to_store(self) -> Iterator[TimedEvent]:
        """Into the truck, to the county's cold store, into room 1."""
        yield self._move("scanner-1", day.LOAD_ORCHARD_S, "loading", "in_progress", "truck-b01-box")
        shipped = self._handover("growers", "carrier")
        yield self._move("scanner-1", day.DEPART_ORCHARD_S, "shipping", "in_transit", "truck-b01-box", shipped)
        received = self._handover("carrier", "store")
        yield self._move("scanner-2", day.RECEIVED_STORE_S, "receiving", "in_progress", "dock-1", received)
        yield self._move("scanner-2", day.STORED_S, "storing", "sellable_not_accessible", "room-1")

    def to_shop(self) -> Iterator[TimedEvent]:
        """Before dawn into the truck again, to Changsha, into the locker."""
        tomorrow = day.NEXT_DAY_S
        yield self._move("scanner-2", tomorrow + day.LOAD_STORE_S, "loading", "in_progress", "truck-b01-box")
        shipped = self._handover("store", "carrier")
        yield self._move("scanner-2", tomorrow + day.DEPART_STORE_S, "shipping", "in_transit", "truck-b01-box", shipped)
        received = self._handover("carrier", "shop")
        yield self._move("scanner-3", tomorrow + day.RECEIVED_SHOP_S, "receiving", "in_progress", "locker-1", received)
        yield self._move("scanner-3", tomorrow + day.STOCKED_S, "stocking", "sellable_accessible", "locker-1")

    def sales(self) -> Iterator[TimedEvent]:
        """Boxes leave the locker in buyers' hands; never all of a lot on its first day."""
        left = self._lots.boxes
        place = Where(self._place("locker-1"), self._place("locker-1"))
        for number, seconds in enumerate(day.SALES_S):
            sold = left // (4 - number)
            left -= sold
            at_ms = self._at(day.NEXT_DAY_S + seconds)
            event = object_event(at_ms, "retail_selling", "retail_sold", place, [Amount(self._lots.packed, sold)])
            yield self._scan("scanner-3", at_ms, event)
