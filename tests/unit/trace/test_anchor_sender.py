"""The sender's plan: every situation has one answer, and the answers lead to one anchor after another."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanlu.trace.anchor.sender import (
    Abandon,
    Action,
    Anchor,
    AnchorState,
    Bump,
    ChainView,
    Contract,
    Deploy,
    Deployed,
    Fees,
    Finalise,
    Halt,
    Ledger,
    Mined,
    Outgoing,
    Prepare,
    Push,
    Receipt,
    Reorged,
    Resign,
    Rules,
    TreeHead,
    Wait,
    bumped,
    plan,
)

NOW = 1_000_000
RULES = Rules(every_ms=60_000, resend_ms=15_000, bump_ms=120_000, most_forms=3)


def _outgoing(nonce: int = 1, forms: int = 1, signed_ms: int = NOW, sent_ms: int | None = NOW) -> Outgoing:
    hashes = tuple(f"0x{nonce:032x}{form:032x}" for form in range(forms))
    return Outgoing(nonce, tuple(each.encode() for each in hashes), hashes, Fees(100, 10), signed_ms, sent_ms)


def _contract(state: Any = "deployed", **more: Any) -> Contract:
    return Contract(1, 7, "0x" + "ab" * 20, "log", b"\0" * 32, state, _outgoing(nonce=0, **more))


def _anchor(seq: int = 1, state: AnchorState = AnchorState.SENT, **more: Any) -> Anchor:
    anchor = Anchor(
        seq,
        seq * 10,
        bytes([seq]) * 32,
        bytes([seq - 1]) * 32,
        bytes([seq]) * 32,
        state,
        more.pop("prepared_ms", NOW),
        _outgoing(nonce=seq, **more),
    )
    if state in {AnchorState.MINED, AnchorState.FINAL}:
        anchor = replace(anchor, mined_tx=anchor.outgoing.hashes[0], block_number=seq, block_hash=f"0xb{seq}")
    return anchor


def _receipt(anchor: Anchor, block_hash: str | None = None, *, succeeded: bool = True) -> Receipt:
    return Receipt(anchor.outgoing.hashes[0], anchor.seq, block_hash or f"0xb{anchor.seq}", succeeded)


def _view(held: int | None = 0, **more: Any) -> ChainView:
    receipts = {each.tx_hash: each for each in more.pop("receipts", ())}
    values = {"chain_id": 7, "block": 100, "settled": 100, "nonce": 1, "code": True} | more
    return ChainView(held=held, receipts=receipts, **values)


NEWEST = TreeHead(10, b"\1" * 32)
P, S, M, F = AnchorState.PREPARED, AnchorState.SENT, AnchorState.MINED, AnchorState.FINAL
SENT = _anchor()
LATE = NOW + 20_000
LATER = NOW + 130_000

CASES: dict[str, tuple[Ledger, ChainView, int, Action | type[Halt]]] = {
    "nothing deployed": (Ledger(None), _view(code=False, nonce=4), NOW, Deploy(4)),
    "deployment signed, not sent": (
        Ledger(_contract("prepared", sent_ms=None)),
        _view(code=False, nonce=0),
        NOW,
        Push(0),
    ),
    "deployment sent, patience": (Ledger(_contract("prepared")), _view(code=False, nonce=0), NOW, Wait()),
    "deployment sent long ago": (Ledger(_contract("prepared")), _view(code=False, nonce=0), LATE, Push(0)),
    "deployment stuck": (Ledger(_contract("prepared")), _view(code=False, nonce=0), LATER, Bump(0)),
    "deployment mined": (Ledger(_contract("prepared")), _view(), NOW, Deployed()),
    "deployment lost its nonce": (
        Ledger(_contract("prepared")),
        _view(code=False, nonce=1),
        NOW,
        Abandon("the deployment's nonce was used up by another transaction"),
    ),
    "deployment failed": (
        Ledger(_contract("prepared")),
        _view(code=False, nonce=1, receipts=[Receipt(_outgoing(nonce=0).hashes[0], 3, "0x3", succeeded=False)]),
        NOW,
        Halt,
    ),
    "contract gone": (Ledger(_contract()), _view(code=False), NOW, Halt),
    "another chain": (Ledger(_contract()), _view(chain_id=8), NOW, Halt),
    "foreign head": (Ledger(_contract()), _view(held=None), NOW, Halt),
    "empty log": (Ledger(_contract()), _view(), NOW, Wait()),
    "first checkpoint": (Ledger(_contract(), (), NEWEST), _view(nonce=5), NOW, Prepare(1, NEWEST, 5)),
    "signed, not sent": (Ledger(_contract(), (_anchor(state=P, sent_ms=None),), NEWEST), _view(), NOW, Push(1)),
    "sent, patience": (Ledger(_contract(), (SENT,), NEWEST), _view(), NOW, Wait()),
    "sent long ago": (Ledger(_contract(), (SENT,), NEWEST), _view(), LATE, Push(1)),
    "stuck": (Ledger(_contract(), (SENT,), NEWEST), _view(), LATER, Bump(1)),
    "stuck with every form tried": (Ledger(_contract(), (_anchor(forms=3),), NEWEST), _view(), LATER, Push(1)),
    "nonce used up": (Ledger(_contract(), (SENT,), NEWEST), _view(nonce=9), NOW, Resign(1, 9)),
    "refused by the contract": (
        Ledger(_contract(), (SENT,), NEWEST),
        _view(nonce=2, receipts=[_receipt(SENT, succeeded=False)]),
        NOW,
        Halt,
    ),
    "mined": (Ledger(_contract(), (SENT,), NEWEST), _view(1, receipts=[_receipt(SENT)]), NOW, Mined(1, _receipt(SENT))),
    "mined, never noted as sent": (
        Ledger(_contract(), (_anchor(state=P, sent_ms=None),), NEWEST),
        _view(1),
        NOW,
        Mined(1, None),
    ),
    "mined and deep": (Ledger(_contract(), (_anchor(state=M),), NEWEST), _view(1, settled=1), NOW, Finalise(1)),
    "mined, not deep yet": (Ledger(_contract(), (_anchor(state=M),), NEWEST), _view(1, settled=0), NOW, Wait()),
    "mined in another block now": (
        Ledger(_contract(), (_anchor(state=M),), NEWEST),
        _view(1, settled=0, receipts=[_receipt(SENT, "0xother")]),
        NOW,
        Mined(1, _receipt(SENT, "0xother")),
    ),
    "reorganised away": (Ledger(_contract(), (_anchor(state=M),), NEWEST), _view(0), NOW, Reorged(1)),
    "final and gone": (Ledger(_contract(), (_anchor(state=F),), NEWEST), _view(0), NOW, Halt),
    "nothing new": (Ledger(_contract(), (_anchor(state=F),), NEWEST), _view(1), LATER, Wait()),
    "too soon": (
        Ledger(_contract(), (_anchor(state=F),), TreeHead(11, b"\2" * 32)),
        _view(1),
        NOW + 59_999,
        Wait(),
    ),
    "next": (
        Ledger(_contract(), (_anchor(state=F),), TreeHead(11, b"\2" * 32)),
        _view(1, nonce=2),
        NOW + 60_000,
        Prepare(2, TreeHead(11, b"\2" * 32), 2),
    ),
    "next while the last is not final": (
        Ledger(_contract(), (_anchor(state=M),), TreeHead(11, b"\2" * 32)),
        _view(1, nonce=2, settled=0),
        NOW + 60_000,
        Prepare(2, TreeHead(11, b"\2" * 32), 2),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_situation_has_its_one_answer(case: str) -> None:
    ledger, view, now_ms, expected = CASES[case]
    answer = plan(ledger, view, RULES, now_ms)
    if isinstance(expected, type):
        assert isinstance(answer, expected)
    else:
        assert answer == expected


@pytest.mark.parametrize("case", ["contract gone", "another chain"])
def test_chain_that_may_restart_gets_a_new_contract(case: str) -> None:
    ledger, view, now_ms, _ = CASES[case]
    assert isinstance(plan(ledger, view, replace(RULES, redeploy=True), now_ms), Abandon)


def test_chain_that_may_restart_is_told_its_final_anchors_again() -> None:
    ledger, view, now_ms, _ = CASES["final and gone"]
    assert plan(ledger, view, replace(RULES, redeploy=True), now_ms) == Reorged(1)


def test_node_of_another_chain_than_set_is_never_written_to() -> None:
    for ledger, view, now_ms, _ in CASES.values():
        assert isinstance(plan(ledger, view, replace(RULES, chain_id=999), now_ms), Halt)


def test_replacement_raises_both_parts_by_an_eighth_and_follows_the_market() -> None:
    assert bumped(Fees(800, 80), Fees(1, 1)) == Fees(900, 90)
    assert bumped(Fees(801, 81), Fees(1, 1)) == Fees(902, 92)
    assert bumped(Fees(800, 80), Fees(5000, 400)) == Fees(5000, 400)
    assert bumped(Fees(8, None), Fees(1, None)) == Fees(9, None)


@given(st.integers(1, 10**15), st.integers(0, 10**12), st.integers(0, 10**15), st.integers(0, 10**12))
def test_replacement_is_never_refused_for_its_price(maximum: int, tip: int, base: int, market_tip: int) -> None:
    old = Fees(max(maximum, tip), tip)
    new = bumped(old, Fees(base, market_tip))
    assert new.tip is not None
    assert old.tip is not None
    assert new.maximum * 8 >= old.maximum * 9
    assert new.tip * 8 >= old.tip * 9
    assert new.tip > old.tip
    assert new.maximum >= new.tip


class _World:
    """A chain and a ledger that follow the plan; the chain may mine, forget, go back, at any time."""

    def __init__(self) -> None:
        self.now = NOW
        self.contract: Contract | None = None
        self.anchors: list[Anchor] = []
        self.size = 1
        self.deployed = False
        self.held = 0
        self.pool: set[int] = set()
        self.forms_mined: list[int] = []

    def act(self) -> Action:
        nonce = (1 if self.deployed else 0) + self.held
        view = ChainView(7, 100, 100, nonce, code=self.deployed, held=self.held if self.deployed else None, receipts={})
        first = max((each.seq for each in self.anchors if each.state is F), default=0)
        ledger = Ledger(
            self.contract,
            tuple(each for each in self.anchors if each.seq >= min(first, self.held)),
            TreeHead(self.size, b"r" * 32),
        )
        action = plan(ledger, view, replace(RULES, redeploy=True, every_ms=0), self.now)
        self._apply(action)
        return action

    def _apply(self, action: Action) -> None:
        match action:
            case Deploy():
                self.contract = _contract("prepared", sent_ms=None)
            case Deployed():
                assert self.contract is not None
                self.contract = replace(self.contract, state="deployed")
            case Prepare(seq, head, nonce):
                assert seq == len(self.anchors) + 1
                made = _anchor(seq, P, sent_ms=None)
                self.anchors.append(replace(made, tree_size=head.size, outgoing=replace(made.outgoing, nonce=nonce)))
            case Push(0):
                assert self.contract is not None
                sent = replace(self.contract.outgoing, sent_ms=self.now)
                self.contract = replace(self.contract, outgoing=sent)
                self.pool.add(0)
            case Push(seq):
                self._set(seq, S, sent_ms=self.now)
                self.pool.add(seq)
            case Bump(0):
                pass
            case Bump(seq) | Resign(seq, _):
                self._set(seq, S, sent_ms=None)
            case Mined(seq, _):
                assert seq <= self.held
                self._set(seq, M)
                self.anchors[seq - 1] = replace(self.anchors[seq - 1], block_number=1, block_hash=None)
            case Finalise(seq):
                self._set(seq, F)
            case Reorged(seq):
                for each in self.anchors[seq - 1 :]:
                    self._set(each.seq, S, sent_ms=None)

    def _set(self, seq: int, state: AnchorState, **changes: Any) -> None:
        old = self.anchors[seq - 1]
        self.anchors[seq - 1] = replace(old, state=state, outgoing=replace(old.outgoing, **changes))

    def mine(self) -> None:
        if not self.deployed:
            self.deployed = 0 in self.pool
        while self.deployed and self.held + 1 in self.pool:
            self.pool.discard(self.held + 1)
            self.held += 1

    def go_back(self) -> None:
        self.held = max(0, self.held - 2)
        self.pool.clear()


@given(st.lists(st.sampled_from(["act", "act", "act", "mine", "grow", "wait", "forget", "back"]), max_size=80))
def test_whatever_the_chain_does_the_anchors_end_up_in_order_and_all_held(moves: list[str]) -> None:
    world = _World()
    for move in moves:
        if move == "act":
            assert not isinstance(world.act(), Halt)
        elif move == "mine":
            world.mine()
        elif move == "grow":
            world.size += 1
        elif move == "wait":
            world.now += 20_000
        elif move == "forget":
            world.pool.clear()
        else:
            world.go_back()
    for _ in range(200):
        world.now += 20_000
        world.act()
        world.mine()
    assert world.act() == Wait()
    assert world.anchors[-1].tree_size == world.size
    assert world.held == len(world.anchors)
    assert all(each.state is F for each in world.anchors)
    sizes = [each.tree_size for each in world.anchors]
    assert sizes == sorted(set(sizes))
