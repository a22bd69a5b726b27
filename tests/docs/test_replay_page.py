"""The how-to of `hanlu replay` is true: its mapping reads, its example gives the numbers it states."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from hanlu.core.clock import ManualClock
from hanlu.firmware_sim.replay.mapping import from_toml
from hanlu.firmware_sim.replay.plan import plan
from hanlu.firmware_sim.replay.reader import Reason

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "replay.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    """Return the page's only code block in that language, its indentation taken off."""
    (found,) = re.findall(rf"^( *)```{language}\n(.*?)^\1```$", PAGE, re.MULTILINE | re.DOTALL)
    indentation, text = found
    return "".join(line.removeprefix(indentation) for line in text.splitlines(keepends=True))


def test_example_gives_the_numbers_it_states(tmp_path: Path) -> None:
    path = tmp_path / "room5.csv"
    path.write_text(block("csv"), encoding="utf-8")
    made = plan(path, from_toml(block("toml")), clock=ManualClock(1_790_000_000_000))
    assert (made.cells, made.values) == (15, 10)
    assert made.invalid == Counter({Reason.NO_VALUE: 1, Reason.DUPLICATE_TIMESTAMP: 3, Reason.NOT_A_NUMBER: 1})


def test_table_names_every_reason() -> None:
    assert re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE) == [reason.value for reason in Reason]
