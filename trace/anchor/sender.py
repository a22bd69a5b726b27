"""What the anchor's single writer does next: a pure decision from what we stored and what the chain shows.

Theory. The contract's slot holds the hash of the whole chain of anchors, and every stored anchor knows the slot's value
before it and after it. So one reading of the slot tells how many of our anchors the chain holds (`ChainView.held`), and
that number alone decides: anchors up to it are mined, the next one is to be pushed, later ones wait. Nothing is
remembered about what was *sent*, for a node may lose, keep or mine a transaction without telling; sending the same
bytes twice is harmless, since the contract compares before it swaps. Starting again after a crash is therefore the
same function as going on.

Every signed form of a transaction is stored before it is sent. Forms of one step share their nonce, so at most one
of them is mined. Time matters only for patience: when to send again, when to pay more.

States of an anchor: prepared (signed and stored) -> sent (a node took it) -> mined (the slot shows it) -> final
(buried as deep as the finality setting asks); a reorganised chain takes it back to sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

__all__ = [
    "Abandon",
    "Action",
    "Anchor",
    "AnchorState",
    "Bump",
    "ChainView",
    "Contract",
    "Deploy",
    "Deployed",
    "Fees",
    "Finalise",
    "Halt",
    "Ledger",
    "Mined",
    "Outgoing",
    "Prepare",
    "Push",
    "Receipt",
    "Reorged",
    "Resign",
    "Rules",
    "TreeHead",
    "Wait",
    "bumped",
    "plan",
]


@dataclass(frozen=True, slots=True)
class Fees:
    """What a transaction offers per unit of gas, in wei.

    Attributes:
        maximum: Most that is paid in all (EIP-1559), or the gas price where the chain has no such market.
        tip: The part for the block's producer; None on a chain without EIP-1559.
    """

    maximum: int
    tip: int | None


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A step on its way to the chain: all its signed forms.

    Attributes:
        nonce: The account's transaction number they share.
        raws: Signed bytes, the newest last; at least one.
        hashes: Their transaction hashes, in the same order.
        fees: What the newest form offers.
        signed_ms: When the newest form was signed, Unix milliseconds UTC.
        sent_ms: When a form was last given to a node, or None.
    """

    nonce: int
    raws: tuple[bytes, ...]
    hashes: tuple[str, ...]
    fees: Fees
    signed_ms: int
    sent_ms: int | None


@dataclass(frozen=True, slots=True)
class Contract:
    """A deployment of the anchor contract.

    Attributes:
        chain_no: Our number for it.
        chain_id: The chain it was signed for.
        address: Where it is or will be, ``0x`` and 40 lower-case hex digits.
        origin: The log it serves.
        genesis_head: The slot's value before the first anchor, 32 bytes.
        state: prepared until the chain shows its code.
        outgoing: The deploying transaction.
    """

    chain_no: int
    chain_id: int
    address: str
    origin: str
    genesis_head: bytes
    state: Literal["prepared", "deployed"]
    outgoing: Outgoing


class AnchorState(StrEnum):
    """How far an anchor has come."""

    PREPARED = "prepared"
    SENT = "sent"
    MINED = "mined"
    FINAL = "final"


@dataclass(frozen=True, slots=True)
class Anchor:
    """One stored anchor.

    Attributes:
        seq: Number in the contract, from 1.
        tree_size: Leaves in the anchored tree.
        root_hash: Root of the anchored tree, 32 bytes.
        prev_head: The slot's value before it.
        head: The slot's value after it.
        state: How far it has come.
        prepared_ms: When it was first signed, Unix milliseconds UTC.
        outgoing: Its transaction.
        mined_tx: Which form was mined, or None.
        block_number: Where, or None.
        block_hash: Hash of that block, or None where the node no longer knew the receipt.
    """

    seq: int
    tree_size: int
    root_hash: bytes
    prev_head: bytes
    head: bytes
    state: AnchorState
    prepared_ms: int
    outgoing: Outgoing
    mined_tx: str | None = None
    block_number: int | None = None
    block_hash: str | None = None


@dataclass(frozen=True, slots=True)
class TreeHead:
    """The newest signed checkpoint.

    Attributes:
        size: Leaves.
        root: Root hash, 32 bytes.
    """

    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class Ledger:
    """What we have stored.

    Attributes:
        contract: The deployment in use, or None.
        anchors: Its anchors that are not final, and the newest final one, in the order of seq without holes.
        newest: The newest checkpoint, or None while the log is empty.
    """

    contract: Contract | None
    anchors: tuple[Anchor, ...] = ()
    newest: TreeHead | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """A mined transaction as the node shows it.

    Attributes:
        tx_hash: Which.
        block_number: Where.
        block_hash: Hash of that block.
        succeeded: False when the call reverted.
    """

    tx_hash: str
    block_number: int
    block_hash: str
    succeeded: bool


@dataclass(frozen=True, slots=True)
class ChainView:
    """What the chain shows, read at one block.

    Attributes:
        chain_id: The chain that answered.
        block: Number of the block everything is read at.
        settled: Newest block that the finality setting counts as final; may be below 0.
        nonce: Transactions of our account mined so far.
        code: Whether there is code at the contract's address.
        held: How many of our anchors the contract's slot commits to; None when its value is none of ours.
        receipts: Receipts by transaction hash, of the hashes in the ledger that have one.
    """

    chain_id: int
    block: int
    settled: int
    nonce: int
    code: bool = False
    held: int | None = None
    receipts: Mapping[str, Receipt] | None = None

    def receipt(self, outgoing: Outgoing) -> Receipt | None:
        """Return the receipt of whichever form was mined, or None."""
        found = self.receipts or {}
        return next((found[each] for each in reversed(outgoing.hashes) if each in found), None)


@dataclass(frozen=True, slots=True)
class Rules:
    """Settings of the sender.

    Attributes:
        chain_id: The chain we mean, or None for whichever answers first.
        every_ms: Least time between two anchors, milliseconds.
        resend_ms: Patience before the same bytes are given to a node again, milliseconds.
        bump_ms: Patience with one form before a dearer one is signed, milliseconds.
        most_forms: Most signed forms of one step.
        redeploy: The chain may be wiped or set back (a development chain): then start anew instead of stopping.
    """

    chain_id: int | None = None
    every_ms: int = 60_000
    resend_ms: int = 15_000
    bump_ms: int = 120_000
    most_forms: int = 20
    redeploy: bool = False


@dataclass(frozen=True, slots=True)
class Deploy:
    """Sign and store a deployment with this account nonce."""

    nonce: int


@dataclass(frozen=True, slots=True)
class Deployed:
    """The chain shows the contract's code: note it."""


@dataclass(frozen=True, slots=True)
class Abandon:
    """The contract is gone for good: note why, so that the next plan deploys anew."""

    reason: str


@dataclass(frozen=True, slots=True)
class Prepare:
    """Sign and store the next anchor.

    Attributes:
        seq: Its number.
        head: The tree head to anchor.
        nonce: The account nonce to use.
    """

    seq: int
    head: TreeHead
    nonce: int


@dataclass(frozen=True, slots=True)
class Push:
    """Give the newest stored form to the node; `seq` 0 is the deployment."""

    seq: int


@dataclass(frozen=True, slots=True)
class Bump:
    """Sign and store a dearer form with the same nonce; `seq` 0 is the deployment."""

    seq: int


@dataclass(frozen=True, slots=True)
class Resign:
    """The nonce was used up by something else: sign and store the anchor again with this one."""

    seq: int
    nonce: int


@dataclass(frozen=True, slots=True)
class Mined:
    """The slot shows the anchor: note where; `receipt` is None when the node no longer keeps it."""

    seq: int
    receipt: Receipt | None


@dataclass(frozen=True, slots=True)
class Finalise:
    """The anchor is buried deep enough."""

    seq: int


@dataclass(frozen=True, slots=True)
class Reorged:
    """The chain no longer holds the anchors from `seq` on: take them back to sent."""

    seq: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do until time or the chain moves."""


@dataclass(frozen=True, slots=True)
class Halt:
    """Something only a person can settle; the log goes on without new anchors."""

    reason: str


Action = Deploy | Deployed | Abandon | Prepare | Push | Bump | Resign | Mined | Finalise | Reorged | Wait | Halt


def bumped(old: Fees, market: Fees) -> Fees:
    """Return the fees of a replacement: each at least one eighth above the old one and not below the market's.

    Nodes refuse a replacement that does not raise both parts by their margin (10 % in geth, 12.5 % elsewhere).
    """

    def raised(before: int, now: int) -> int:
        return max(before + -(-before // 8), before + 1, now)

    tip = None if old.tip is None else raised(old.tip, market.tip or 0)
    return Fees(max(raised(old.maximum, market.maximum), tip or 0), tip)


def plan(ledger: Ledger, view: ChainView, rules: Rules, now_ms: int) -> Action:
    """Return the one thing to do next.

    Args:
        ledger: What we stored.
        view: What the chain shows, read after the ledger.
        rules: Settings.
        now_ms: The time, Unix milliseconds UTC.
    """
    if rules.chain_id is not None and view.chain_id != rules.chain_id:
        return Halt(f"the node serves chain {view.chain_id}, the setting says {rules.chain_id}")
    contract = ledger.contract
    if contract is None:
        return Deploy(view.nonce)
    if contract.chain_id != view.chain_id:
        return _gone(f"the contract stands on chain {contract.chain_id}, the node serves {view.chain_id}", rules)
    if not view.code:
        return _await_contract(contract, view, rules, now_ms)
    if contract.state == "prepared":
        return Deployed()
    if view.held is None:
        return Halt(
            f"the head of contract {contract.address} is none of ours: somebody else holds the account's key, or the"
            " database was set back to an older state"
        )
    return _settle(ledger, view, view.held, rules) or _advance(ledger, view, view.held, rules, now_ms)


def _gone(reason: str, rules: Rules) -> Action:
    if rules.redeploy:
        return Abandon(reason)
    return Halt(f"{reason}; point the setting at the right chain, or allow a new contract with redeploy_on_fresh_chain")


def _await_contract(contract: Contract, view: ChainView, rules: Rules, now_ms: int) -> Action:
    """The address has no code: the deployment is under way, has failed, or its chain was wiped."""
    if contract.state == "deployed":
        return _gone(f"contract {contract.address} is not on chain {view.chain_id}: the chain was wiped", rules)
    receipt = view.receipt(contract.outgoing)
    if receipt is not None and not receipt.succeeded:
        return Halt(f"the deployment {receipt.tx_hash} failed on the chain")
    if view.nonce > contract.outgoing.nonce and receipt is None:
        # The address hangs on the nonce, so a deployment that lost its nonce can never be mined: sign another.
        return Abandon("the deployment's nonce was used up by another transaction")
    return _press(0, contract.outgoing, rules, now_ms)


def _settle(ledger: Ledger, view: ChainView, held: int, rules: Rules) -> Action | None:
    """Bring the stored states of one anchor in line with what the chain holds, or return None when all are."""
    for anchor in ledger.anchors:
        if anchor.seq > held:
            if anchor.state is AnchorState.FINAL and not rules.redeploy:
                return Halt(f"anchor {anchor.seq} was final and the chain no longer holds it")
            if anchor.state in {AnchorState.MINED, AnchorState.FINAL}:
                return Reorged(anchor.seq)
            continue
        if anchor.state is AnchorState.FINAL:
            continue
        receipt = view.receipt(anchor.outgoing)
        if anchor.state is not AnchorState.MINED:
            return Mined(anchor.seq, receipt)
        if receipt is not None and receipt.block_hash != anchor.block_hash:
            return Mined(anchor.seq, receipt)
        if anchor.block_number is not None and anchor.block_number <= view.settled:
            return Finalise(anchor.seq)
    return None


def _advance(ledger: Ledger, view: ChainView, held: int, rules: Rules, now_ms: int) -> Action:
    """Push the anchor that is next for the chain, or prepare one when there is none."""
    waiting = next((each for each in ledger.anchors if each.seq == held + 1), None)
    if waiting is not None:
        receipt = view.receipt(waiting.outgoing)
        if receipt is not None and not receipt.succeeded:
            return Halt(f"anchor {waiting.seq} was refused by the contract in {receipt.tx_hash}")
        if waiting.state is AnchorState.SENT and view.nonce > waiting.outgoing.nonce and receipt is None:
            return Resign(waiting.seq, view.nonce)
        return _press(waiting.seq, waiting.outgoing, rules, now_ms)
    newest, last = ledger.newest, ledger.anchors[-1] if ledger.anchors else None
    if newest is None or (last is not None and newest.size <= last.tree_size):
        return Wait()
    if last is not None and now_ms - last.prepared_ms < rules.every_ms:
        return Wait()
    return Prepare(held + 1, newest, view.nonce)


def _press(seq: int, outgoing: Outgoing, rules: Rules, now_ms: int) -> Action:
    """Send, send again, offer more, or wait."""
    if outgoing.sent_ms is None:
        return Push(seq)
    if now_ms - outgoing.signed_ms >= rules.bump_ms and len(outgoing.raws) < rules.most_forms:
        return Bump(seq)
    if now_ms - outgoing.sent_ms >= rules.resend_ms:
        return Push(seq)
    return Wait()
