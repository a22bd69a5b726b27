"""`hanlu trace verify` and `hanlu trace fsck`, as a shopper, an inspector and an operator use them."""

from __future__ import annotations

import io
import json
import socket
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fix_bundle import log_key, sample_bundle
from fix_running import RunningHanlu, running_hanlu

from hanlu.app.cli import main
from hanlu.trace.log.notes import verifier_key_for

Alter = Callable[[dict[str, Any]], object]


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder of proofs on a machine without any network and without a home."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the verifier reached for the network")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    return tmp_path


def written(folder: Path, value: object) -> str:
    path = folder / "proof.json"
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    return str(path)


def test_true_proof_of_one_lot_or_of_several_holds(offline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", "verify", written(offline, sample_bundle()), "--lang", "en"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "verdict: TRUE (2 left open)"
    assert main(["trace", "verify", written(offline, [sample_bundle(), sample_bundle()]), "--lang", "zh"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("结论: 核验通过")
    assert not (offline / "nobody").exists()


def test_key_from_elsewhere_is_compared(offline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = sample_bundle()
    file = written(offline, bundle)
    assert main(["trace", "verify", file, "--key", bundle["key"], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bundles"][0]["checks"][1]["code"] == "key.ok"
    other = str(verifier_key_for(bundle["origin"], log_key(2)))
    assert main(["trace", "verify", file, "--key", other, "--lang", "en"]) == 1
    assert "The log's key is not the one you trust" in capsys.readouterr().out
    assert main(["trace", "verify", file, "--key", "no key"]) == 2


ALTERED: dict[str, Alter] = {
    "an event": lambda bundle: bundle["items"][0]["document"].update(eventTime="2026-07-02T06:30:00.000+08:00"),
    "a reading": lambda bundle: bundle["items"][2]["document"]["points"][0].__setitem__(1, 4.0),
    "a proof": lambda bundle: bundle["items"][3]["path"].reverse(),
    "a record left out": lambda bundle: bundle["items"].pop(1),
    "the end left out": lambda bundle: bundle["items"].pop(),
    "the checkpoint": lambda bundle: bundle.update(checkpoint=bundle["checkpoint"].replace("\n", "\n1", 1)),
    "the anchor": lambda bundle: bundle["anchor"].update(size=bundle["anchor"]["size"] - 1),
    "a field more": lambda bundle: bundle.update(remark="all is well"),
}


@pytest.mark.parametrize("what", ALTERED)
def test_altered_proof_is_false(offline: Path, what: str, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = sample_bundle()
    ALTERED[what](bundle)
    assert main(["trace", "verify", written(offline, [sample_bundle(), bundle]), "--lang", "en"]) == 1
    shown = capsys.readouterr().out
    assert shown.splitlines()[-1] == "verdict: FALSE"
    assert "✗ failed" in shown


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"[" * 100_000, b'{"a":1,"a":2}', b"\xff", b"[NaN]"])
def test_file_that_is_no_proof_is_false_and_never_a_crash(offline: Path, data: bytes) -> None:
    path = offline / "proof.json"
    path.write_bytes(data)
    assert main(["trace", "verify", str(path)]) == 1


def test_proof_may_come_on_standard_input(
    offline: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = io.BytesIO(json.dumps(sample_bundle()).encode())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(data, encoding="utf-8"))
    assert main(["trace", "verify", "-", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "ok"


def test_file_that_is_not_there_is_wrong_use(offline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", "verify", str(offline / "none.json")]) == 2
    assert "none.json: No such file" in capsys.readouterr().err


@pytest.fixture(scope="module")
def hanlu() -> Iterator[RunningHanlu]:
    with running_hanlu(environment={"HANLU_CHAIN__ANCHOR_EVERY_S": "1"}) as one:
        yield one


@pytest.mark.postgres
@pytest.mark.broker
@pytest.mark.chain
@pytest.mark.slow
class TestRunningSystem:
    def test_downloaded_proof_holds_offline_and_on_the_chain(self, hanlu: RunningHanlu, tmp_path: Path) -> None:
        bundles = anchored_proof(hanlu)
        file = written(tmp_path, bundles)
        assert hanlu.run("trace", "verify", file).returncode == 0
        asked = hanlu.run("trace", "verify", file, "--rpc", str(hanlu.settings.chain.url), "--json")
        assert asked.returncode == 0, asked.stdout + asked.stderr
        checks = json.loads(asked.stdout)["bundles"][0]["checks"]
        assert {"id": "chain-anchor", "state": "ok"}.items() <= checks[-1].items()

    def test_anchor_the_chain_does_not_know_is_false(self, hanlu: RunningHanlu, tmp_path: Path) -> None:
        bundles = anchored_proof(hanlu)
        bundles[0]["anchor"]["tx"] = "0x" + "00" * 32
        asked = hanlu.run(
            "trace", "verify", written(tmp_path, bundles), "--rpc", str(hanlu.settings.chain.url), "--lang", "en"
        )
        assert asked.returncode == 1
        assert "The chain's record differs from the checkpoint" in asked.stdout

    def test_node_that_is_away_is_said_and_nothing_is_decided(self, hanlu: RunningHanlu, tmp_path: Path) -> None:
        file = written(tmp_path, anchored_proof(hanlu))
        asked = hanlu.run("trace", "verify", file, "--rpc", "http://127.0.0.1:9")
        assert asked.returncode == 2
        assert "without --rpc the file alone is checked" in asked.stderr
        assert asked.stdout == ""

    def test_log_of_the_running_system_is_whole_until_somebody_alters_it(self, hanlu: RunningHanlu) -> None:
        anchored_proof(hanlu)
        whole = hanlu.run("trace", "fsck")
        assert (whole.returncode, whole.stdout) == (0, "the log is what its checkpoints say\n")
        with psycopg.connect(hanlu.database_url) as connection:
            connection.execute(
                "UPDATE trace.checkpoint SET root_hash = decode(repeat('00', 32), 'hex')"
                " WHERE tree_size = (SELECT min(tree_size) FROM trace.checkpoint)"
            )
        altered = hanlu.run("trace", "fsck", "--json")
        assert altered.returncode == 1
        assert {finding["code"] for finding in json.loads(altered.stdout)} >= {"checkpoint"}


def anchored_proof(hanlu: RunningHanlu) -> list[dict[str, Any]]:
    """Download the proof of a lot, as the shopper's page offers it, once the chain holds its newest record."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        for lot in lots(hanlu):
            query = urllib.parse.urlencode({"lot": lot, "download": "true"})
            with urllib.request.urlopen(f"{hanlu.url}/trace/bundle?{query}", timeout=30) as answer:
                bundles: list[dict[str, Any]] = json.load(answer)
            if bundles[0]["anchor"] is not None:
                return bundles
        time.sleep(0.5)
    pytest.fail("no lot was anchored")


def lots(hanlu: RunningHanlu) -> list[str]:
    """Return the lots that have records in the log."""
    with psycopg.connect(hanlu.database_url) as connection:
        rows = connection.execute("SELECT DISTINCT lot_uri FROM trace.leaf ORDER BY 1").fetchall()
    return [uri for (uri,) in rows]
