"""The commands over rules: list, show, check, import, export, history and test, on a real database."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fix_alerts import FROZEN, County, new_county

from hanlu.alerts.rules.file import parse_rules, write_rules
from hanlu.alerts.rules.model import Rule
from hanlu.alerts.rules.store import rules_in_force, seed_defaults, shipped_rules
from hanlu.app.cli import main
from hanlu.db.pool import Connection, connect

pytestmark = pytest.mark.postgres
DOOR = next(rule for rule in shipped_rules() if rule.code == "door")
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def county(postgres_url: str) -> Iterator[County]:
    """One county for all tests of this file."""
    with new_county(postgres_url) as made:
        yield made


@pytest.fixture
def connection(county: County) -> Iterator[Connection]:
    """The county with the shipped rules and no others."""
    county.query("DELETE FROM alerts.rule")
    with connect(county.url, "hanlu_alerts", name="test", autocommit=True) as connection:
        seed_defaults(connection)
        yield connection


@pytest.fixture
def rules(connection: Connection, county: County, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run `hanlu rules …` on the county; returns exit code, output and errors."""

    def run(*words: str, database: bool = True) -> tuple[int, str, str]:
        where = ["--database", county.url] if database else []
        code = main(["rules", *words, *where, "--data", str(tmp_path / "none")])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., str]:
    """Write rules into a file and return its path."""

    def write(*rules: Rule) -> str:
        path = tmp_path / "rules.toml"
        path.write_text(write_rules(rules), encoding="utf-8")
        return str(path)

    return write


def changed(**fields: object) -> Rule:
    return Rule.model_validate({**DOOR.model_dump(mode="json"), **fields})


def test_the_list_shows_rules_with_their_channels(rules: Run) -> None:
    code, out, _ = rules("list")
    assert code == 0
    assert all(rule.code in out for rule in shipped_rules())
    doors = json.loads(rules("list", "--kind", "door", "--json")[1])
    assert [(each["code"], each["version"], each["channels"]) for each in doors] == [
        ("door", 1, 1),
        ("door-pre-cooler", 1, 0),
        ("door-reefer", 1, 0),
    ]


def test_a_channel_says_what_is_in_force_there_and_why(rules: Run) -> None:
    code, out, _ = rules("list", "--channel", "gw-yanling/room-1/air_temperature")
    assert code == 0
    assert "frozen-air-high (version 1), priority 2" in out
    assert "chosen because it names: limit, sort; before air-high, limit-high" in out
    assert "setpoint -15" in out
    told = json.loads(rules("list", "--channel", "gw-yanling/room-1/air_temperature", "--json")[1])
    assert {"kind": "high", "code": "frozen-air-high"}.items() <= told["rules"][0].items()
    code, _, err = rules("list", "--channel", "gw-9/x/y")
    assert (code, "there is no channel gw-9/x/y" in err) == (2, True)


def test_one_rule_is_shown_with_its_reasons(rules: Run) -> None:
    code, out, _ = rules("show", "door")
    assert code == 0
    assert DOOR.rationalization.response_en in out
    assert "open_s        600" in out
    assert json.loads(rules("show", "door", "--json")[1])["version"] == 1
    assert rules("show", "none")[0] == 1


def test_a_file_is_checked_without_a_database_where_there_is_none(rules: Run, file: Callable[..., str]) -> None:
    code, out, err = rules("check", file(DOOR), database=False)
    assert (code, "1 rules, no error" in out) == (0, True)
    assert "checked without a database" in err
    assert rules("check", file(DOOR), "--no-database")[0] == 0


def test_a_check_tells_every_fault_and_fails(rules: Run, file: Callable[..., str]) -> None:
    path = file(changed(code="a", applies={"zone": "atlantis"}), changed(code="b", applies={"metric": "ghost"}))
    code, _, err = rules("check", path)
    assert code == 1
    assert "a: applies.zone: there is no zone atlantis." in err
    assert "warning: b: applies.metric: no channel measures ghost now." in err
    Path(path).write_text("[[rule]]\ncode = 'x'\nkind = 'door'\n", encoding="utf-8")
    code, _, err = rules("check", path)
    assert (code, "rules.toml:1: x: rationalization: is missing" in err) == (1, True)
    report = json.loads(rules("check", path, "--json")[1])
    assert report["errors"]


def test_a_check_names_the_rule_in_force_that_stands_in_the_same_place(rules: Run, file: Callable[..., str]) -> None:
    code, _, err = rules("check", file(changed(code="door-twin")))
    assert (code, "same place as rule door" in err) == (1, True)


def test_an_import_writes_only_what_differs(rules: Run, file: Callable[..., str], connection: Connection) -> None:
    path = file(changed(parameters={"open_s": 60}), next(each for each in shipped_rules() if each.code == "stuck"))
    code, out, _ = rules("import", path, "--dry-run")
    assert code == 0
    assert "~ door  changed, version 1 -> 2" in out
    assert "parameters.open_s: 600 -> 60" in out
    assert "stuck" not in out
    assert {each.version for each in rules_in_force(connection)} == {1}
    code, out, _ = rules("import", path, "--yes", "--note", "busy", "--author", "li")
    assert (code, "1 rules written" in out) == (0, True)
    assert "already" in rules("import", path, "--yes")[1]
    newest = json.loads(rules("history", "door", "--json")[1])[0]
    assert (newest["author"], newest["note"], newest["changed"]) == ("li", "busy", {"parameters.open_s": [600, 60]})


def test_an_import_asks_and_takes_no_for_an_answer(
    rules: Run, file: Callable[..., str], connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = file(changed(parameters={"open_s": 60}))
    code, _, err = rules("import", path)
    assert (code, "add --yes" in err) == (2, True), "nobody can be asked in a pipe"
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda question: "n")
    assert rules("import", path)[0] == 1
    assert {each.version for each in rules_in_force(connection)} == {1}


def test_a_file_with_a_fault_writes_nothing_at_all(
    rules: Run, file: Callable[..., str], connection: Connection
) -> None:
    path = file(changed(priority=1), changed(code="b", applies={"site": "atlantis"}))
    code, _, err = rules("import", path, "--yes")
    assert (code, "nothing was written" in err) == (1, True)
    assert {each.version for each in rules_in_force(connection)} == {1}


def test_a_whole_set_withdraws_the_others(rules: Run, file: Callable[..., str], connection: Connection) -> None:
    code, out, _ = rules("import", file(DOOR), "--all", "--yes")
    assert code == 0
    assert "- air-high  withdrawn" in out
    assert [each.rule for each in rules_in_force(connection)] == [DOOR]


def test_an_export_reads_back_the_same(rules: Run) -> None:
    assert parse_rules(rules("export")[1]).rules == shipped_rules()
    assert [each.code for each in parse_rules(rules("export", "door")[1]).rules] == ["door"]
    assert rules("export", "none")[0] == 1


def test_a_rule_is_tried_on_what_was_measured_by_code_and_by_file(
    rules: Run, file: Callable[..., str], county: County, tmp_path: Path
) -> None:
    minute, start = 60_000, 1_700_000_000_000
    county.arrive([(FROZEN, start + n * minute, -10.0 if 120 <= n < 300 else -19.0) for n in range(420)])
    code, out, _ = rules("test", "--channel", "gw-yanling/room-1/air_temperature", "--days", "1")
    assert code == 0
    assert "frozen-air-high" in out
    air = next(each for each in shipped_rules() if each.code == "frozen-air-high")
    off = Rule.model_validate({**air.model_dump(mode="json"), "enabled": False})
    words = ("test", file(off), "--channel", "gw-yanling/room-1/air_temperature", "--json")
    assert "high" not in {each["kind"] for each in json.loads(rules(*words)[1])}
    where = ("--channel", "gw-yanling/room-1/air_temperature", "--json")
    assert {each["code"] for each in json.loads(rules("test", "frozen-air-high", *where)[1])} == {"frozen-air-high"}
    assert json.loads(rules("test", "door", *where)[1]) == []
    code, _, told = rules("test", "frozen-air-hihg", *where)
    assert code == 2
    assert "is neither a file nor the code of a rule in force on this database; near: frozen-air-high" in told
    assert "hanlu rules list" in rules("test", "zzzzzz", *where)[2]
    assert "cannot read" in rules("test", str(tmp_path / "none.toml"), *where)[2]
    assert rules("test", "--channel", "gw-9/x/y")[0] == 2
    assert rules("test", "--channel", "gw-9/x/y", "--days", "0")[0] == 2
