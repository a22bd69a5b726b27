"""The faults: what each breaks, and how it is mended. One function each; the table at the end is the whole list."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from hanlu.app.faults.link import Weather
from hanlu.app.faults.saboteur import send_as
from hanlu.app.faults.stage import LIVE, REPLAY, Stage
from hanlu.core.wire.documents import Command
from hanlu.core.wire.topics import Lane, Topic

__all__ = ["FAULTS", "Fault", "Scene"]

_HOUR_MS: Final = 3_600_000
_STOPPED_S: Final = 60.0
_GATEWAYS: Final = (REPLAY, LIVE)


@dataclass(frozen=True, slots=True)
class Scene:
    """What a fault may touch, and how long it lasts.

    Attributes:
        stage: the processes.
        span_s: seconds over which the devices speak.
    """

    stage: Stage
    span_s: float

    def some(self) -> None:
        """Let a random part of the span pass."""
        time.sleep(self.stage.chance.uniform(0.0, 0.6) * self.span_s)

    def kill(self, name: str) -> None:
        """Kill a process at a random point and start it again a little later."""
        self.some()
        self.stage.children[name].kill()
        time.sleep(self.stage.chance.uniform(0.0, 0.3))
        self.stage.children[name].start()

    def weather(self, weather: Weather, hold_s: float, codes: tuple[str, ...] = _GATEWAYS) -> None:
        """Spoil the links for a while."""
        self.some()
        for code in codes:
            self.stage.edges[code].link.become(weather)
        time.sleep(hold_s)
        for code in codes:
            self.stage.edges[code].link.become(Weather.FAIR)


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault.

    Attributes:
        name: as in `--only`.
        words: what is broken, for people.
        strike: breaks and mends; returns when everything is whole again.
        slow: takes a minute or more, so that it is played once and not in turn.
    """

    name: str
    words: str
    strike: Callable[[Scene], None]
    slow: bool = False


def _calm(scene: Scene) -> None:
    scene.some()


def _kill_ingest(scene: Scene) -> None:
    scene.kill("ingest")


def _kill_alerts(scene: Scene) -> None:
    scene.kill("alerts")


def _kill_gateways(scene: Scene) -> None:
    for code in _GATEWAYS:
        scene.kill(code)


def _kill_all(scene: Scene) -> None:
    """A power cut of the whole site."""
    scene.some()
    stage = scene.stage
    names = ("ingest", "alerts", *_GATEWAYS, stage.broker.name)
    for name in names:
        stage.children[name].kill()
    stage.children[stage.postgres.name].end_with(signal.SIGQUIT)
    for name in (stage.postgres.name, stage.broker.name, *_GATEWAYS, "alerts", "ingest"):
        stage.children[name].start()


def _kill_broker(scene: Scene) -> None:
    scene.kill(scene.stage.broker.name)


def _restart_broker(scene: Scene) -> None:
    scene.some()
    child = scene.stage.children[scene.stage.broker.name]
    child.stop()
    time.sleep(scene.stage.chance.uniform(0.0, 0.5))
    child.start()


def _empty_broker(scene: Scene) -> None:
    """The broker comes back knowing nobody: no session, no message."""
    scene.some()
    child = scene.stage.children[scene.stage.broker.name]
    child.kill()
    store = scene.stage.broker.folder / "store"
    shutil.rmtree(store, ignore_errors=True)
    store.mkdir(mode=0o700)
    child.start()


def _restart_database(scene: Scene) -> None:
    scene.some()
    child = scene.stage.children[scene.stage.postgres.name]
    child.end_with(signal.SIGINT)
    child.start()


def _crash_database(scene: Scene) -> None:
    """SIGQUIT: every session is cut off and the log is played again at the start, as after a power cut."""
    scene.some()
    child = scene.stage.children[scene.stage.postgres.name]
    child.end_with(signal.SIGQUIT)
    child.start()


def _stop_database(scene: Scene) -> None:
    scene.some()
    child = scene.stage.children[scene.stage.postgres.name]
    child.end_with(signal.SIGINT)
    time.sleep(_STOPPED_S)
    child.start()


def _cut(scene: Scene) -> None:
    scene.weather(Weather.CUT, scene.stage.chance.uniform(0.2, 2.0))


def _deaf(scene: Scene) -> None:
    scene.weather(Weather.DEAF, scene.stage.chance.uniform(1.0, 3.0))


def _deaf_long(scene: Scene) -> None:
    """Longer than the gateways' keep-alive: they must find out by themselves that nobody hears them."""
    scene.weather(Weather.DEAF, 15.0)


def _slow(scene: Scene) -> None:
    scene.weather(Weather.SLOW, scene.stage.chance.uniform(1.0, 3.0))


def _noisy(scene: Scene) -> None:
    scene.weather(Weather.NOISY, scene.stage.chance.uniform(1.0, 3.0))


def _unreceipted(scene: Scene) -> None:
    scene.weather(Weather.UNRECEIPTED, scene.stage.chance.uniform(1.0, 3.0))


def _clock(offset_ms: int) -> Callable[[Scene], None]:
    def strike(scene: Scene) -> None:
        scene.some()
        edge = scene.stage.edges[LIVE]
        edge.set_clock(offset_ms)
        time.sleep(1.0)
        if scene.stage.chance.random() < 0.5:
            scene.kill(LIVE)  # and again under the wrong time
        edge.set_clock(0)

    return strike


def _storm(scene: Scene) -> None:
    """Everything the gateways said of late, twenty times over, among what they say now."""
    scene.some()
    for code in _GATEWAYS:
        said = list(scene.stage.edges[code].link.recorded)[-50:]
        send_as(scene.stage.broker, code, packets=said * 20)


def _resend(scene: Scene) -> None:
    """The platform asks for everything again, several times."""
    scene.some()
    for code in _GATEWAYS:
        config = scene.stage.edges[code].config
        topic = str(Topic(config.partition, code, Lane.COMMAND))
        body = Command(action="resend").model_dump_json().encode()
        send_as(scene.stage.broker, "platform", messages=[(topic, body)] * 5)


def _poison(scene: Scene) -> None:
    """Garbage under the gateways' own names, between their good messages."""
    chance = scene.stage.chance
    for code in _GATEWAYS:
        config = scene.stage.edges[code].config
        lanes = [str(Topic(config.partition, code, lane)) for lane in (Lane.LIVE, Lane.EVENT, Lane.BIRTH)]
        good = [packet[-200:] for packet in list(scene.stage.edges[code].link.recorded)[-5:]]
        bodies = [
            b"", b"{", b"null", b"[]", b"\xff" * 50, b"[" * 5_000, b'[{"n":"x","v":1e999}]', chance.randbytes(300),
            b"\xd2\x84", b"x" * (1 << 20), *good,
        ]  # fmt: skip
        send_as(scene.stage.broker, code, messages=[(chance.choice(lanes), body) for body in bodies * 3])


FAULTS: Final = (
    Fault("calm", "nothing at all", _calm),
    Fault("kill-ingest", "the ingest worker is killed", _kill_ingest),
    Fault("kill-alerts", "the alarm engine is killed", _kill_alerts),
    Fault("kill-gateway", "both gateways are killed, one after the other", _kill_gateways),
    Fault("kill-broker", "the broker is killed", _kill_broker),
    Fault("kill-all", "every process is killed at once, the database included", _kill_all),
    Fault("broker-restart", "the broker stops in good order and comes back", _restart_broker),
    Fault("broker-empty", "the broker is killed and comes back without its store", _empty_broker),
    Fault("database-restart", "the database stops in good order and comes back", _restart_database),
    Fault("database-crash", "the database is cut off and recovers", _crash_database),
    Fault("database-stopped", "the database is away for 60 s", _stop_database, slow=True),
    Fault("link-cut", "connections are reset, new ones refused", _cut),
    Fault("link-half-open", "connections stay and nothing passes", _deaf),
    Fault("link-half-open-long", "nothing passes for 15 s, longer than the keep-alive", _deaf_long, slow=True),
    Fault("link-delayed", "everything takes 0.2 s longer", _slow),
    Fault("link-corrupted", "bits are flipped on the way up", _noisy),
    Fault("receipts-lost", "no receipt gets through", _unreceipted),
    Fault("clock-ahead", "a gateway's wall clock jumps a day ahead and back", _clock(24 * _HOUR_MS)),
    Fault("clock-behind", "a gateway's wall clock jumps a day back and ahead again", _clock(-24 * _HOUR_MS)),
    Fault("clock-1970", "a gateway's wall clock says 1970 for a while", _clock(-1_700_000_000_000)),
    Fault("duplicate-storm", "old messages are delivered twenty times over", _storm),
    Fault("resend-all", "the platform asks for everything again", _resend),
    Fault("poison", "garbage arrives under the gateways' names", _poison),
)
"""Those that need a right of their own (packet loss in a network namespace, a full disk) and the long backlog stand in
`special.py`."""
