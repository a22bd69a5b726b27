"""Delivery when things go wrong: refusals, silence, kills at every step, floods, limits."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fix_alerts import County
from fix_people import ChannelServer, Team, team_over
from fix_services import wait_until

from hanlu.alerts.people import planner as planner_module
from hanlu.alerts.people.channels.contract import Outcome
from hanlu.alerts.people.channels.post import post

pytestmark = pytest.mark.postgres


def outcomes(team: Team) -> list[str]:
    return [
        str(row[0])
        for row in team.rows("SELECT outcome FROM alerts.notification_attempt ORDER BY notification_attempt_id")
    ]


def texts(team: Team) -> list[str]:
    return [each.json["markdown"]["content"] for each in team.channels.calls]


@pytest.fixture
def called(team: Team) -> Team:
    """A team with one receiver, at a critical alarm nobody was told of yet."""
    team.receiver("li")
    team.policy((0, "li"), rounds=1, upward_min=None)
    team.alarm(priority=1)
    return team


def test_server_in_trouble_is_asked_again_later_and_later(called: Team) -> None:
    called.channels.answer("/wecom", {}, 503)
    called.settle()
    gaps = []
    for _ in range(4):
        before, waited = len(called.channels.calls), 0
        while len(called.channels.calls) == before:
            called.settle(1)
            waited += 1
        gaps.append(waited)
    assert gaps == [5, 10, 20, 40]
    called.channels.answer("/wecom", {"errcode": 0})
    called.settle(80)
    assert called.states() == ["sent"]
    assert not any("可能重复" in each for each in texts(called))


def test_retry_after_is_honoured(called: Team) -> None:
    called.channels.answer("/wecom", {}, 503, Retry_After="120")
    called.settle()
    called.settle(115)
    assert len(called.channels.calls) == 1
    called.settle(15)
    assert len(called.channels.calls) == 2


def test_refused_for_good_is_not_repeated_and_the_next_step_is_called_at_once(team: Team) -> None:
    team.receiver("li", path="/li")
    team.receiver("wang")
    team.channels.answer("/li", {"errcode": 93000, "errmsg": "invalid webhook url"})
    team.policy((0, "li"), (30, "wang"), rounds=1, upward_min=None)
    team.alarm(priority=1)
    team.settle()
    team.settle(1)
    team.settle(3600)
    assert [each.path for each in team.channels.calls] == ["/li", "/wecom"]
    assert team.states() == ["failed", "sent"]
    assert team.lines()[0][4] == "failed"


def test_message_that_cannot_be_sent_is_given_up_with_its_reason(county: County, channels: ChannelServer) -> None:
    with team_over(county, channels, attempts=3) as team:
        team.receiver("li")
        team.policy((0, "li"), rounds=1, upward_min=None)
        team.alarm(priority=1)
        channels.answer("/wecom", {}, 500)
        for _ in range(100):
            team.settle(30)
        assert len(channels.calls) == 3
        assert team.rows("SELECT state, reason FROM alerts.notification") == [("failed", "gave_up:HTTP 500")]


def test_lost_answer_is_repeated_and_the_text_says_so(called: Team) -> None:
    called.channels.replies["/wecom"] = lambda call: None  # the line is cut without an answer
    called.settle()
    called.channels.answer("/wecom", {"errcode": 0})
    called.settle(30)
    first, second = texts(called)
    assert "可能重复" not in first
    assert "可能重复" in second
    assert outcomes(called) == ["begun", "lost", "begun", "sent"]


def test_acknowledged_between_attempts_is_not_sent_again(called: Team) -> None:
    called.channels.answer("/wecom", {}, 503)
    called.settle()
    called.acknowledge(1)
    called.settle(600)
    assert len(called.channels.calls) == 1
    assert called.states() == ["dropped"]


def test_blocked_dingtalk_bot_is_left_alone_for_ten_minutes(team: Team) -> None:
    team.receiver("ding", "dingtalk")
    team.policy((0, "ding"), rounds=1, upward_min=None)
    team.channels.answer("/dingtalk", {"errcode": 130101, "errmsg": "send too fast"})
    team.alarm(priority=1)
    team.settle()
    team.channels.answer("/dingtalk", {"errcode": 0})
    team.alarm(channel=3, priority=1)
    for _ in range(59):
        team.settle(10)
    assert len(team.channels.calls) == 1
    for _ in range(20):
        team.settle(10)
    assert set(team.states()) == {"sent"}


def test_receivers_of_one_bot_share_its_limit(team: Team) -> None:
    for code in ("day", "night"):
        team.receiver(code, secret={"key": "one-bot-for-both"})
    team.policy((0, "day"), (0, "night"), rounds=1, upward_min=None)
    for channel in range(1, 7):
        for kind in ("high", "rate", "door"):
            team.alarm(channel=channel, kind=kind, priority=1)
            team.settle(1)
    for _ in range(30):
        team.settle(10)
    times = [
        int(row[0])
        for row in team.rows(
            "SELECT extract(epoch FROM at)::bigint FROM alerts.notification_attempt WHERE outcome = 'begun' ORDER BY at"
        )
    ]
    assert times
    for start in times:
        assert sum(start <= each < start + 60 for each in times) <= 20
    assert not [each for each in team.lines() if each[4] != "told" and each[5] != "repeated"]


def test_many_sites_at_once_become_one_message(team: Team) -> None:
    team.receiver("li")
    team.policy((0, "li"), organisation=1)
    for channel in (1, 6, 7):
        team.alarm(channel=channel)
    team.settle()
    with psycopg.connect(team.county.url) as connection:
        connection.execute(
            "INSERT INTO registry.site (site_id, organisation_id, code, name_zh, name_en, kind) OVERRIDING SYSTEM VALUE"
            " VALUES (9, 3, 'extra', '城关站', 'Town', 'depot')"
        )
    team.alarm(channel=None, site_id=9, item="01", item_zh="鸡蛋", item_en="Eggs", kind="stock")  # type: ignore[arg-type]
    team.settle()
    team.settle(25)
    (text,) = texts(team)
    assert "4 个站点：4 个报警" in text
    assert team.states().count("dropped") == 3


class Killed(BaseException):
    """The process ends here."""


@dataclass
class Kill:
    """Ends the process at the so-and-so-manieth commit."""

    left: int

    def __call__(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed


@contextmanager
def killing(kill: Kill, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let every transaction of psycopg ask the killer before and after its commit."""
    real = psycopg.Connection.transaction

    @contextmanager
    def transaction(self: Any, *args: Any, **more: Any) -> Iterator[Any]:
        with real(self, *args, **more) as inner:
            yield inner
            kill()  # nothing of it is kept
        kill()  # all of it is kept

    with monkeypatch.context() as patch:
        patch.setattr(psycopg.Connection, "transaction", transaction)
        yield


@pytest.mark.parametrize("at", range(1, 15))
@pytest.mark.parametrize("arrives", [True, False])
def test_kill_at_any_commit_loses_nothing_and_repeats_only_what_is_marked(
    county: County, channels: ChannelServer, monkeypatch: pytest.MonkeyPatch, at: int, arrives: bool
) -> None:
    with team_over(county, channels) as team:
        team.receiver("li")
        team.policy((0, "li"), rounds=1, upward_min=None)
        team.alarm(priority=1)
        kill = Kill(at)

        def call(*parts: Any) -> Outcome:
            outcome = post(*parts) if arrives else None
            kill()  # the channel was called, or was just about to be: the answer is not known
            return outcome or post(*parts)

        def run(send: Callable[..., Outcome]) -> None:
            planner, sender = team.notifier(send=send)
            sender.recover()
            while planner.turn() + sender.turn():
                pass

        with killing(kill, monkeypatch):
            try:
                run(call)
                survived = True
            except Killed:
                survived = False
    with team_over(county, channels) as again:
        again.clock.advance(60)
        planner, sender = again.notifier()
        sender.recover()
        while planner.turn() + sender.turn():
            pass
        again.settle(600)
        assert again.states() == ["sent"]
        told = texts(again)
        assert told
        assert len(told) <= 2
        assert len([each for each in told if "可能重复" not in each]) <= 1, "an unmarked repetition"
        if survived:
            assert len(told) == 1


def test_hanging_bot_does_not_delay_the_others(team: Team) -> None:
    team.config = team.config.model_copy(update={"deadline_s": 20.0})
    team.channels.never("/hanging")
    team.receiver("hanging", path="/hanging")
    for number in range(4):
        team.receiver(f"r{number}", path=f"/r{number}")
        team.channels.answer(f"/r{number}", {"errcode": 0})
    team.policy((0, "hanging"), *((0, f"r{number}") for number in range(4)), rounds=1, upward_min=None)
    team.alarm(priority=1)
    with ThreadPoolExecutor(team.config.workers) as executor:
        planner, sender = team.notifier(executor=executor)
        planner.turn()
        sender.turn()
        wait_until(lambda: team.states().count("sent") == 4, "the others were told")
        assert team.states().count("sending") == 1
        team.channels.hang.set()
        sender.finish()


def test_silent_receivers_take_a_few_workers_only(team: Team) -> None:
    team.config = team.config.model_copy(update={"workers": 4, "slow_workers": 1})
    for number in range(6):
        team.receiver(f"r{number}", path=f"/r{number}")
    team.policy(*((0, f"r{number}") for number in range(6)), rounds=1, upward_min=None)
    team.alarm(priority=1)
    release, begun = threading.Event(), []

    def hang(config: Any, endpoint: Any, letter: Any, more: str) -> Outcome:
        begun.append(endpoint.settings.base_url)
        release.wait(20)
        return Outcome("sent", "")

    with ThreadPoolExecutor(4) as executor:
        planner, sender = team.notifier(executor=executor, send=hang)
        sender._slow = {str(row[0]) for row in team.rows("SELECT line FROM alerts.receiver WHERE code < 'r4'")}
        planner.turn()
        sender.turn()
        wait_until(lambda: len(begun) == 3, "three are under way")
        assert sender.turn() == 0
        assert sorted(each[-1] for each in begun)[1:] == ["4", "5"]
        release.set()
        sender.finish()


def test_planning_twice_is_refused_by_the_database(called: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    called.settle()
    called.rows("UPDATE alerts.summons SET next_step = 0, next_at = begun_at")
    called.settle(600)
    assert len(called.channels.calls) == 1
    called.rows("UPDATE alerts.summons SET next_step = 0, next_at = begun_at")
    monkeypatch.setattr(planner_module.Planner, "_there", lambda self, lines: set())
    planner, _ = called.notifier()
    with pytest.raises(psycopg.errors.UniqueViolation):
        planner.turn()


def test_process_killed_while_it_sends_repeats_marked(county: County, channels: ChannelServer, tmp_path: Path) -> None:
    with team_over(county, channels) as team:
        team.receiver("li")
        team.policy((0, "li"), rounds=1, upward_min=None)
        team.alarm(priority=1)
    channels.never("/wecom")
    code = (
        "import sys, threading\nfrom hanlu.alerts.people.config import NotifyConfig\n"
        "from hanlu.alerts.people.notifier import run\n"
        "here = ('127.0.0.0/8',)\n"
        "run(NotifyConfig(critical_wait_s=0, poll_s=0.1, allow_networks=here), sys.argv[1], threading.Event())\n"
    )
    command = [sys.executable, "-P", "-c", code, county.url]
    first = subprocess.Popen(command)
    try:
        assert channels.arrived.wait(20), "nothing was sent"
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait(10)
    channels.answer("/wecom", {"errcode": 0})
    second = subprocess.Popen(command)
    try:
        wait_until(lambda: county.query("SELECT state FROM alerts.notification") == [("sent",)], "sent after all")
    finally:
        second.send_signal(signal.SIGKILL)
        second.wait(10)
    first_text, second_text = [each.json["markdown"]["content"] for each in channels.calls]
    assert "可能重复" not in first_text
    assert "可能重复" in second_text


def test_message_says_nothing_secret_in_the_log(called: Team, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    called.channels.answer("/wecom", {"errcode": 93000, "errmsg": "bad key key-of-li"})
    called.settle()
    said = caplog.text + "".join(str(getattr(each, "fields", "")) for each in caplog.records)
    assert "key-of-li" not in said
    assert "key-of-li" not in str(called.rows("SELECT detail FROM alerts.notification_attempt"))
