"""What a gateway that sends too much still gets."""

from __future__ import annotations

from hanlu.core.clock import ManualClock
from hanlu.ingest.admission import Admission
from hanlu.ingest.message import Delivery, Departed, Left, Outcome
from hanlu.ingest.throttle import ThrottleLimits

SIGNED = b"\xd2\x84"


def test_gateway_that_goes_on_above_its_rate_gets_its_rate_and_is_not_starved() -> None:
    clock = ManualClock()
    admission = Admission(ThrottleLimits(messages=50, bytes=1e6, refused=5, burst_s=1), clock)
    delivery = Delivery("hanlu/1/00/gw-1/live", SIGNED, clock.now_ms())
    taken = 0
    for _ in range(100):  # ten seconds at 400 messages a second, in batches of ten
        clock.advance(0.1)
        for _ in range(4):
            outcomes: list[Outcome] = [admission.judge(delivery) or Departed(1, 0) for _ in range(10)]
            taken += sum(not isinstance(each, Left) for each in outcomes)
            admission.spent([delivery] * 10, outcomes)
    assert 450 <= taken <= 700
