"""One round of anchoring: look, plan, act, until there is nothing to do. Normal running and recovery are this function.

The order is the proof. Between any two of the numbered steps the process may die:

1. the transaction is signed and committed to the ledger;
   died here: the next round finds it prepared and sends those very bytes.
2. the node is given the bytes;
   died here: the ledger says prepared; they are sent again, and the node or the contract ignores the repetition.
3. the ledger says sent;
   died here: the next look at the contract's head tells whether they were mined.
4. the head shows the anchor, the ledger says mined; later, buried deep enough, final.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from hanlu.core.clock import Clock
from hanlu.core.errors import FatalError
from hanlu.core.observe import log
from hanlu.trace.anchor.sender import (
    Abandon,
    Action,
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
    Prepare,
    Push,
    Reorged,
    Resign,
    Rules,
    Wait,
    bumped,
    plan,
)
from hanlu.trace.anchor.store import AnchorStore, Preimage
from hanlu.trace.anchor.web3_chain import Finality, Look, Signed
from hanlu.trace.config import AnchorConfig

__all__ = ["ChainNode", "anchor_round", "rules_of"]

_LOG = logging.getLogger(__name__)
_MOST_STEPS = 50
"""Steps in one round; a healthy one has fewer than ten."""


class ChainNode(Protocol):
    """What a round needs of a chain; `Web3Chain` is it."""

    def look(self, contract: str | None, hashes: Sequence[str], finality: Finality) -> Look:
        """Read the chain at its newest block."""
        ...

    def fees(self) -> Fees:
        """Return what the chain asks for now."""
        ...

    def sign_deployment(self, origin: str, chain_id: int, nonce: int, fees: Fees) -> Signed:
        """Return the signed deployment."""
        ...

    def sign_anchor(
        self,
        contract: str,
        last: tuple[bytes, int, int, bytes],
        size: int,
        root: bytes,
        *,
        chain_id: int,
        nonce: int,
        fees: Fees,
    ) -> Signed:
        """Return a signed call."""
        ...

    def send(self, raw: bytes) -> None:
        """Give signed bytes to the node; repetition is harmless."""
        ...


def rules_of(config: AnchorConfig) -> Rules:
    """Return the sender's rules for these settings."""
    return Rules(
        chain_id=config.chain_id,
        every_ms=round(config.every_s * 1000),
        resend_ms=round(config.resend_s * 1000),
        bump_ms=round(config.bump_s * 1000),
        redeploy=config.may_redeploy,
    )


def anchor_round(
    store: AnchorStore, chain: ChainNode, rules: Rules, finality: Finality, clock: Clock
) -> Wait | Halt | None:
    """Do all that can be done now.

    Args:
        store: The ledger, on a connection in autocommit mode.
        chain: The chain.
        rules: The sender's settings.
        finality: Which blocks count as final.
        clock: The time.

    Returns:
        Wait when all is done for now, Halt when a person is needed, None when another process is the sender or the
        log is not created yet.

    Raises:
        TransientError: The node or the database is away; what was done so far is stored.
    """
    if not store.lock():
        return None
    try:
        origin = store.origin()
        if origin is None:
            return None
        for _ in range(_MOST_STEPS):
            ledger = store.ledger()
            ledger, view = _read(store, chain, ledger, finality)
            action = plan(ledger, view, rules, clock.now_ms())
            if isinstance(action, Wait | Halt):
                return action
            _act(_Round(store, chain, clock, origin, ledger, view), action)
        raise FatalError(f"anchoring did not come to rest in {_MOST_STEPS} steps")
    finally:
        store.unlock()


def _read(store: AnchorStore, chain: ChainNode, ledger: Ledger, finality: Finality) -> tuple[Ledger, ChainView]:
    """Return the ledger, widened to where the chain stands, and the chain."""
    contract = ledger.contract
    hashes = [each for anchor in ledger.anchors for each in anchor.outgoing.hashes]
    if contract is not None and contract.state == "prepared":
        hashes += contract.outgoing.hashes
    look = chain.look(contract.address if contract else None, hashes, finality)
    held = store.held(contract, look.slot) if contract is not None and look.slot is not None else None
    if contract is not None and held is not None and ledger.anchors and held < ledger.anchors[0].seq:
        ledger = replace(ledger, anchors=store.anchors_from(contract, held))
    view = ChainView(look.chain_id, look.block, look.settled, look.nonce, look.code, held, look.receipts)
    return ledger, view


class _Round:
    """What one step works with."""

    def __init__(
        self, store: AnchorStore, chain: ChainNode, clock: Clock, origin: str, ledger: Ledger, view: ChainView
    ) -> None:
        self.store, self.chain, self.clock = store, chain, clock
        self.origin, self.ledger, self.view = origin, ledger, view

    @property
    def contract(self) -> Contract:
        """The contract in use; a plan about anchors implies one."""
        assert self.ledger.contract is not None
        return self.ledger.contract

    def sign(self, seq: int, last: Preimage, size: int, root: bytes, nonce: int, fees: Fees) -> Signed:
        """Return the signed call for anchor `seq`."""
        shown = (last.prev, last.seq, last.size, last.root)
        assert last.seq == seq - 1
        return self.chain.sign_anchor(
            self.contract.address, shown, size, root, chain_id=self.contract.chain_id, nonce=nonce, fees=fees
        )


def _act(now: _Round, action: Action) -> None:
    """Carry one decision out."""
    level = logging.ERROR if isinstance(action, Abandon) else logging.INFO
    if isinstance(action, Reorged):
        level = logging.WARNING
    log(_LOG, level, f"trace.anchor.{type(action).__name__.lower()}", str(action))
    match action:
        case Deploy(nonce):
            fees = now.chain.fees()
            signed = now.chain.sign_deployment(now.origin, now.view.chain_id, nonce, fees)
            now.store.keep_deployment(now.origin, now.view.chain_id, nonce, signed, fees, now.clock.now_ms())
        case Deployed():
            now.store.deployed(now.contract, now.clock.now_ms())
        case Abandon():
            now.store.lost(now.contract, now.clock.now_ms())
        case Prepare(seq, head, nonce):
            fees = now.chain.fees()
            last = now.store.preimage(now.contract, seq - 1)
            signed = now.sign(seq, last, head.size, head.root, nonce, fees)
            now.store.keep_anchor(now.contract, last, head, nonce, signed, fees, now.clock.now_ms())
        case Push(seq):
            _push(now, seq)
        case Bump(seq):
            _sign_again(now, seq, None)
        case Resign(seq, nonce):
            _sign_again(now, seq, nonce)
        case Mined(seq, receipt):
            anchor = next(each for each in now.ledger.anchors if each.seq == seq)
            # A node that dropped old receipts still shows the head: the block we look at is then the latest it can be.
            tx = receipt.tx_hash if receipt else anchor.outgoing.hashes[-1]
            block = receipt.block_number if receipt else now.view.block
            now.store.mined(now.contract, seq, tx, block, receipt.block_hash if receipt else None, now.clock.now_ms())
        case Finalise(seq):
            now.store.finalised(now.contract, seq, now.clock.now_ms())
        case Reorged(seq):
            now.store.reorged(now.contract, seq)


def _push(now: _Round, seq: int) -> None:
    outgoing = now.contract.outgoing
    if seq:
        outgoing = next(each for each in now.ledger.anchors if each.seq == seq).outgoing
    now.chain.send(outgoing.raws[-1])
    now.store.sent(now.contract, seq, now.clock.now_ms())


def _sign_again(now: _Round, seq: int, nonce: int | None) -> None:
    """Store a dearer form of anchor `seq` (0: the deployment), with its own nonce or with `nonce`."""
    market = now.chain.fees()
    if seq == 0:
        old = now.contract.outgoing
        fees = bumped(old.fees, market)
        signed = now.chain.sign_deployment(now.origin, now.contract.chain_id, old.nonce, fees)
        now.store.keep_form(now.contract, 0, old.nonce, signed, fees, now.clock.now_ms())
        return
    anchor = next(each for each in now.ledger.anchors if each.seq == seq)
    fees = market if nonce is not None else bumped(anchor.outgoing.fees, market)
    use = anchor.outgoing.nonce if nonce is None else nonce
    last = now.store.preimage(now.contract, seq - 1)
    signed = now.sign(seq, last, anchor.tree_size, anchor.root_hash, use, fees)
    now.store.keep_form(now.contract, seq, use, signed, fees, now.clock.now_ms())
