"""Exports of loggers to readings and declared losses; folders whose files are read once."""

from __future__ import annotations

import os
import random
import sqlite3
from pathlib import Path

import pytest
from fix_intake import KeepingIntake, at_work, soon
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from hanlu.core.clock import ManualClock, SystemClock
from hanlu.core.errors import RemoteError, UsageError
from hanlu.core.reading import Quality, Reading
from hanlu.core.rejected import Reason
from hanlu.gateway.driver.contract import Batch
from hanlu.gateway.driver.csv_folder import CsvFolderConfig, CsvImporter
from hanlu.gateway.driver.csv_shape import sniff_encoding
from hanlu.gateway.driver.folder import FileFacts

NOW_MS = 1_790_000_000_000
TEMPERATURE = {"source": "Temperature", "metric": "air_temperature", "unit": "°C"}
SHAPE = {
    "name": "handover",
    "time": {"columns": ["Time"], "format": "%Y-%m-%d %H:%M:%S", "zone": "Asia/Shanghai"},
    "columns": [TEMPERATURE],
    "device": {"code": "box-1"},
}


def config(path: Path, **changes) -> CsvFolderConfig:
    where = {"path": path, "pattern": "*.csv", "poll_s": 0.05, "stable_s": 0}
    return CsvFolderConfig.model_validate(SHAPE | {"folder": where} | changes)


def read(folder: Path, content: bytes | str, name: str = "a.csv", **changes) -> list[Batch]:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(CsvImporter(config(folder, **changes), ManualClock(NOW_MS)).pieces(FileFacts(path, "d" * 64)))


def readings(batches: list[Batch]) -> list[Reading]:
    return [reading for batch in batches for reading in batch.readings]


def test_row_becomes_a_reading_at_its_instant(tmp_path: Path) -> None:
    (batch,) = read(tmp_path, "Time,Temperature\n2026-06-01 08:00:00,-18.25\n")
    assert batch == Batch((Reading("box-1/air_temperature", "Cel", 1_780_272_000_000, -18.25),), live=False)


ELITECH = (
    "型号:,RC-5\n序列号：,EF7A-0091\n采样间隔,10分钟\n\n序号,时间,温度(℃),湿度(%RH)\n1,2026/06/01 08:00:00,4.5,88.1\n"
)
TESTO = (
    "testo 174H;;\r\nSerial No;44310222;\r\nDate/Time;Temperature [°F];Humidity [%rF]\r\n"
    "01.06.2026 08:00:00;23,9;61,5\r\n"
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "gb18030"])
def test_chinese_export_is_read_in_any_usual_encoding(tmp_path: Path, encoding: str) -> None:
    batches = read(
        tmp_path,
        ELITECH.encode(encoding),
        time={"columns": ["时间"], "format": "%Y/%m/%d %H:%M:%S", "zone": "+08:00"},
        columns=[
            {"source": "温度", "metric": "air_temperature", "unit_in_header": True, "to": "Cel"},
            {"source": "湿度(%RH)", "metric": "relative_humidity", "unit": "%RH"},
        ],
        device={"label": "序列号"},
    )
    assert readings(batches) == [
        Reading("ef7a-0091/air_temperature", "Cel", 1_780_272_000_000, 4.5),
        Reading("ef7a-0091/relative_humidity", "%RH", 1_780_272_000_000, 88.1),
    ]


def test_european_export_with_fahrenheit_in_its_header_is_converted(tmp_path: Path) -> None:
    batches = read(
        tmp_path,
        TESTO.encode("cp1252"),
        encoding="cp1252",
        decimal=",",
        time={"columns": ["Date/Time"], "format": "%d.%m.%Y %H:%M:%S", "zone": "+08:00"},
        columns=[
            {"source": "Temperature", "metric": "air_temperature", "unit_in_header": True, "to": "Cel"},
            {"source": "Humidity [%rF]", "metric": "relative_humidity", "unit": "%", "to": "%RH"},
        ],
        device={"label": "Serial No"},
    )
    assert [(each.name, each.value) for each in readings(batches)] == [
        ("44310222/air_temperature", pytest.approx(-4.5)),
        ("44310222/relative_humidity", 61.5),
    ]


def test_unit_nobody_knows_in_the_header_fails_the_file(tmp_path: Path) -> None:
    column = {"source": "Temperature", "metric": "air_temperature", "unit_in_header": True, "to": "Cel"}
    with pytest.raises(RemoteError, match="no conversion from '°R' to 'Cel'"):
        read(tmp_path, "Time,Temperature (°R)\n", columns=[column])


def test_device_comes_from_file_name_or_column(tmp_path: Path) -> None:
    by_name = read(
        tmp_path, "Time,Temperature\n2026-06-01 08:00:00,1\n", "RC5-0091_0601.csv", device={"file_name": r"^RC5-(\d+)_"}
    )
    by_column = read(
        tmp_path,
        "Time,Box,Temperature\n2026-06-01 08:00:00,Box 7,1\n2026-06-01 08:00:00,,2\n",
        device={"column": "Box"},
    )
    assert [each.name for each in readings(by_name)] == ["0091/air_temperature"]
    assert [each.name for each in readings(by_column)] == ["box-7/air_temperature"]
    assert [(each.reason, each.channel, each.count) for each in by_column[0].losses] == [("no_device", None, 1)]
    with pytest.raises(RemoteError, match="device is not to be found"):
        read(tmp_path, "Time,Temperature\n", "x.csv", device={"file_name": r"^RC5-(\d+)_"})


def test_date_and_time_in_two_columns_are_joined(tmp_path: Path) -> None:
    time = {"columns": ["Date", "Clock"], "format": "%Y-%m-%d %H:%M", "zone": "+08:00"}
    batches = read(tmp_path, "Date,Clock,Temperature\n2026-06-01,08:00,5\n", time=time)
    assert readings(batches)[0].observed_ms == 1_780_272_000_000


def test_time_without_a_zone_is_refused_and_the_message_says_what_to_add(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r'add e\.g\. zone = "Asia/Shanghai"'):
        config(tmp_path, time={"columns": ["Time"], "format": "%Y-%m-%d %H:%M:%S"})
    with pytest.raises(RemoteError, match="add `zone`"):
        read(tmp_path, "Time,Temperature\n2026-06-01T08:00:00,1\n", time={"columns": ["Time"], "format": "iso"})
    batches = read(
        tmp_path, "Time,Temperature\n2026-06-01T08:00:00+08:00,1\n", time={"columns": ["Time"], "format": "iso"}
    )
    assert readings(batches)[0].observed_ms == 1_780_272_000_000


BERLIN = {"columns": ["Time"], "format": "%Y-%m-%d %H:%M", "zone": "Europe/Berlin"}


def test_hour_that_runs_twice_is_told_apart_by_the_row_before(tmp_path: Path) -> None:
    clock = ["01:30", "02:00", "02:30", "02:00", "02:30", "03:00"]
    rows = [f"2025-10-26 {each},1" for each in clock]
    expected = [1_761_435_000_000 + 1_800_000 * step for step in range(6)]
    ascending = read(tmp_path, "Time,Temperature\n" + "\n".join(rows), time=BERLIN)
    assert [each.observed_ms for each in readings(ascending)] == expected
    descending = read(tmp_path, "Time,Temperature\n" + "\n".join(rows[::-1]), time=BERLIN, descending=True)
    assert [each.observed_ms for each in readings(descending)] == expected[::-1]
    assert {each.quality for each in readings(ascending)} == {Quality.GOOD}
    alone = read(tmp_path, "Time,Temperature\n2025-10-26 02:30,1\n", time=BERLIN)
    assert [each.quality for each in readings(alone)] == [Quality.UNCERTAIN]


def test_hour_that_was_never_shown_is_lost(tmp_path: Path) -> None:
    (batch,) = read(tmp_path, "Time,Temperature\n2025-03-30 02:30,1\n", time=BERLIN)
    assert [(loss.reason, loss.count) for loss in batch.losses] == [("impossible_time", 1)]


def test_bad_cells_are_declared_once_a_reason_under_the_digest(tmp_path: Path) -> None:
    rows = [
        "2026-06-01 08:00:00,1.5,80",
        "2026-06-01 08:10:00,ERR,81",
        "2026-06-01 08:20:00,,82",
        "2026-06-01 08:30:00,OL,83",
        "2026-06-01 08:40:00,1.5",
        "2099-06-01 08:50:00,1.5,84",
        "yesterday,1.5,85",
        "2026-06-01 09:00:00,1e999,86",
        "",
        "Average,1.5,85",
    ]
    columns = [TEMPERATURE, {"source": "RH", "metric": "relative_humidity", "unit": "%RH"}]
    (batch,) = read(
        tmp_path, "Time,Temperature,RH\n" + "\n".join(rows), columns=columns, no_record="^(Average|Max|Min)"
    )
    lost = {(loss.reason, loss.channel): loss for loss in batch.losses}
    assert {key: loss.count for key, loss in lost.items()} == {
        ("not_a_number", "box-1/air_temperature"): 2,
        ("no_value", "box-1/air_temperature"): 1,
        ("not_finite", "box-1/air_temperature"): 1,
        ("ragged_row", "box-1/air_temperature"): 1,
        ("ragged_row", "box-1/relative_humidity"): 1,
        ("impossible_time", "box-1/air_temperature"): 2,
        ("impossible_time", "box-1/relative_humidity"): 2,
    }
    of_text = lost["not_a_number", "box-1/air_temperature"]
    assert (of_text.to_ms or 0) - (of_text.from_ms or 0) == 20 * 60_000
    assert of_text.detail == "row 3: 'ERR'; row 5: 'OL'"
    assert {loss.source for loss in batch.losses} == {"csv:" + "d" * 32}
    assert len(batch.readings) + sum(loss.count for loss in batch.losses) == 8 * 2


def test_header_that_lacks_a_column_names_it(tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match=r"missing once each: 'Temperature'; the closest row is \('Time', 'Temp'\)"):
        read(tmp_path, "Time,Temp\n2026-06-01 08:00:00,1\n")
    with pytest.raises(RemoteError, match="missing once each: 'Temperature'"):
        read(tmp_path, "Time,Temperature,Temperature\n")


def test_file_longer_than_a_piece_comes_in_the_same_pieces_each_time(tmp_path: Path) -> None:
    rows = "".join(
        f"2026-06-01 {hour:02}:{minute:02}:{second:02},{minute}\n"
        for hour in range(3)
        for minute in range(60)
        for second in range(60)
    )
    batches = read(tmp_path, "Time,Temperature\n" + rows)
    again = read(tmp_path, "Time,Temperature\n" + rows)
    assert [len(batch.readings) for batch in batches] == [3_999, 4_000, 2_801]
    assert batches == again


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"decimal": ",", "delimiter": ","}, "both delimiter and decimal"),
        ({"encoding": "klingon"}, "there is no encoding 'klingon'"),
        ({"device": None}, r"say what \{device\} is"),
        ({"device": {"code": "a", "column": "b"}}, "give one of"),
        ({"device": {"file_name": "("}}, "no pattern"),
        ({"device": {"file_name": "x"}}, "exactly one group"),
        ({"columns": [TEMPERATURE, TEMPERATURE]}, "two columns become"),
        ({"time": {"columns": ["Time"], "format": "unix", "zone": "Mars/Olympus"}}, "no time zone 'Mars/Olympus'"),
        ({"columns": [TEMPERATURE | {"unit": "furlong"}]}, "furlong"),
        ({"no_record": "("}, "no pattern"),
    ],
)
def test_configuration_that_contradicts_itself_is_refused(tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises((ValidationError, UsageError), match=message):
        config(tmp_path, **changes)


def test_encoding_is_told_by_the_bytes() -> None:
    assert sniff_encoding("温度".encode("gb18030")) == "gb18030"
    assert sniff_encoding("温度".encode()[:-1]) == "utf-8", "cut in the middle of a character"
    assert sniff_encoding(b"\xff" * 100) is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(
    st.binary(max_size=400)
    | st.text(max_size=300).map(lambda text: ("Time,Temperature\n" + text).encode("utf-8", "replace"))
)
def test_any_bytes_are_rows_or_a_refusal(tmp_path: Path, content: bytes) -> None:
    try:
        batches = read(tmp_path, content)
    except RemoteError:
        return
    assert all(each.unit == "Cel" for each in readings(batches))


def test_export_cut_anywhere_is_rows_or_a_refusal(tmp_path: Path) -> None:
    whole = ELITECH.encode("gb18030")
    shape = {
        "time": {"columns": ["时间"], "format": "%Y/%m/%d %H:%M:%S", "zone": "+08:00"},
        "columns": [{"source": "温度", "metric": "air_temperature", "unit_in_header": True, "to": "Cel"}],
    }
    found = 0
    for end in range(len(whole) + 1):
        try:
            found += len(readings(read(tmp_path, whole[:end], **shape)))
        except RemoteError:
            continue
    assert found > 0


# Folders


CONTENT = "Time,Temperature\n" + "".join(f"2026-06-01 08:{minute:02}:00,{minute}\n" for minute in range(60))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def test_file_is_read_once_and_moved(folder: Path, intake: KeepingIntake) -> None:
    (folder / "a.csv").write_text(CONTENT)
    (folder / "note.txt").write_text("not for us")
    with at_work(config(folder).build(intake, SystemClock())) as working:
        soon((folder / "done" / "a.csv").exists, "the move")
        (folder / "copy.csv").write_text(CONTENT)
        soon((folder / "done" / "copy.csv").exists, "the copy's move")
    assert len(intake.readings) == 60
    assert working.counts["files"] == 1
    assert working.counts["files_repeated"] == 1
    assert (folder / "note.txt").exists()


def test_driver_says_that_it_is_alive_while_it_waits_and_with_every_chunk_it_reads(
    folder: Path, intake: KeepingIntake
) -> None:
    rows = "".join(f"2026-06-01 08:00:00,{place % 10}\n" for place in range(60_000))
    (folder / "a.csv").write_text("Time,Temperature\n" + rows, encoding="utf-8")
    beats: list[bool] = []
    patient = config(folder, folder={"path": folder, "pattern": "*.csv", "poll_s": 3_600, "stable_s": 0})
    driver = patient.build(intake, SystemClock())
    driver.beat = lambda: beats.append((folder / "done").is_dir())
    driver._round()
    assert beats.count(False) > 2 * (len(rows) >> 18), "its digest and its rows, a quarter of a megabyte at a time"
    driver.close()
    beats.clear()
    with at_work(driver):
        soon(lambda: len(beats) > 2, "signs of life between two looks")


def test_file_moves_only_after_it_is_kept(folder: Path, intake: KeepingIntake) -> None:
    (folder / "a.csv").write_text(CONTENT)
    intake.broken = True
    with at_work(config(folder).build(intake, SystemClock())) as working:
        soon(lambda: working.counts["not_written"] >= 1, "an offer")
        assert (folder / "a.csv").exists()
        intake.broken = False
        soon((folder / "done" / "a.csv").exists, "the move")
    assert len(intake.readings) == 60


def test_file_that_is_still_written_is_left_alone(folder: Path, intake: KeepingIntake) -> None:
    where = {"path": folder, "pattern": "*.CSV", "poll_s": 0.05, "stable_s": 10}
    clock = ManualClock(NOW_MS)
    driver = config(folder, folder=where).build(intake, clock)
    with at_work(driver), (folder / "a.csv").open("w") as file:
        for minute in range(3):
            file.write(CONTENT[minute * 10 : minute * 10 + 10])
            file.flush()
            clock.advance(9)
            soon(
                lambda: driver._looks.get("a.csv") is not None and driver._looks["a.csv"].size == file.tell(), "a look"
            )
        assert not intake.offered
        file.write(CONTENT[30:])
        file.flush()
        soon(lambda: driver._looks["a.csv"].size == len(CONTENT), "a look")
        clock.advance(10.1)
        soon((folder / "done" / "a.csv").exists, "the move")
    assert len(intake.readings) == 60


def test_broken_file_fails_with_its_reason_and_is_tried_again_when_put_back(
    folder: Path, intake: KeepingIntake
) -> None:
    (folder / "a.csv").write_text("Zeit;Temp\n")
    with at_work(config(folder).build(intake, SystemClock())):
        reason = folder / "failed" / "a.csv.reason"
        soon((folder / "failed" / "a.csv").exists, "the move")
        assert "missing once each: 'Time', 'Temperature'" in reason.read_text()
        (folder / "failed" / "a.csv").rename(folder / "a.csv")
        soon(lambda: len(intake.undecodable) == 2, "the second attempt")
    assert intake.undecodable[0].body == b"Zeit;Temp\n"
    assert intake.undecodable[0].source == "handover a.csv"
    assert intake.undecodable[0].why.reason is Reason.MALFORMED


def test_file_without_room_is_kept_apart(folder: Path, intake: KeepingIntake) -> None:
    (folder / "a.csv").write_text(CONTENT)
    intake.full = True
    with at_work(config(folder).build(intake, SystemClock())) as working:
        soon((folder / "failed" / "a.csv").exists, "the move")
        assert "no room for 60 of its readings" in (folder / "failed" / "a.csv.reason").read_text()
        intake.full = False
        (folder / "failed" / "a.csv").rename(folder / "a.csv")
        soon((folder / "done" / "a.csv").exists, "the move after it was put back")
    assert working.counts["refused"] == 60
    assert len(intake.readings) == 60


def test_file_left_in_place_is_read_once_even_after_a_restart(folder: Path, intake: KeepingIntake) -> None:
    where = {"path": folder, "pattern": "*.csv", "poll_s": 0.05, "stable_s": 0, "after": "leave"}
    (folder / "a.csv").write_text(CONTENT)
    (folder / "bad.csv").write_text("nothing")
    for _ in range(2):
        driver = config(folder, folder=where).build(intake, SystemClock())
        with at_work(driver):
            soon(lambda driver=driver: len(driver._settled) == 2, "both are settled")
    assert len(intake.readings) == 60
    assert len(intake.undecodable) == 1
    assert sorted(path.name for path in folder.iterdir() if path.suffix == ".csv") == ["a.csv", "bad.csv"]


@pytest.mark.parametrize("seed", range(5))
def test_reading_goes_on_behind_the_last_kept_piece_after_a_crash(
    folder: Path, intake: KeepingIntake, seed: int
) -> None:
    """The process dies at some offer, before or after the disk had the piece."""
    rows = "".join(
        f"2026-06-{day:02} {hour:02}:{minute:02}:00,{minute}\n"
        for day in range(1, 15)
        for hour in range(24)
        for minute in range(60)
    )
    (folder / "a.csv").write_text("Time,Temperature\n" + rows)
    chance = random.Random(seed)

    class Crash(BaseException):
        pass

    def before(_batch: Batch) -> None:
        if chance.random() < 0.5:
            raise Crash

    intake.before = before
    for _ in range(100):
        driver = config(folder).build(intake, SystemClock())
        try:
            driver._round()
        except Crash:
            driver.close()
            continue
        break
    driver.close()
    assert (folder / "done" / "a.csv").exists()
    assert len(intake.readings) == 14 * 24 * 60
    assert len(set(intake.readings)) == 14 * 24 * 60


def test_piece_that_is_kept_but_not_remembered_is_offered_again(
    folder: Path, intake: KeepingIntake, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "a.csv").write_text(CONTENT)
    driver = config(folder).build(intake, SystemClock())
    monkeypatch.setattr("hanlu.gateway.driver.folder_memory.Memory.keep", _failing)
    driver._round()
    assert (folder / "a.csv").exists()
    monkeypatch.undo()
    driver._round()
    driver.close()
    assert (folder / "done" / "a.csv").exists()
    assert intake.batches[0] == intake.batches[1], "the same bytes, the same readings: harmless"


def _failing(*_args: object) -> None:
    from hanlu.core.errors import TransientError

    raise TransientError("no room for the memory")


def test_changed_configuration_reads_a_half_read_file_from_its_beginning(folder: Path, intake: KeepingIntake) -> None:
    (folder / "a.csv").write_text(CONTENT)
    old = config(folder).build(intake, SystemClock())
    old._round()
    old.close()
    with sqlite3.connect(folder / ".hanlu-handover.sqlite") as db:
        db.execute("UPDATE file SET outcome = 'open'")
    (folder / "done" / "a.csv").rename(folder / "a.csv")
    new = config(folder, columns=[TEMPERATURE | {"metric": "cargo_temperature"}]).build(intake, SystemClock())
    new._round()
    new.close()
    assert {each.name for each in intake.readings} == {"box-1/air_temperature", "box-1/cargo_temperature"}
    assert len(intake.readings) == 120


def test_odd_names_empty_files_links_and_folders_do_no_harm(
    folder: Path, intake: KeepingIntake, tmp_path: Path
) -> None:
    (tmp_path / "outside.csv").write_text(CONTENT)
    (folder / "link.csv").symlink_to(tmp_path / "outside.csv")
    (folder / "empty.csv").touch()
    (folder / "folder.csv").mkdir()
    Path(os.fsdecode(bytes(folder) + b"/\xff\xfe.csv")).write_text(CONTENT)
    with at_work(config(folder).build(intake, SystemClock())) as working:
        soon(lambda: working.counts["files"] == 1, "the file with the odd name")
    assert (tmp_path / "outside.csv").exists()
    assert (folder / "empty.csv").exists()


def test_folder_that_is_not_there_is_a_mistake(tmp_path: Path, intake: KeepingIntake) -> None:
    with pytest.raises(UsageError, match="there is no folder"):
        config(tmp_path / "nowhere").build(intake, SystemClock())


def test_file_beyond_the_limit_fails(folder: Path, intake: KeepingIntake) -> None:
    where = {"path": folder, "pattern": "*.csv", "poll_s": 0.05, "stable_s": 0, "max_bytes": 100}
    (folder / "a.csv").write_text(CONTENT)
    with at_work(config(folder, folder=where).build(intake, SystemClock())):
        soon((folder / "failed" / "a.csv").exists, "the move")
    assert not intake.readings
