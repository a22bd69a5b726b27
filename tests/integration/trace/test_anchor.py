"""Anchoring on a real chain (anvil): crashes between its steps, reorganisations, stuck fees, a wiped chain."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from fix_trace import HOUR, T0, Ledger, amount, event, lot

from hanlu.core.errors import TransientError
from hanlu.trace.anchor.loop import anchor_round
from hanlu.trace.anchor.sender import Halt, Rules, Wait
from hanlu.trace.anchor.store import AnchorStore
from hanlu.trace.anchor.web3_chain import Web3Chain, load_account
from hanlu.trace.bundle_service import lot_bundle
from hanlu.trace.log.verify import verify_bundle

pytestmark = [pytest.mark.postgres, pytest.mark.chain]

A = lot("A")


class _DiedError(Exception):
    """The process is gone."""


class _Dying:
    """Stands for an object of the round; dies around its n-th call that does something."""

    def __init__(self, inner: Any, watch: frozenset[str], death: _Death) -> None:
        self._inner, self._watch, self._death = inner, watch, death

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if name not in self._watch:
            return value

        def call(*args: Any, **more: Any) -> Any:
            return self._death.around(lambda: value(*args, **more))

        return call


@dataclass
class _Death:
    """When to die: before or after the n-th step that changes something."""

    at: int
    after: bool
    count: int = 0

    def around(self, run: Callable[[], Any]) -> Any:
        self.count += 1
        if self.count == self.at and not self.after:
            raise _DiedError
        result = run()
        if self.count == self.at:
            raise _DiedError
        return result


_STORE_STEPS = frozenset({"keep_deployment", "keep_anchor", "keep_form", "sent", "deployed", "mined", "finalised"})


@dataclass
class Anchoring:
    """A log with a chain."""

    ledger: Ledger
    chain: Web3Chain
    rules: Rules = field(default_factory=lambda: Rules(every_ms=0))
    finality: int = 1
    made: int = 0

    def grow(self) -> None:
        """Let the log have another checkpoint."""
        self.made += 1
        self.ledger.orchard.capture(
            event(ms=T0 + self.made * HOUR, step="storing", to="room", quantityList=[amount(A, self.made)])
        )
        self.ledger.append()

    def round(self, death: _Death | None = None) -> Wait | Halt | None:
        """Run one round, maybe a deadly one; every round has its own connection."""
        with self.ledger.orchard.connect() as connection:
            store: Any = AnchorStore(connection)
            chain: Any = self.chain
            if death is not None:
                store = _Dying(store, _STORE_STEPS, death)
                chain = _Dying(chain, frozenset({"send"}), death)
            return anchor_round(store, chain, self.rules, self.finality, self.ledger.clock)

    def settle(self) -> Wait | Halt | None:
        """Run rounds until the chain has taken what it was given; a node mines when it likes."""
        done = self.round()
        end = time.monotonic() + 5
        while any(row[2] == "sent" for row in self.anchors()) and time.monotonic() < end:
            time.sleep(0.02)
            done = self.round()
        return done

    def anchors(self) -> list[tuple[Any, ...]]:
        """Return (seq, size, state) of every anchor of the contract in use."""
        return self.ledger.orchard.query(
            "SELECT seq, tree_size, a.state FROM trace.anchor AS a JOIN trace.chain AS c USING (chain_no)"
            " WHERE c.state <> 'lost' ORDER BY seq"
        )

    def ask(self, method: str, *params: Any) -> Any:
        """Call the node's own methods."""
        return self.chain._w3.manager.request_blocking(method, list(params))  # type: ignore[arg-type]


@pytest.fixture
def anchoring(ledger: Ledger, anvil_url: str, tmp_path: Path) -> Iterator[Anchoring]:
    chain = Web3Chain.at(anvil_url, load_account(tmp_path / "anchor.key"))
    chain.fund(10**20)
    yield Anchoring(ledger, chain)
    chain._w3.manager.request_blocking("evm_setAutomine", [True])  # type: ignore[arg-type]


def test_checkpoints_are_anchored_and_the_bundle_says_so(anchoring: Anchoring) -> None:
    anchoring.grow()
    assert isinstance(anchoring.settle(), Wait)
    assert anchoring.anchors() == [(1, 1, "final")]
    anchoring.grow()
    anchoring.grow()
    anchoring.settle()
    assert anchoring.anchors() == [(1, 1, "final"), (2, 3, "final")]
    with anchoring.ledger.orchard.connect() as connection:
        bundle = lot_bundle(connection, A)
    assert bundle["anchor"]["seq"] == 2
    answer = anchoring.chain.answer(bundle["anchor"]["contract"], bundle["anchor"]["tx"])
    report = verify_bundle(bundle, trusted_key=bundle["key"], chain=answer)
    assert {check.state for check in report.checks} == {"ok"}
    wrong = verify_bundle(bundle, chain=replace(answer, root="0x" + "00" * 32))
    assert wrong.verdict == "failed"
    assert anchoring.ledger.findings() == []


def test_bundle_with_leaves_past_the_anchor_takes_the_newest_checkpoint(anchoring: Anchoring) -> None:
    anchoring.grow()
    anchoring.settle()
    anchoring.grow()
    with anchoring.ledger.orchard.connect() as connection:
        bundle = lot_bundle(connection, A)
    assert bundle["anchor"] is None
    assert len(bundle["items"]) == 2
    assert verify_bundle(bundle).verdict != "failed"


def test_empty_log_deploys_and_waits(anchoring: Anchoring) -> None:
    assert isinstance(anchoring.settle(), Wait)
    assert anchoring.anchors() == []
    assert anchoring.ledger.orchard.query("SELECT state FROM trace.chain") == [("deployed",)]


def test_anchors_keep_their_distance(anchoring: Anchoring) -> None:
    anchoring.rules = Rules(every_ms=60_000)
    anchoring.grow()
    anchoring.settle()
    anchoring.grow()
    anchoring.settle()
    assert len(anchoring.anchors()) == 1
    anchoring.ledger.clock.advance(60)
    anchoring.settle()
    assert len(anchoring.anchors()) == 2


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_death_around_any_step_neither_loses_nor_repeats_an_anchor(anchoring: Anchoring, after: bool) -> None:
    at, died = 0, True
    while died:
        at, died = at + 1, False
        anchoring.grow()
        try:
            anchoring.round(_Death(at, after))
        except _DiedError:
            died = True
        assert isinstance(anchoring.settle(), Wait)
        # A transaction given to the node just before the death was mined unseen: patience shows it.
        anchoring.ledger.clock.advance(1000)
        assert isinstance(anchoring.settle(), Wait)
        rows = anchoring.anchors()
        assert [row[0] for row in rows] == list(range(1, len(rows) + 1))
        assert rows[-1] == (len(rows), anchoring.made, "final")
        # Every third time the contract is given up, so that the steps of deploying are walked through as well.
        anchoring.ledger.orchard.query("UPDATE trace.chain SET state = 'lost' WHERE %s", at % 3 == 0)
    assert at > 4
    assert anchoring.ledger.findings() == []


def test_stuck_anchor_is_sent_again_and_then_dearer_with_the_same_nonce(anchoring: Anchoring) -> None:
    anchoring.round()
    anchoring.ask("evm_setAutomine", False)
    anchoring.grow()
    anchoring.round()
    assert anchoring.anchors() == [(1, 1, "sent")]
    anchoring.ledger.clock.advance(20)
    anchoring.round()
    forms = "SELECT cardinality(raw_transactions), nonce, max_fee_wei, tip_wei FROM trace.anchor"
    ((count, nonce, fee, tip),) = anchoring.ledger.orchard.query(forms)
    assert count == 1
    anchoring.ledger.clock.advance(120)
    anchoring.round()
    ((count, again, more, more_tip),) = anchoring.ledger.orchard.query(forms)
    assert (count, again) == (2, nonce)
    assert more * 8 >= fee * 9
    assert more_tip * 8 >= tip * 9
    anchoring.ask("evm_mine")
    anchoring.settle()
    assert anchoring.anchors() == [(1, 1, "final")]
    assert anchoring.ledger.orchard.query("SELECT mined_tx = tx_hashes[2] FROM trace.anchor") == [(True,)]


def test_reorganised_anchor_is_sent_again(anchoring: Anchoring) -> None:
    anchoring.finality = 5
    anchoring.round()
    anchoring.ask("anvil_mine", "0x10")
    anchoring.grow()
    anchoring.settle()
    assert anchoring.anchors() == [(1, 1, "mined")]
    anchoring.ask("anvil_reorg", 1, [])
    anchoring.settle()
    assert anchoring.anchors() == [(1, 1, "mined")]
    anchoring.ask("anvil_mine", "0x10")
    anchoring.round()
    assert anchoring.anchors() == [(1, 1, "final")]


def test_final_anchor_that_vanishes_halts_unless_the_chain_may_restart(anchoring: Anchoring) -> None:
    anchoring.round()
    snapshot = anchoring.ask("evm_snapshot")
    anchoring.grow()
    anchoring.settle()
    anchoring.grow()
    anchoring.settle()
    assert [row[2] for row in anchoring.anchors()] == ["final", "final"]
    anchoring.ask("evm_revert", snapshot)
    done = anchoring.round()
    assert isinstance(done, Halt)
    assert "was final" in done.reason
    anchoring.rules = replace(anchoring.rules, redeploy=True)
    assert isinstance(anchoring.settle(), Wait)
    assert anchoring.anchors() == [(1, 1, "final"), (2, 2, "final")]


def test_wiped_chain_halts_unless_it_may_restart_and_then_gets_a_new_contract(anchoring: Anchoring) -> None:
    snapshot = anchoring.ask("evm_snapshot")
    anchoring.grow()
    anchoring.settle()
    anchoring.ask("evm_revert", snapshot)
    done = anchoring.round()
    assert isinstance(done, Halt)
    assert "wiped" in done.reason
    anchoring.rules = replace(anchoring.rules, redeploy=True)
    assert isinstance(anchoring.settle(), Wait)
    assert anchoring.anchors() == [(1, 1, "final")]
    states = anchoring.ledger.orchard.query("SELECT state FROM trace.chain ORDER BY chain_no")
    assert states == [("lost",), ("deployed",)]


def test_foreign_head_halts(anchoring: Anchoring) -> None:
    anchoring.grow()
    anchoring.settle()
    anchoring.ledger.orchard.query("DELETE FROM trace.anchor")
    done = anchoring.round()
    assert isinstance(done, Halt)
    assert "none of ours" in done.reason


def test_nonce_used_by_another_transaction_is_replaced(anchoring: Anchoring) -> None:
    anchoring.round()
    anchoring.grow()
    with pytest.raises(_DiedError):
        anchoring.round(_Death(2, after=False))  # signed and stored, not sent
    other = anchoring.chain.sign_deployment("hanlu.example/other", 31337, 1, anchoring.chain.fees())
    anchoring.chain.send(other.raw)
    anchoring.round()
    assert isinstance(anchoring.settle(), Wait)
    assert anchoring.anchors() == [(1, 1, "final")]


def test_second_sender_stands_aside(anchoring: Anchoring) -> None:
    anchoring.grow()
    with anchoring.ledger.orchard.connect() as first:
        assert AnchorStore(first).lock()
        assert anchoring.round() is None
    assert anchoring.anchors() == []


def test_node_that_is_away_is_transient_and_the_wrong_chain_halts(anchoring: Anchoring, tmp_path: Path) -> None:
    anchoring.rules = Rules(chain_id=1)
    assert isinstance(anchoring.round(), Halt)
    anchoring.chain = Web3Chain.at("http://127.0.0.1:9", load_account(tmp_path / "anchor.key"))
    with pytest.raises(TransientError):
        anchoring.round()
