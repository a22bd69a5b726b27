"""What a real Mosquitto lets a gateway do under our rules: its own topics, and nothing else."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fix_access import QUIET_S, Probe
from fix_services import free_port, temporary_folder, unavailable, wait_until

from hanlu.app.embedded.broker import EmbeddedBroker, find_mosquitto, signs_in
from hanlu.app.settings import BrokerSettings
from hanlu.core.wire.topics import Lane, Topic
from hanlu.registry.broker_rules import PLATFORM, access_list, new_password, password_file, password_hash

pytestmark = pytest.mark.broker

UPWARD = [lane for lane in Lane if lane.upward]
DOWNWARD = [lane for lane in Lane if not lane.upward]
A, B = ("gw-a", 3), ("gw-b", 4)


class Broker:
    """A running Mosquitto with the logins of the platform, gw-a (partition 3) and gw-b (partition 4)."""

    def __init__(self, port: int, passwords: dict[str, str], *, knows_partitions: bool) -> None:
        self.port, self.passwords, self.knows_partitions = port, passwords, knows_partitions

    def probe(self, user: str, **others) -> Probe:
        return Probe(self.port, user, self.passwords[user], **others)


@pytest.fixture(scope="module", params=["embedded", "files"])
def mosquitto(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """Mosquitto as `hanlu up` runs it, and as production runs it with the files of `hanlu broker files`."""
    program = find_mosquitto()
    if program is None:
        unavailable("Mosquitto is not installed")
    with temporary_folder() as folder:
        if request.param == "embedded":
            from fix_services import prepared, running

            service = EmbeddedBroker(
                folder / "broker", BrokerSettings(port=free_port(), kind="mosquitto"), ("gw-a", "gw-b")
            )
            prepared(service)
            with running(service, folder / "broker.log"):
                yield Broker(service.settings.port, service.logins.all(), knows_partitions=False)
            return
        passwords = {user: new_password() for user in (PLATFORM, "gw-a", "gw-b")}
        (folder / "passwd").write_text(password_file({u: password_hash(p) for u, p in passwords.items()}))
        (folder / "acl").write_text(access_list([A, B]))
        port = free_port()
        (folder / "mosquitto.conf").write_text(
            f"listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {folder}/passwd\nacl_file {folder}/acl\n"
            "user root\n"
        )
        child = subprocess.Popen([program, "-c", folder / "mosquitto.conf"], stderr=subprocess.DEVNULL)
        try:
            wait_until(lambda: signs_in("127.0.0.1", port, PLATFORM, passwords[PLATFORM]), "mosquitto")
            yield Broker(port, passwords, knows_partitions=True)
        finally:
            child.terminate()
            child.wait()


@pytest.fixture
def platform(mosquitto: Broker) -> Iterator[Probe]:
    """The platform, hearing everything."""
    with mosquitto.probe(PLATFORM) as probe:
        assert probe.subscribe("hanlu/1/#")
        yield probe


def topics(gateway: tuple[str, int], lanes: list[Lane]) -> list[str]:
    return [str(Topic(gateway[1], gateway[0], lane)) for lane in lanes]


def test_a_gateway_publishes_its_own_upward_lanes(mosquitto: Broker, platform: Probe):
    with mosquitto.probe("gw-a") as gateway:
        gateway.publish(*topics(A, UPWARD))
        assert platform.hears(topics(A, UPWARD)[-1])
    assert platform.heard == topics(A, UPWARD)


def test_nothing_a_gateway_publishes_elsewhere_arrives(mosquitto: Broker, platform: Probe):
    foreign = [*topics(B, list(Lane)), *topics(A, DOWNWARD), "hanlu/1/03/gw-a", "hanlu/1/03/gw-a/live/x", "other"]
    if mosquitto.knows_partitions:
        foreign += [str(Topic(5, "gw-a", Lane.LIVE))]
    for topic in foreign:
        with mosquitto.probe("gw-a") as thief, contextlib.suppress(RuntimeError):
            thief.publish(topic)  # some versions of Mosquitto hang up on whoever tries
    with mosquitto.probe("gw-a") as gateway:
        gateway.publish(*topics(A, [Lane.LIVE]))
        assert platform.hears(topics(A, [Lane.LIVE])[0])
    assert platform.heard == topics(A, [Lane.LIVE])


@pytest.mark.parametrize(
    "wildcard", ["#", "hanlu/#", "hanlu/1/+/+/receipt", "hanlu/1/04/gw-b/+", "+/+/+/+/+", "$SYS/#"]
)
def test_a_gateway_hears_nothing_of_others_by_a_wildcard(mosquitto: Broker, platform: Probe, wildcard: str):
    with mosquitto.probe("gw-a") as gateway:
        gateway.subscribe(wildcard)
        gateway.subscribe(topics(A, [Lane.COMMAND])[0])
        platform.publish(*topics(B, list(Lane)), *topics(A, UPWARD), *topics(A, [Lane.COMMAND]))
        assert gateway.hears(topics(A, [Lane.COMMAND])[0])
        assert set(gateway.heard) == set(topics(A, [Lane.COMMAND]))


def test_a_gateway_hears_its_receipts_and_commands_and_no_others(mosquitto: Broker, platform: Probe):
    with mosquitto.probe("gw-a") as gateway, mosquitto.probe("gw-b") as other:
        for topic in (*topics(A, list(Lane)), *topics(B, list(Lane))):
            gateway.subscribe(topic)
        for topic in topics(B, DOWNWARD):
            other.subscribe(topic)
        platform.publish(*topics(B, list(Lane)), *topics(A, list(Lane)))
        assert gateway.hears(topics(A, DOWNWARD)[-1])
        assert other.hears(topics(B, DOWNWARD)[-1])
        assert gateway.heard == topics(A, DOWNWARD)
        assert other.heard == topics(B, DOWNWARD)


def test_a_will_in_another_gateways_name_is_never_published(mosquitto: Broker, platform: Probe):
    with mosquitto.probe("gw-a", will=topics(B, [Lane.WILL])[0]) as thief:
        if thief.accepted:
            thief.break_off()
    with mosquitto.probe("gw-a", will=topics(A, [Lane.WILL])[0]) as honest:
        assert honest.accepted
        honest.break_off()
        assert platform.hears(topics(A, [Lane.WILL])[0])
    time.sleep(QUIET_S)
    assert platform.heard == topics(A, [Lane.WILL])


@pytest.mark.parametrize(("user", "password"), [("gw-a", "wrong"), ("gw-c", "x"), ("", ""), (None, None)])
def test_nobody_signs_in_without_the_password(mosquitto: Broker, user: str | None, password: str | None):
    with Probe(mosquitto.port, user, password) as probe:
        assert not probe.accepted


def test_one_gateways_password_is_not_anothers(mosquitto: Broker):
    with Probe(mosquitto.port, "gw-b", mosquitto.passwords["gw-a"]) as probe:
        assert not probe.accepted


@pytest.fixture
def embedded() -> Iterator[EmbeddedBroker]:
    """A Mosquitto of the test's own whose logins it may change."""
    from fix_services import prepared, running

    if find_mosquitto() is None:
        unavailable("Mosquitto is not installed")
    with temporary_folder() as folder:
        service = EmbeddedBroker(folder / "broker", BrokerSettings(port=free_port(), kind="mosquitto"), ("gw-a",))
        prepared(service)
        with running(service, folder / "broker.log"):
            yield service


def test_an_enrolled_gateway_signs_in_at_once_and_others_stay_connected(embedded: EmbeddedBroker):
    port, password = embedded.settings.port, new_password()
    with Probe(port, "gw-a", embedded.logins.password("gw-a")) as other:
        assert other.accepted
        # Another process than the supervisor's: it knows the folder only.
        EmbeddedBroker(embedded.folder, embedded.settings).admit("gw-new", password_hash(password))
        wait_until(lambda: signs_in("127.0.0.1", port, "gw-new", password), "login of gw-new", 5)
        assert not other.lost.is_set()


def test_a_revoked_gateways_session_ends_and_it_never_comes_back(embedded: EmbeddedBroker):
    port, password = embedded.settings.port, embedded.logins.password("gw-a")
    with (
        Probe(port, "gw-a", password) as gateway,
        Probe(port, PLATFORM, embedded.logins.password(PLATFORM)) as platform,
    ):
        assert gateway.accepted
        embedded.expel("gw-a")
        assert gateway.lost.wait(5), "Mosquitto keeps the session of a user it no longer knows"
        assert not platform.lost.is_set()
    assert not signs_in("127.0.0.1", port, "gw-a", password)
    embedded.logins.ensure(["gw-a"])  # as the next start does
    assert "gw-a" not in embedded.logins.password_file.read_text()


def test_a_new_password_ends_the_old_one(embedded: EmbeddedBroker):
    port, old, new = embedded.settings.port, embedded.logins.password("gw-a"), new_password()
    with Probe(port, "gw-a", old) as gateway:
        embedded.admit("gw-a", password_hash(new))
        assert gateway.lost.wait(5)
    assert signs_in("127.0.0.1", port, "gw-a", new)
    assert not signs_in("127.0.0.1", port, "gw-a", old)
    assert "gw-a" not in embedded.logins.all(), "its clear text is not kept"


def test_the_files_of_the_logins_are_private(embedded: EmbeddedBroker):
    embedded.admit("gw-new", password_hash(new_password()))
    for path in embedded.folder.iterdir():
        if path.is_file() and path.name not in {"mosquitto.conf", "mosquitto.pid", ".lock"}:
            assert path.stat().st_mode & 0o077 == 0, path
    assert embedded.folder.stat().st_mode & 0o077 == 0


def test_what_hashes_mosquitto_accepts_we_accept(tmp_path: Path):
    tool = "mosquitto_passwd"
    file = tmp_path / "passwd"
    try:
        subprocess.run([tool, "-b", "-c", file, "gw-a", "peach"], check=True, capture_output=True)
    except FileNotFoundError:
        unavailable("mosquitto_passwd is not installed")
    from hanlu.registry.broker_rules import password_matches

    stored = file.read_text().strip().partition(":")[2]
    assert password_matches(stored, "peach")
    assert not password_matches(stored, "plum")
