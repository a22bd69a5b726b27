"""SIGKILL at random moments while a device streams: what was answered `ok` arrives, once, in an unbroken chain."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from fix_gateway import START_MS, Device, patiently

from hanlu.core.reading import Reading
from hanlu.core.wire.envelope import public_bytes
from hanlu.gateway.identity import load_or_create_key

pytestmark = pytest.mark.broker


class SlowDevice(Device):
    """Few lines at a time with a breath between, so that kills fall into the middle of everything."""

    PIPELINE = 8

    def _exchange(self) -> None:
        super()._exchange()
        time.sleep(0.002)


class Victim:
    """The gateway's process."""

    def __init__(self, config, folder: Path) -> None:
        self._settings = folder / "gateway.json"
        document = json.loads(config.model_dump_json())
        document["broker"]["password"] = config.broker.password.get_secret_value()
        self._settings.write_text(json.dumps(document))
        self.start()

    def start(self) -> None:
        program = Path(__file__).with_name("gateway_process.py")
        self._child = subprocess.Popen(
            [sys.executable, "-P", program, self._settings], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self._child.stdout is not None
        assert self._child.stdout.readline() == b"ready\n"

    def kill(self) -> None:
        self._child.kill()
        self._end()

    def stop(self) -> None:
        self._child.terminate()
        self._end()
        assert self._child.returncode == 0

    def _end(self) -> None:
        self._child.wait(15)
        self._child.stdout.close()


@pytest.mark.parametrize("replay", [False, True], ids=["live", "replay"])
def test_gateway_killed_at_random_moments_keeps_every_answered_line(
    gateway_config, edge_platform, edge_broker, tmp_path, replay
):
    line = gateway_config.line.model_copy(update={"listen": f"unix:{tmp_path}/line.sock"})
    config = gateway_config.model_copy(update={"line": line, "replay": replay})
    public = public_bytes(load_or_create_key(config.key_path))
    chance = random.Random(20)
    device = SlowDevice(line.listen)
    sent = {}
    for number in range(6_000):
        row = [
            Reading(f"room-{room}/air_temperature", "Cel", START_MS + 1000 * number, number / 16) for room in range(3)
        ]
        sent[device.send_readings(row)] = row
    victim = Victim(config, tmp_path)
    streamer = threading.Thread(target=device.settle, args=(60.0,))
    streamer.start()
    kills = 0
    try:
        while streamer.is_alive() and kills < 10:
            time.sleep(chance.uniform(0.01, 0.25))
            victim.kill()
            kills += 1
            victim.start()
        streamer.join()
        answered = {reading for line_id in device.acked for reading in sent[line_id]}
        assert len(answered) == 18_000
        patiently(lambda: answered <= set(edge_platform.readings()), "every answered reading", 60)
    finally:
        victim.stop()
    assert kills >= 5
    edge_platform.assert_whole(public)
    assert set(edge_platform.readings()) == answered  # a line without an answer was sent again until it had one
