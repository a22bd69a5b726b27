"""The main job on real input: exports of real frozen rooms, replayed into a running system that is killed meanwhile.

What must be on record is worked out here from the files alone, with `csv` and `datetime`, and not with the code that
plays them.
"""

from __future__ import annotations

import csv
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import psycopg
import pytest
from fix_running import RunningHanlu, running_hanlu
from fix_services import wait_until
from fix_shared import shared_dir

pytestmark = [pytest.mark.postgres, pytest.mark.broker, pytest.mark.slow]

ROLES = "ingest,alerts,trace,web"
LOCAL = timezone(timedelta(hours=-3))
"""Both rooms' exports are in local time without an offset."""
REPLAY_S = 300.0

MINUTES = {  # cam_congelados_1min.csv
    "Ambient Temperature (°C)": "air_temperature",
    "Compressor 1 ()": "compressor_1",
    "Compressor 2 ()": "compressor_2",
    "Defrost Activation Command ()": "defrost_command",
    "Defrost Status ()": "defrost",
    "Defrost Temperature (°C)": "defrost_temperature",
    "Evaporator Temperature (°C)": "evaporator_temperature",
    "Suction Temperature (°C)": "suction_temperature",
    "SuperHeat 1 (°K)": "superheat_1",
    "SuperHeat 2 (°K)": "superheat_2",
}
DIRTY = {  # atacadao_bangu_RJ__L1.csv
    "Temp ambiente": "air_temperature",
    "Comp": "compressor",
    "Degelo": "defrost",
    "Temp evap": "evaporator_temperature",
    "SH": "superheat",
    "Temp succao": "suction_temperature",
}

Values = dict[tuple[str, datetime], float]


@dataclass(frozen=True, slots=True)
class Platform:
    """What the database holds of one gateway."""

    url: str
    gateway: str

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(statement, {"gateway": self.gateway}).fetchall()

    def values(self) -> Values:
        rows = self.rows(
            "SELECT c.metric, r.observed_at, r.value FROM telemetry.reading AS r"
            " JOIN registry.channel_v AS c USING (channel_id) WHERE c.gateway = %(gateway)s"
        )
        found = {(metric, at): value for metric, at, value in rows}
        assert len(found) == len(rows), "a reading is stored twice"
        return found

    def lost(self) -> dict[tuple[str, str], int]:
        """Return cells declared lost, by metric and reason."""
        return {
            (channel.rpartition("/")[2], reason): int(count)
            for channel, reason, count in self.rows(
                "SELECT l.channel, l.reason, sum(l.reading_count) FROM telemetry.loss AS l"
                " JOIN registry.gateway AS g USING (gateway_id) WHERE g.code = %(gateway)s GROUP BY 1, 2"
            )
        }

    def account(self) -> dict[str, int]:
        names = ("produced", "stored", "duplicate", "lost", "dead", "outstanding")
        rows = self.rows(
            f"SELECT {', '.join(names)} FROM telemetry.gateway_account"
            " JOIN registry.gateway USING (gateway_id) WHERE code = %(gateway)s"
        )
        return dict(zip(names, rows[0] if rows else [0] * len(names), strict=True))

    def gaps(self) -> int:
        return self.rows(
            "SELECT count(*) FROM telemetry.gap JOIN registry.gateway USING (gateway_id) WHERE code = %(gateway)s"
        )[0][0]

    def dead_letters(self) -> int:
        return self.rows("SELECT count(*) FROM telemetry.dead_letter WHERE gateway = %(gateway)s")[0][0]

    def alarms(self) -> list[tuple[datetime, datetime | None, float, bool]]:
        """Return (exceeded, returned, peak, replayed) of the alarms by high air temperature once all is judged."""
        wait_until(self.is_judged, "the alarm engine has read everything", 60)
        return self.rows(
            "SELECT a.exceeded_at, a.returned_at, a.peak, a.replayed FROM alerts.alarm AS a"
            " JOIN registry.channel_v AS c USING (channel_id)"
            " WHERE c.gateway = %(gateway)s AND a.kind = 'high' AND c.metric = 'air_temperature' ORDER BY 1"
        )

    def is_judged(self) -> bool:
        ((behind,),) = self.rows(
            "SELECT count(*) FROM telemetry.arrival AS t WHERE (t.txid, t.arrival_id) >"
            " (SELECT c.txid, c.arrival_id FROM alerts.cursor AS c WHERE c.name = 'engine')"
        )
        return behind == 0


@pytest.fixture(scope="module")
def hanlu() -> Iterator[RunningHanlu]:
    with running_hanlu(roles=ROLES, environment={"HANLU_SUPERVISOR__BACKOFF_FIRST_S": "0.1"}) as one:
        yield one


def local(text: str, form: str = "%Y-%m-%d %H:%M") -> datetime:
    return datetime.strptime(" ".join(text.split()), form).replace(tzinfo=LOCAL).astimezone(UTC)


def read_clean(path: Path) -> Values:
    with path.open(encoding="utf-8", newline="") as file:
        return {
            (metric, local(row["Data"], "%d/%m/%Y %H:%M:%S")): float(row[header])
            for row in csv.DictReader(file)
            for header, metric in MINUTES.items()
        }


def read_dirty(path: Path) -> tuple[Values, dict[tuple[str, str], int]]:
    """Return the values, decimal commas resolved, and the missing cells by metric and reason."""
    values: Values = {}
    missing: Counter[tuple[str, str]] = Counter()
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter=";"):
            at = local(row["Data"], "%Y-%m-%d %H:%M:%S.%f")
            for header, metric in DIRTY.items():
                if row[header].strip() == "---":
                    missing[metric, "no_value"] += 1
                else:
                    values[metric, at] = float(row[header].replace(",", "."))
    return values, dict(missing)


def known_excursions() -> list[tuple[datetime, datetime, int, float]]:
    """Return (first, last, minutes, peak) above -15 °C, computed by others from the same file."""
    path = shared_dir("real_data", "frozen_rooms", "excursions_above_-15C.csv")
    with path.open(encoding="utf-8", newline="") as file:
        return [
            (
                local(row["start"], "%Y-%m-%d %H:%M:%S"),
                local(row["end"], "%Y-%m-%d %H:%M:%S"),
                int(row["minutes"]),
                float(row["peak_C"]),
            )
            for row in csv.DictReader(file)
            if row["set"] == "cam_congelados_1min"
        ]


def replay(hanlu: RunningHanlu, path: Path, *more: str) -> dict[str, Any]:
    """Replay a file to its end and return the summary."""
    ended = hanlu.run("replay", str(path), "--time-zone=-03:00", "--json", *more, timeout_s=REPLAY_S)
    assert ended.returncode == 0, ended.stderr[-3000:]
    summary: dict[str, Any] = json.loads(ended.stdout)
    return summary


def replay_with_kills(
    hanlu: RunningHanlu, path: Path, gateway: str, cells: int, shares: tuple[float, ...], also: str
) -> dict[str, Any]:
    """Replay a file; kill ingest and the gateway each time the platform has a further share of it.

    Args:
        hanlu: the running system.
        path: the file.
        gateway: code of the replay's gateway.
        cells: of the file.
        shares: of the cells, 0 to 1, rising.
        also: a role that is killed as well the last time.
    """
    platform = Platform(hanlu.database_url, gateway)
    with hanlu.start("replay", str(path), "--time-zone=-03:00", "--json", stdout=PIPE, stderr=PIPE) as child:
        try:
            for number, share in enumerate(shares, start=1):
                await_share(child, platform, share * cells)
                kill_edge(hanlu, gateway)
                hanlu.kill("ingest")
                if number == len(shares):
                    hanlu.kill(also)
                settled = sum(platform.account()[name] for name in ("stored", "lost"))
                assert settled < cells, "everything was there before the kill"
            printed, said = child.communicate(timeout=REPLAY_S)
        except BaseException:
            child.kill()
            raise
    assert child.returncode == 0, said[-3000:]
    assert said.count("was ended by SIGKILL") == len(shares), said[-3000:]
    summary: dict[str, Any] = json.loads(printed)
    return summary


def await_share(child: Popen[str], platform: Platform, cells: float) -> None:
    end = time.monotonic() + REPLAY_S
    while platform.account()["stored"] < cells:
        assert child.poll() is None, f"the replay ended early: {child.communicate()[1][-3000:]}"
        assert time.monotonic() < end, "the replay does not advance"
        time.sleep(0.01)


def kill_edge(hanlu: RunningHanlu, gateway: str) -> None:
    """Kill the gateway's process, by the pid it says itself; a pid it had before an earlier kill is not taken."""
    status = hanlu.data / "run" / f"gateway-{gateway}.json"
    end = time.monotonic() + 30
    while time.monotonic() < end:
        pid = json.loads(status.read_text())["pid"]
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            return
        time.sleep(0.01)
    pytest.fail("the gateway is not started again")


def test_real_export_is_on_record_exactly_once_whatever_is_killed(hanlu: RunningHanlu) -> None:
    path = shared_dir("real_data", "frozen_rooms", "cam_congelados_1min.csv")
    expected = read_clean(path)
    assert len(expected) == 284_530
    platform = Platform(hanlu.database_url, "replay-cam-congelados-1min")

    first = replay_with_kills(hanlu, path, platform.gateway, len(expected), (0.2, 0.5), also="alerts")

    assert platform.values() == expected
    account = platform.account()
    assert account["stored"] == len(expected)
    assert account["produced"] == account["stored"] + account["duplicate"]
    assert (account["lost"], account["dead"], account["outstanding"]) == (0, 0, 0)
    assert (platform.gaps(), platform.dead_letters(), platform.lost()) == (0, 0, {})
    assert first["file"]["rows"] == 28_453
    assert first["missing"] == []
    check_alarms(platform)
    alarms = platform.alarms()

    again = replay(hanlu, path)

    gained = again["this_replay"]
    assert (gained["stored"], gained["lost"], gained["dead"], gained["outstanding"]) == (0, 0, 0, 0)
    assert gained["duplicate"] == gained["produced"] == len(expected)
    assert platform.values() == expected
    assert platform.alarms() == alarms


def check_alarms(platform: Platform) -> None:
    """Hold the alarms against the excursions known of this file.

    The alarm of a frozen room returns when the goods are back, so one alarm may cover several excursions; each
    excursion that lasts belongs to one alarm and no more.
    """
    alarms = platform.alarms()
    assert all(replayed for _, _, _, replayed in alarms)
    assert len({exceeded for exceeded, _, _, _ in alarms}) == len(alarms)

    def covering(first: datetime, last: datetime) -> list[tuple[datetime, datetime, float]]:
        return [
            (exceeded, returned, peak)
            for exceeded, returned, peak, _ in alarms
            if returned is not None and exceeded <= first and last < returned
        ]

    # The failure of the first day, from the first excursion of the night to goods that are cold again.
    [(exceeded, _, peak)] = covering(local("2025-06-18 06:40"), local("2025-06-18 16:39"))
    assert (exceeded, peak) == (local("2025-06-18 00:38"), 4.1)
    # The excursion of which 05:10 is the twentieth minute: the room is above -15 °C from 04:50 to 05:33.
    assert len(covering(local("2025-06-25 04:50"), local("2025-06-25 05:33"))) == 1
    # One by itself begins and ends with its excursion.
    [(exceeded, returned, peak)] = covering(local("2025-06-28 02:27"), local("2025-06-28 03:09"))
    assert (exceeded, peak) == (local("2025-06-28 02:27"), -0.3)
    assert returned <= local("2025-06-28 03:19")
    known = known_excursions()
    for first, last, minutes, peak in known:
        if minutes >= 45:  # the rule waits 35 min, and longer only for a room that is coming back
            found = covering(first, last)
            assert len(found) == 1, f"{len(found)} alarms for {first.astimezone(LOCAL)}"
            assert found[0][2] >= peak
    for exceeded, returned_or_not, _, _ in alarms:
        assert any(first <= (returned_or_not or last) and exceeded <= last for first, last, _, _ in known)


def test_dirty_export_has_every_missing_cell_declared_with_its_reason_once(hanlu: RunningHanlu) -> None:
    path = shared_dir("real_data", "frozen_rooms", "atacadao_bangu_RJ__L1.csv")
    expected, missing = read_dirty(path)
    assert sum(missing.values()) == 5_853
    cells = len(expected) + 5_853
    platform = Platform(hanlu.database_url, "replay-atacadao-bangu-rj-l1")

    replay_with_kills(hanlu, path, platform.gateway, cells, (0.3,), also="alerts")

    assert platform.values() == expected
    assert platform.lost() == missing
    account = platform.account()
    assert (account["stored"], account["lost"]) == (len(expected), 5_853)
    assert account["produced"] == account["stored"] + account["duplicate"] + account["lost"]
    assert (account["dead"], account["outstanding"], platform.gaps()) == (0, 0, 0)

    gained = replay(hanlu, path)["this_replay"]

    assert gained["duplicate"] == gained["produced"] == cells
    assert platform.lost() == missing


def test_every_kind_of_dirt_is_declared_under_its_own_reason(hanlu: RunningHanlu, tmp_path: Path) -> None:
    path = tmp_path / "炎陵 1 号冷库.csv"
    path.write_text(
        "时间,温度,门\n"
        "2026-07-01 08:00:00,-18.1,0\n"
        "2026-07-01 08:01:00,---,1\n"  # no value
        "2026-07-01 08:02:00,-18.2x,0\n"  # not a number
        "2026-07-01 08:03:00,300,0\n"  # no such temperature
        "2026-07-01 08:02:30,-18.0,0\n"  # the clock went back: two cells
        "2026-07-01 08:03:00,-18.3,1\n"  # the same minute again: the first row had no temperature, but a door
        "yesterday,-18.4,0\n"  # two cells without a time
        "2099-01-01 00:00:00,-18.4,0\n"  # two cells from the future
        "2026-07-01 08:04:00,-18.5\n"  # ragged: two cells
        "2026-07-01 08:05:00,-18.6,open\n",  # not yes or no
        encoding="utf-8",
    )
    mapping = tmp_path / "room.toml"
    mapping.write_text(
        '[time]\ncolumn = "时间"\nformat = "%Y-%m-%d %H:%M:%S"\nzone = "Asia/Shanghai"\n'
        '[[column]]\ncolumn = "温度"\ndevice = "room-1"\nmetric = "air_temperature"\nunit = "Cel"\n'
        '[[column]]\ncolumn = "门"\ndevice = "room-1"\nmetric = "door_open"\nkind = "boolean"\n',
        encoding="utf-8",
    )
    ended = hanlu.run("replay", str(path), "--mapping", str(mapping), "--json", "--zone-name", "一号冷库")
    assert ended.returncode == 0, ended.stderr
    summary = json.loads(ended.stdout)
    platform = Platform(hanlu.database_url, summary["gateway"])
    shanghai = timezone(timedelta(hours=8))

    def at(minute: int) -> datetime:
        return datetime(2026, 7, 1, 8, minute, tzinfo=shanghai)

    assert platform.values() == {
        ("air_temperature", at(0)): -18.1,
        ("door_open", at(0)): 0.0,
        ("door_open", at(1)): 1.0,
        ("door_open", at(2)): 0.0,
        ("air_temperature", at(3)): -18.3,
        ("door_open", at(3)): 0.0,
        ("air_temperature", at(5)): -18.6,
    }
    assert platform.lost() == {
        ("air_temperature", "no_value"): 1,
        ("air_temperature", "not_a_number"): 1,
        ("air_temperature", "out_of_physical_range"): 1,
        ("air_temperature", "clock_backwards"): 1,
        ("door_open", "clock_backwards"): 1,
        ("door_open", "duplicate_timestamp"): 1,
        ("air_temperature", "bad_timestamp"): 2,
        ("door_open", "bad_timestamp"): 2,
        ("air_temperature", "ragged_row"): 1,
        ("door_open", "ragged_row"): 1,
        ("door_open", "not_a_number"): 1,
    }
    account = platform.account()
    assert account["produced"] == account["stored"] + account["lost"] == 20


Refusal = tuple[tuple[str, ...], str]
REFUSALS: dict[str, Refusal] = {
    "no time zone": ((), "--time-zone"),
    "unknown zone": (("--time-zone", "Mars/Olympus"), "knows no time zone"),
    "speed": (("--time-zone", "UTC-3", "--speed", "0"), "--speed"),
    "gateway of the county": (("--time-zone", "UTC-3", "--gateway", "gw-yanling"), "give the replay another"),
    "no code": (("--time-zone", "UTC-3", "--gateway", "GW 1"), "lower-case"),
    "no profile": (("--time-zone", "UTC-3", "--limit-profile", "tropical"), "tropical is not registered"),
    "no mapping": (("--mapping", "nowhere.toml"), "nowhere.toml"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_cannot_be_played_is_refused_in_one_sentence(hanlu: RunningHanlu, name: str) -> None:
    words, sentence = REFUSALS[name]
    path = shared_dir("real_data", "frozen_rooms", "atacadao_bangu_RJ__L2.csv")
    ended = hanlu.run("replay", str(path), *words)
    assert ended.returncode in {1, 2}
    assert sentence in ended.stderr.splitlines()[-1]
    assert Platform(hanlu.database_url, "replay-atacadao-bangu-rj-l2").account()["produced"] == 0


def test_replay_without_a_running_system_says_what_to_start(tmp_path: Path, hanlu: RunningHanlu) -> None:
    elsewhere = RunningHanlu(tmp_path / "empty", hanlu.environment, hanlu.process, hanlu.output)
    path = shared_dir("real_data", "frozen_rooms", "atacadao_bangu_RJ__L2.csv")
    ended = elsewhere.run("replay", str(path), "--time-zone", "UTC-3")
    assert ended.returncode == 2
    assert "start `hanlu up` first" in ended.stderr


def test_broken_off_replay_leaves_no_process_and_goes_on(hanlu: RunningHanlu) -> None:
    path = shared_dir("real_data", "frozen_rooms", "atacadao_bangu_RJ__L2.csv")
    platform = Platform(hanlu.database_url, "replay-atacadao-bangu-rj-l2")
    words = ("replay", str(path), "--time-zone=-03:00", "--json")
    # At a speed at which the file would take a day.
    with hanlu.start(*words, "--speed", "40", stdout=PIPE, stderr=PIPE) as child:
        wait_until(lambda: platform.account()["produced"] > 0, "the first readings", 60)
        second = hanlu.run(*words)
        assert second.returncode == 1
        assert "running already" in second.stderr.splitlines()[-1]
        edge = json.loads((hanlu.data / "run" / f"gateway-{platform.gateway}.json").read_text())["pid"]
        child.send_signal(signal.SIGTERM)
        printed, said = child.communicate(timeout=30)
    assert child.returncode == 130, said
    assert json.loads(printed)["missing"] != []
    assert is_gone(edge)
    assert replay(hanlu, path)["missing"] == []


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False
