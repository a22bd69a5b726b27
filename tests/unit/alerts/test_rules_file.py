"""Rules as a file: every fault names file, line, rule, field and remedy; what is written reads the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from hanlu.alerts.rules.compare import What, compare, differences
from hanlu.alerts.rules.file import MOST_BYTES, parse_rules, read_rules, write_rules
from hanlu.alerts.rules.model import Rule
from hanlu.alerts.rules.store import Versioned, shipped_rules
from hanlu.alerts.rules.survey import clashes
from hanlu.core.errors import UsageError

GOOD = """\
# a heading
[[rule]]
code = "mine"
kind = "high"
title_zh = "中"
title_en = "en"
[rule.applies]
zone = "room-a"
[rule.parameters]
setpoint = -18.0
unit = "Cel"
[rule.rationalization]
cause_zh = "一"
cause_en = "a"
consequence_zh = "一"
consequence_en = "a"
response_zh = "一"
response_en = "a"
time_to_respond_min = 30
"""


def faults(text: str) -> list[str]:
    return [str(each) for each in parse_rules(text, "rules.toml").faults]


def test_a_good_file_has_no_faults() -> None:
    found = parse_rules(GOOD)
    assert found.faults == ()
    assert [each.code for each in found.rules] == ["mine"]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('unit = "Cel"\n', "", "mine: parameters.unit: a setpoint needs its unit; write for example unit"),
        ("setpoint = -18.0\n", "", "mine: parameters.unit: a unit without a setpoint says nothing"),
        ('unit = "Cel"\n', 'unit = "Cel"\nbeyond = 2.0\n', "mine: parameters.beyond: say either setpoint or beyond"),
        ("setpoint = -18.0", 'setpoint = "cold"', "mine: parameters.setpoint: must be a number"),
        ("setpoint = -18.0", "setpoint = nan", "mine: parameters.setpoint: must be a finite number"),
        ("unit =", "on_dealy_s = 5\nunit =", "mine: parameters.on_dealy_s: unknown field; did you mean on_delay_s?"),
        ("unit =", "colour = 5\nunit =", "mine: parameters.colour: unknown field; there are: setpoint, "),
        ("unit =", "on_delay_s = -1\nunit =", "mine: parameters.on_delay_s: must be at least 0"),
        ("unit =", "on_delay_s = 2592001\nunit =", "mine: parameters.on_delay_s: must be at most 2592000"),
        ("unit =", "on_delay_s = 1.5\nunit =", "mine: parameters.on_delay_s: must be a whole number"),
        ("unit =", "deadband = -1.0\nunit =", "mine: parameters.deadband: must be at least 0"),
        ("unit =", 'hold_defrost = "maybe"\nunit =', "mine: parameters.hold_defrost: must be true or false"),
        ('kind = "high"', 'kind = "hihg"', "mine: kind: unknown kind; did you mean high?"),
        ('kind = "high"', 'kind = "weather"', "mine: kind: unknown kind; there are: high, low, "),
        ('kind = "high"\n', "", "mine: kind: is missing"),
        ('kind = "high"', 'kind = "dose"', "mine: parameters.degree_minutes: is missing"),
        ("time_to_respond_min = 30\n", "", "mine: rationalization.time_to_respond_min: is missing"),
        ("time_to_respond_min = 30", "time_to_respond_min = 0", "time_to_respond_min: must be at least 1"),
        ('cause_zh = "一"\n', "", "mine: rationalization.cause_zh: is missing"),
        ('cause_en = "a"', 'cause_en = ""', "mine: rationalization.cause_en: must not be empty"),
        ("zone =", "zonex =", "mine: applies.zonex: unknown field; did you mean zone?"),
        ('zone = "room-a"', 'channel = "room-a"', "mine: applies.channel: a channel is gateway/device/metric"),
        ('zone = "room-a"', 'profile = "x"\nprofiled = false', "mine: applies.profiled: profile and profiled = false"),
        ('code = "mine"', 'code = "Mine!"', "Mine!: code: must be lower-case letters"),
        ('code = "mine"\n', "", "rule 1: code: is missing"),
        ('title_en = "en"', 'title_en = "en"\npriority = 4', "mine: priority: must be at most 3"),
        ('title_en = "en"', 'title_en = "en"\nenabled = "yes please"', "mine: enabled: must be true or false"),
        ('[rule.applies]\nzone = "room-a"\n', "applies = 5\n", "mine: applies: must be a table"),
        ('title_en = "en"', f'title_en = "{"x" * 121}"', "mine: title_en: is too long; at most 120 characters"),
    ],
)
def test_a_fault_names_file_line_rule_field_and_remedy(old: str, new: str, told: str) -> None:
    assert old in GOOD
    found = faults(GOOD.replace(old, new, 1))
    assert len(found) == 1, found
    assert found[0].startswith("rules.toml:2: ")
    assert told in found[0]


def test_every_fault_of_a_rule_is_told_at_once() -> None:
    broken = GOOD.replace('unit = "Cel"\n', "on_dealy_s = 5\n").replace("time_to_respond_min = 30\n", "")
    assert len(faults(broken)) == 2


def test_a_broken_file_is_told_with_its_line() -> None:
    found = faults("[[rule]]\ncode = \n")
    assert found[0].startswith("rules.toml:2: toml: is no TOML")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[rule]\ncode = 'a'\n", "rules are [[rule]] tables"),
        ("rule = 5\n", "rules are [[rule]] tables"),
        ("[[rules]]\ncode = 'a'\n", "rules: unknown field; there are: [[rule]]"),
    ],
)
def test_a_file_of_another_shape_is_told_so(text: str, told: str) -> None:
    assert told in faults(text)[0]


def test_a_code_that_stands_twice_is_told_with_the_first_ones_line() -> None:
    found = faults(GOOD + GOOD)
    assert found == ["rules.toml:21: mine: code: is used already on line 2; a code stands once in a file."]


def test_rules_in_the_same_place_are_a_named_pair() -> None:
    other = parse_rules(GOOD.replace('"mine"', '"other"')).rules
    found = clashes([*parse_rules(GOOD).rules, *other])
    assert [(code, fault.detail) for code, fault in found] == [("other", "mine")]


def test_limits_crossed_within_one_place_are_told() -> None:
    low = parse_rules(GOOD.replace('"mine"', '"low"').replace('"high"', '"low"').replace("-18.0", "-15.0")).rules
    found = clashes([*parse_rules(GOOD).rules, *low])
    assert [(code, fault.reason) for code, fault in found] == [("mine", "crossed")]


def test_far_limits_inside_the_plain_ones_are_told() -> None:
    far = parse_rules(GOOD.replace('"mine"', '"far"').replace('"high"', '"high_high"').replace("-18.0", "-20.0")).rules
    assert [(code, fault.reason) for code, fault in clashes([*parse_rules(GOOD).rules, *far])] == [("far", "order")]


def test_what_is_written_reads_the_same() -> None:
    written = write_rules(shipped_rules(), "All of them.\n\nEvery one.")
    assert written.startswith("# All of them.\n#\n# Every one.\n")
    found = parse_rules(written)
    assert found.faults == ()
    assert found.rules == shipped_rules()


def test_words_that_look_like_markup_survive_the_file() -> None:
    rule = parse_rules(GOOD).rules[0]
    odd = Rule.model_validate({**rule.model_dump(mode="json"), "title_en": '"""<b>\\n\' ☃ [[rule]]'})
    assert parse_rules(write_rules([odd])).rules == (odd,)


def test_files_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read"):
        read_rules(tmp_path / "none.toml")
    latin = tmp_path / "latin.toml"
    latin.write_bytes("title = 'é'".encode("latin-1"))
    with pytest.raises(UsageError, match="not UTF-8"):
        read_rules(latin)
    large = tmp_path / "large.toml"
    with large.open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(UsageError, match="no file of rules"):
        read_rules(large)


def test_a_comparison_finds_new_changed_and_missing_rules_and_nothing_else() -> None:
    mine = parse_rules(GOOD).rules[0]
    changed = Rule.model_validate({**mine.model_dump(mode="json"), "priority": 2})
    other = Rule.model_validate({**mine.model_dump(mode="json"), "code": "other"})
    in_force = [Versioned(mine, 3), Versioned(other, 1)]
    assert compare(in_force, [mine]) == ()
    found = compare(
        in_force, [changed, Rule.model_validate({**mine.model_dump(mode="json"), "code": "third"})], whole=True
    )
    assert [(each.what, each.code, each.seen) for each in found] == [
        (What.CHANGED, "mine", 3),
        (What.WITHDRAWN, "other", 1),
        (What.NEW, "third", 0),
    ]
    assert [tuple(each) for each in differences(mine, changed)] == [("priority", None, 2)]
