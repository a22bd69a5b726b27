"""The anchor's ledger in `trace.chain` and `trace.anchor`: rows become the values `sender` decides on.

Every signed transaction is committed here before a node sees it. Connections are in autocommit mode; each function is
one statement, so a crash falls between two of them and never within one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.rows import dict_row

from hanlu.core.clock import from_ms, to_ms
from hanlu.db.pool import Connection
from hanlu.db.queries import load_queries
from hanlu.trace.anchor.sender import Anchor, AnchorState, Contract, Fees, Ledger, Outgoing, TreeHead
from hanlu.trace.anchor.web3_chain import Signed, genesis_head, head_after, origin_hash
from hanlu.trace.log.merkle import EMPTY_ROOT

__all__ = ["AnchorStore", "Preimage"]

_SQL = load_queries("hanlu.trace")
_LOCK = 0x414E43484F52  # "ANCHOR": one sender in a database


@dataclass(frozen=True, slots=True)
class Preimage:
    """What a head is the hash of: the caller of the contract has to show it.

    Attributes:
        prev: Head before.
        seq: Number of the anchor, 0 before the first.
        size: Leaves.
        root: Root hash.
    """

    prev: bytes
    seq: int
    size: int
    root: bytes

    @property
    def head(self) -> bytes:
        """The head itself."""
        return head_after(self.prev, self.seq, self.size, self.root)


class AnchorStore:
    """The ledger, read and written through one connection in autocommit mode."""

    def __init__(self, connection: Connection) -> None:
        """Use `connection` for every statement."""
        self._connection = connection

    def _rows(self, name: str, **values: Any) -> list[dict[str, Any]]:
        with self._connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(_SQL[name], values).fetchall()

    def _write(self, name: str, **values: Any) -> None:
        done = self._connection.execute(_SQL[name], values)
        if done.rowcount != 1:
            raise AssertionError(f"{name} touched {done.rowcount} rows: two senders are at work")

    def lock(self) -> bool:
        """Become the only sender until `unlock` or the connection's end; False when another is at work."""
        return bool(self._rows("writer_lock", key=_LOCK)[0]["held"])

    def unlock(self) -> None:
        """Let another become the sender."""
        self._connection.execute(_SQL["writer_unlock"], {"key": _LOCK})

    def origin(self) -> str | None:
        """Return the origin of this database's log, or None before its creation."""
        rows = self._rows("log_identity")
        return rows[0]["origin"] if rows else None

    def ledger(self) -> Ledger:
        """Return what is stored: the contract in use, its open anchors, the newest checkpoint."""
        contracts = self._rows("anchor_contract")
        newest = self._rows("checkpoint_newest")
        head = TreeHead(newest[0]["tree_size"], bytes(newest[0]["root_hash"])) if newest else None
        if not contracts:
            return Ledger(None, (), head)
        contract = _contract(contracts[0])
        return Ledger(contract, self._anchors("anchor_open", chain_no=contract.chain_no), head)

    def anchors_from(self, contract: Contract, seq: int) -> tuple[Anchor, ...]:
        """Return the anchors numbered `seq` and above, whatever their state."""
        return self._anchors("anchor_from", chain_no=contract.chain_no, seq=seq)

    def _anchors(self, name: str, **values: Any) -> tuple[Anchor, ...]:
        return tuple(_anchor(row) for row in self._rows(name, **values))

    def held(self, contract: Contract, slot: bytes) -> int | None:
        """Return the number of the anchor whose head `slot` is, 0 for the fresh contract's, None for a stranger's."""
        if slot == contract.genesis_head:
            return 0
        rows = self._rows("anchor_held", chain_no=contract.chain_no, head=slot)
        return rows[0]["seq"] if rows else None

    def preimage(self, contract: Contract, seq: int) -> Preimage:
        """Return what the head after anchor `seq` (0: the fresh contract) is made of."""
        if seq == 0:
            return Preimage(origin_hash(contract.origin), 0, 0, EMPTY_ROOT)
        row = self._rows("anchor_last_before", chain_no=contract.chain_no, seq=seq)[0]
        return Preimage(bytes(row["prev_head"]), row["seq"], row["tree_size"], bytes(row["root_hash"]))

    def keep_deployment(self, origin: str, chain_id: int, nonce: int, signed: Signed, fees: Fees, now_ms: int) -> None:
        """Store a signed deployment."""
        self._write(
            "chain_insert",
            chain_id=chain_id,
            contract=signed.contract,
            log_origin=origin,
            genesis_head=genesis_head(origin),
            nonce=nonce,
            **_form(signed, fees, now_ms),
        )

    def keep_anchor(
        self, contract: Contract, last: Preimage, head: TreeHead, nonce: int, signed: Signed, fees: Fees, now_ms: int
    ) -> None:
        """Store a signed anchor of `head` behind `last`."""
        self._write(
            "anchor_insert",
            chain_no=contract.chain_no,
            seq=last.seq + 1,
            tree_size=head.size,
            root_hash=head.root,
            prev_head=last.head,
            head=head_after(last.head, last.seq + 1, head.size, head.root),
            nonce=nonce,
            **_form(signed, fees, now_ms),
        )

    def keep_form(self, contract: Contract, seq: int, nonce: int, signed: Signed, fees: Fees, now_ms: int) -> None:
        """Store another signed form of anchor `seq`, or of the deployment (`seq` 0)."""
        form = _form(signed, fees, now_ms)
        if seq == 0:
            self._write("chain_form", chain_no=contract.chain_no, **form)
        else:
            self._write("anchor_form", chain_no=contract.chain_no, seq=seq, nonce=nonce, **form)

    def sent(self, contract: Contract, seq: int, now_ms: int) -> None:
        """Note that a node was given anchor `seq`, or the deployment (`seq` 0)."""
        if seq == 0:
            self._write("chain_sent", chain_no=contract.chain_no, now=from_ms(now_ms))
        else:
            self._write("anchor_sent", chain_no=contract.chain_no, seq=seq, now=from_ms(now_ms))

    def deployed(self, contract: Contract, now_ms: int) -> None:
        """Note that the chain shows the contract."""
        self._write("chain_deployed", chain_no=contract.chain_no, now=from_ms(now_ms))

    def lost(self, contract: Contract, now_ms: int) -> None:
        """Note that the contract is gone."""
        self._write("chain_lost", chain_no=contract.chain_no, now=from_ms(now_ms))

    def mined(
        self, contract: Contract, seq: int, tx: str, block_number: int, block_hash: str | None, now_ms: int
    ) -> None:
        """Note where anchor `seq` was mined."""
        self._write(
            "anchor_mined",
            chain_no=contract.chain_no,
            seq=seq,
            mined_tx=tx,
            block_number=block_number,
            block_hash=block_hash,
            now=from_ms(now_ms),
        )

    def finalised(self, contract: Contract, seq: int, now_ms: int) -> None:
        """Note that anchor `seq` is final."""
        self._write("anchor_final", chain_no=contract.chain_no, seq=seq, now=from_ms(now_ms))

    def reorged(self, contract: Contract, seq: int) -> None:
        """Take the anchors from `seq` on back to sent."""
        self._connection.execute(_SQL["anchor_reorged"], {"chain_no": contract.chain_no, "seq": seq})


def _form(signed: Signed, fees: Fees, now_ms: int) -> dict[str, Any]:
    return {
        "raw": signed.raw,
        "tx_hash": signed.tx_hash,
        "max_fee": fees.maximum,
        "tip": fees.tip,
        "now": from_ms(now_ms),
    }


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else to_ms(moment)


def _outgoing(row: dict[str, Any]) -> Outgoing:
    return Outgoing(
        nonce=row["nonce"],
        raws=tuple(bytes(each) for each in row["raw_transactions"]),
        hashes=tuple(row["tx_hashes"]),
        fees=Fees(int(row["max_fee_wei"]), None if row["tip_wei"] is None else int(row["tip_wei"])),
        signed_ms=to_ms(row["signed_at"]),
        sent_ms=_ms(row["sent_at"]),
    )


def _contract(row: dict[str, Any]) -> Contract:
    return Contract(
        chain_no=row["chain_no"],
        chain_id=row["chain_id"],
        address=row["contract"],
        origin=row["log_origin"],
        genesis_head=bytes(row["genesis_head"]),
        state=row["state"],
        outgoing=_outgoing(row),
    )


def _anchor(row: dict[str, Any]) -> Anchor:
    return Anchor(
        seq=row["seq"],
        tree_size=row["tree_size"],
        root_hash=bytes(row["root_hash"]),
        prev_head=bytes(row["prev_head"]),
        head=bytes(row["head"]),
        state=AnchorState(row["state"]),
        prepared_ms=to_ms(row["prepared_at"]),
        outgoing=_outgoing(row),
        mined_tx=row["mined_tx"],
        block_number=row["block_number"],
        block_hash=row["block_hash"],
    )
