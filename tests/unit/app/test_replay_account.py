"""What a replay's summary says: all is well only when every cell of the file has met its fate."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hanlu.app.replay_account import Account, Outcome, as_json, shortcomings, told
from hanlu.firmware_sim.replay.mapping import Column, Mapping, Place
from hanlu.firmware_sim.replay.plan import Plan
from hanlu.firmware_sim.replay.play import Summary
from hanlu.firmware_sim.replay.reader import Reason

COLUMN = Column(Place("T"), "room-1", "air_temperature", "Cel")
PLAN = Plan(
    path=Path("room.csv"),
    mapping=Mapping(Place("Time"), "unix", (COLUMN,)),
    sha256="ab" * 32,
    now_ms=0,
    rows=10,
    values=8,
    invalid=Counter({Reason.NO_VALUE: 2}),
    by_channel={COLUMN.channel: Counter({Reason.NO_VALUE: 2})},
    beside=0,
    first_ms=None,
    last_ms=None,
    channels=((COLUMN.channel, "Cel", 60.0),),
)
SENT = Summary(rows=10, values=8, invalid=Counter({Reason.NO_VALUE: 2}), lines=2, sent_again=1, complete=True)
FIRST = Outcome(PLAN, SENT, 0, Account(), Account(10, 8, 0, 2, 0), 1.0)
AGAIN = Outcome(PLAN, SENT, 0, Account(10, 8, 0, 2, 0), Account(20, 8, 10, 2, 0), 1.0)


@pytest.mark.parametrize("outcome", [FIRST, AGAIN])
def test_balanced_account_is_ok(outcome: Outcome) -> None:
    assert shortcomings(outcome) == []
    assert told(outcome)[-1].startswith("OK")
    assert as_json(outcome, "replay-room")["missing"] == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"after": Account(10, 7, 0, 2, 0)}, "the fate of 1 readings is not known"),
        ({"after": Account(10, 7, 0, 2, 1)}, "the platform refused 1 readings"),
        ({"after": Account(10, 8, 0, 2, 0, gaps=1)}, "1 ranges of messages have not arrived"),
        ({"after": Account(9, 7, 0, 2, 0)}, "accounts for 9 of the file's 10 cells"),
        ({"pending": 3}, "3 messages in the gateway's spool have no receipt"),
        ({"pending": None}, "did not say"),
        ({"sent": replace(SENT, rows=4)}, "6 of 10 rows were not played"),
        ({"sent": replace(SENT, refused=Counter({"malformed": 2}))}, "refused 2 cells: 2 malformed"),
    ],
)
def test_everything_that_is_missing_is_said(changes: dict[str, Any], words: str) -> None:
    outcome = replace(FIRST, **changes)
    found = shortcomings(outcome)
    assert len(found) == 1
    assert words in found[0]
    assert told(outcome)[-1] == f"MISSING: {found[0]}"


def test_account_of_one_replay_is_what_it_added() -> None:
    assert AGAIN.gained == Account(produced=10, stored=0, duplicate=10, lost=0, dead=0)
    assert "produced 10 = stored 0 + duplicate 10 + lost 0 + dead 0 by this replay" in "\n".join(told(AGAIN))
    assert as_json(AGAIN, "replay-room")["this_replay"]["outstanding"] == 0
