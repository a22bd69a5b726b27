"""What the embedded services decide without starting anything."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import pytest
from fix_services import temporary_folder
from hypothesis import given
from hypothesis import strategies as st

from hanlu.app.embedded import cache
from hanlu.app.embedded.amqtt_broker import may
from hanlu.app.embedded.chain import keep_readable
from hanlu.app.embedded.logins import PLATFORM, Logins
from hanlu.app.embedded.timescaledb import debian_mirror
from hanlu.app.process import Account
from hanlu.core.errors import NotFoundError, UsageError
from hanlu.registry.broker_rules import password_hash

DEB822 = """# comment
Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security

Types: deb deb-src
URIs: http://mirror.example/debian/
Suites: bookworm
"""


@pytest.mark.parametrize(
    ("sources", "mirror"),
    [
        ([DEB822], "http://mirror.example/debian"),
        (["deb https://a.example/debian trixie main\n"], "https://a.example/debian"),
        (["deb [arch=amd64 signed-by=/k.gpg] http://a.example/x/debian trixie main"], "http://a.example/x/debian"),
        (["# deb http://old.example/debian x main\ndeb http://a.example/debian x main"], "http://a.example/debian"),
        (["deb http://a.example/ubuntu noble main"], "http://a.example/debian"),
        (["deb http://a.example/ubuntu x main", "deb http://b.example/debian x main"], "http://b.example/debian"),
        (["deb https://other.example/node_20.x nodistro main"], None),
        (["deb http://a.example/debian-security trixie-security main"], None),
        ([], None),
    ],
)
def test_mirror_is_the_one_the_machine_uses(sources: list[str], mirror: str | None) -> None:
    assert debian_mirror(sources) == mirror


def test_password_hash_is_what_its_own_tool_writes() -> None:
    # mosquitto_passwd 2.0.11 wrote this line for the password "peach".
    line = (
        "$7$101$fi4IQh7/hEHeAEk1$P/uGFq9L/X9px1qDtDupG3oyxzNiixTWRgUNcmXciUO7Sj"
        "/pFj2fLMAy6xXATeZYFAp98EMxjQ6Ziny8A3f+2w=="
    )
    salt = base64.b64decode(line.split("$")[3])
    assert password_hash("peach", salt) == line


def test_logins_are_random_kept_and_private(tmp_path: Path) -> None:
    logins = Logins(tmp_path / "broker")
    assert logins.ensure(["gw-1"])
    first = logins.all()
    assert set(first) == {PLATFORM, "gw-1"}
    assert first[PLATFORM] != first["gw-1"]
    assert not logins.ensure(["gw-1"])
    assert logins.ensure(["gw-2"])
    assert {k: v for k, v in logins.all().items() if k in first} == first
    for path in (logins.password_file, logins.acl_file, tmp_path / "broker" / "logins.json"):
        assert path.stat().st_mode & 0o077 == 0
    assert first["gw-1"] not in logins.password_file.read_text()
    with pytest.raises(NotFoundError, match="gw-9"):
        logins.password("gw-9")


@pytest.mark.parametrize(
    ("user", "topic", "publish", "allowed"),
    [
        ("gw-1", "hanlu/1/07/gw-1/live", True, True),
        ("gw-1", "hanlu/1/07/gw-1/receipt", True, False),
        ("gw-1", "hanlu/1/07/gw-1/receipt", False, True),
        ("gw-1", "hanlu/1/+/gw-1/command", False, True),
        ("gw-1", "hanlu/1/07/gw-1/live", False, False),
        ("gw-1", "hanlu/1/07/gw-2/live", True, False),
        ("gw-1", "hanlu/1/07/+/receipt", False, False),
        ("gw-1", "hanlu/1/#", False, False),
        ("gw-1", "#", False, False),
        ("gw-1", "$SYS/broker/clients", False, False),
        (PLATFORM, "hanlu/1/07/+/live", False, True),
        (PLATFORM, "hanlu/1/07/gw-1/receipt", True, True),
        (PLATFORM, "$SYS/broker/clients", True, False),
        (PLATFORM, "other/topic", True, False),
        ("", "hanlu/1/07/gw-1/live", True, False),
    ],
)
def test_user_may_use_only_the_topics_of_its_own(user: str, topic: str, publish: bool, allowed: bool) -> None:
    assert may(user, topic, publish=publish) is allowed


@given(st.text(max_size=60))
def test_no_text_at_all_lets_a_gateway_read_another_ones_messages(topic: str) -> None:
    assert not may("gw-1", topic, publish=False)


def test_cache_entry_is_made_once_and_never_half(tmp_path: Path) -> None:
    made = []

    def failing(draft: Path) -> None:
        (draft / "half").write_text("")
        raise UsageError("no network")

    def good(draft: Path) -> None:
        made.append(draft)
        (draft / "whole").write_text("")

    with pytest.raises(UsageError):
        cache.entry(tmp_path, "thing", failing)
    assert not (tmp_path / "thing").exists()
    place = cache.entry(tmp_path, "thing", good)
    assert cache.entry(tmp_path, "thing", good) == place
    assert [path.name for path in place.iterdir()] == ["whole"]
    assert len(made) == 1
    assert [path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")] == ["thing"]


def test_closed_folder_on_the_way_makes_a_place_unreachable() -> None:
    somebody = Account("somebody", 65534, 65534)
    with temporary_folder() as folder:
        place = folder / "home" / "data"
        place.mkdir(parents=True)
        assert cache.is_reachable(place / "not-yet", somebody)
        (folder / "home").chmod(0o700)
        assert not cache.is_reachable(place / "not-yet", somebody)
        assert cache.is_reachable(place / "not-yet", None)


def test_torn_state_without_a_copy_is_put_aside(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    state.write_text('{"block": ')
    keep_readable(state)
    assert not state.exists()
    assert (tmp_path / "state.torn.json").read_text() == '{"block": '


def test_torn_state_is_replaced_by_the_last_good_one(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    state.write_text('{"block": 3}')
    keep_readable(state)
    state.write_text('{"block": 4')
    keep_readable(state)
    assert json.loads(state.read_text()) == {"block": 3}


def test_hash_is_of_the_scheme_it_names() -> None:
    scheme, rounds, salt, digest = password_hash("peach").split("$")[1:]
    assert (scheme, rounds) == ("7", "101")
    expected = hashlib.pbkdf2_hmac("sha512", b"peach", base64.b64decode(salt), 101)
    assert base64.b64decode(digest) == expected
