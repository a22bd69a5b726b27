"""The one place that speaks to an EVM node: read at one block, sign, send.

Everything is read at one block number, so that slot, nonce and code belong together. Signing needs no node. Errors of
the network and of the node become `TransientError`; what they mean for an anchor is decided by `sender.plan` from the
next reading, never from the error.

Source: Ethereum execution JSON-RPC; EIP-1559 (fees); EIP-155 (chain id in signatures).
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import requests
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from web3 import HTTPProvider, Web3
from web3.contract import Contract as Web3Contract
from web3.contract.contract import ContractConstructor, ContractFunction
from web3.exceptions import TransactionNotFound, Web3Exception, Web3RPCError
from web3.middleware import ExtraDataToPOAMiddleware
from web3.providers.base import JSONBaseProvider
from web3.types import TxParams

from hanlu.core.errors import NotFoundError, TransientError, VerificationError
from hanlu.trace.anchor.sender import Fees, Receipt
from hanlu.trace.keys import make_secret, read_secret
from hanlu.trace.log.merkle import EMPTY_ROOT
from hanlu.trace.log.verify import ChainAnswer

# py_ecc, which eth_account imports, raises the limit to 100,000: deep JSON would then overflow the stack of its C
# parser and end the process instead of being refused.
sys.setrecursionlimit(1_000)

__all__ = [
    "Finality",
    "Look",
    "Signed",
    "Web3Chain",
    "artifact",
    "ask_anchor",
    "genesis_head",
    "head_after",
    "load_account",
    "origin_hash",
]

Finality = int | Literal["safe", "finalized"]
"""Blocks until an anchor is final (1: the block that holds it), or the node's own tag."""

ANCHOR_GAS = 60_000
"""Gas offered for one anchor: twice what it costs (30.2 k measured)."""

DEPLOY_GAS = 600_000
"""Gas offered for the deployment: twice what it costs (239 k measured)."""

_TIMEOUT_S = 10.0
_KNOWN = ("already known", "already imported", "nonce too low", "underpriced", "already in pool", "known transaction")
"""Words with which nodes refuse bytes they need not take: the next reading of the chain says what became of them."""


@dataclass(frozen=True, slots=True)
class Look:
    """One reading of the chain.

    Attributes:
        chain_id: The chain that answered.
        block: The block everything is read at.
        settled: Newest block that counts as final.
        nonce: Mined transactions of our account.
        code: Whether the contract is there.
        slot: The contract's head, or None without a contract.
        receipts: By transaction hash.
    """

    chain_id: int
    block: int
    settled: int
    nonce: int
    code: bool
    slot: bytes | None
    receipts: dict[str, Receipt]


@dataclass(frozen=True, slots=True)
class Signed:
    """A signed transaction, not sent.

    Attributes:
        raw: The bytes to send.
        tx_hash: Their hash, ``0x`` and 64 hex digits.
        contract: Address the transaction creates or calls, lower case.
    """

    raw: bytes
    tx_hash: str
    contract: str


@cache
def artifact() -> dict[str, Any]:
    """Return the compiled contract: `abi`, `bytecode`, `compiler`, `head_slot`."""
    text = files("hanlu.trace").joinpath("anchor", "contract", "HanluAnchor.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def origin_hash(origin: str) -> bytes:
    """Return the word that binds a contract to the log of this origin: SHA-256 of the origin line."""
    return hashlib.sha256(origin.encode()).digest()


def head_after(prev: bytes, seq: int, size: int, root: bytes) -> bytes:
    """Return the slot's value once anchor `seq` (`size`, `root`) stands behind the head `prev`."""
    return bytes(keccak(prev + seq.to_bytes(32, "big") + size.to_bytes(32, "big") + root))


def genesis_head(origin: str) -> bytes:
    """Return the slot's value of a fresh contract for the log of this origin."""
    return head_after(origin_hash(origin), 0, 0, EMPTY_ROOT)


def load_account(path: Path) -> LocalAccount:
    """Return the sending account of the key file at `path`, made (mode 0600) when it is not there.

    Raises:
        FatalError: The file is readable by others or holds no key.
    """
    try:
        secret = read_secret(path)
    except NotFoundError:
        secret = os.urandom(32)
        make_secret(path, secret)
    account: LocalAccount = Account.from_key(secret)
    return account


class Web3Chain:
    """A chain seen through one node, and the account that writes to it."""

    def __init__(self, provider: JSONBaseProvider, account: LocalAccount) -> None:
        """Speak through `provider`, sign as `account`."""
        self._w3 = Web3(provider)
        self._w3.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)
        self._account = account

    @classmethod
    def at(cls, url: str, account: LocalAccount) -> Web3Chain:
        """Speak to the node at `url` (http or https)."""
        provider = HTTPProvider(url, request_kwargs={"timeout": _TIMEOUT_S}, exception_retry_configuration=None)
        return cls(provider, account)

    @property
    def address(self) -> str:
        """The sending account, lower case."""
        return str(self._account.address).lower()

    def look(self, contract: str | None, hashes: Sequence[str], finality: Finality) -> Look:
        """Read the chain at its newest block.

        Args:
            contract: Address of the anchor contract, or None.
            hashes: Transactions whose receipts are wanted.
            finality: Which blocks count as final.

        Raises:
            TransientError: The node does not answer, or not sensibly.
        """
        with _translated():
            eth = self._w3.eth
            block = eth.get_block("latest")["number"]
            depth = finality - 1 if isinstance(finality, int) else None
            settled = block - depth if depth is not None else eth.get_block(finality)["number"]
            code, slot = False, None
            if contract is not None:
                code = len(eth.get_code(to_checksum_address(contract), block)) > 0
            if contract is not None and code:
                slot = bytes(self._contract(contract).functions.head().call(block_identifier=block))
            nonce = eth.get_transaction_count(self._account.address, block)
            receipts = {each: found for each in hashes if (found := self._receipt(each, block)) is not None}
            return Look(eth.chain_id, block, settled, nonce, code, slot, receipts)

    def fees(self) -> Fees:
        """Return what the chain asks for now: twice the base fee and the usual tip.

        Raises:
            TransientError: The node does not answer.
        """
        with _translated():
            base = self._w3.eth.get_block("latest").get("baseFeePerGas")
            if base is None:
                return Fees(int(self._w3.eth.gas_price), None)
            tip = int(self._w3.eth.max_priority_fee)
            return Fees(2 * int(base) + tip, tip)

    def sign_deployment(self, origin: str, chain_id: int, nonce: int, fees: Fees) -> Signed:
        """Return the signed deployment of a contract for the log `origin`."""
        factory = self._w3.eth.contract(abi=artifact()["abi"], bytecode=artifact()["bytecode"])
        call = factory.constructor(origin_hash(origin))
        created = keccak(_rlp_address_nonce(bytes.fromhex(self._account.address[2:]), nonce))[12:]
        return self._sign(call, chain_id, nonce, fees, DEPLOY_GAS, "0x" + created.hex())

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
        """Return the signed call that puts (`size`, `root`) behind the anchor `last` (prev head, seq, size, root)."""
        call = self._contract(contract).functions.anchor(*last, size, root)
        return self._sign(call, chain_id, nonce, fees, ANCHOR_GAS, contract)

    def send(self, raw: bytes) -> None:
        """Give signed bytes to the node; bytes it already has, or need not take, are no error.

        Raises:
            TransientError: The node does not answer, or refuses for another reason.
        """
        with _translated():
            try:
                self._w3.eth.send_raw_transaction(raw)
            except Web3RPCError as error:
                if not any(word in str(error).lower() for word in _KNOWN):
                    raise

    def fund(self, wei: int) -> None:
        """Give the account `wei` on a development chain that allows it.

        Raises:
            TransientError: The node does not answer, or is no development node.
        """
        with _translated():
            self._w3.manager.request_blocking("anvil_setBalance", [self._account.address, hex(wei)])  # type: ignore[arg-type]

    def answer(self, contract: str, tx: str) -> ChainAnswer:
        """Return what the contract recorded in transaction `tx`, for the verifier.

        Raises:
            TransientError: The node does not answer.
            VerificationError: The chain knows no such anchor.
        """
        with _translated():
            try:
                receipt = self._w3.eth.get_transaction_receipt(tx)  # type: ignore[arg-type]
            except TransactionNotFound:
                raise VerificationError(f"the chain knows no transaction {tx}") from None
            event = self._contract(contract).events.Anchored()
            for entry in receipt["logs"]:
                if str(entry["address"]).lower() != contract.lower():
                    continue
                said = event.process_log(entry)["args"]
                return ChainAnswer(
                    self._w3.eth.chain_id, contract.lower(), said["seq"], said["size"], "0x" + said["root"].hex()
                )
            raise VerificationError(f"transaction {tx} is no anchor of contract {contract}")

    def _contract(self, address: str) -> Web3Contract:
        return self._w3.eth.contract(address=to_checksum_address(address), abi=artifact()["abi"])

    def _receipt(self, tx_hash: str, block: int) -> Receipt | None:
        try:
            found = self._w3.eth.get_transaction_receipt(tx_hash)  # type: ignore[arg-type]
        except TransactionNotFound:
            return None
        if found["blockNumber"] > block:  # mined after the block we read: the next look sees slot and receipt alike
            return None
        return Receipt(tx_hash, found["blockNumber"], "0x" + found["blockHash"].hex(), found["status"] == 1)

    def _sign(
        self,
        call: ContractFunction | ContractConstructor,
        chain_id: int,
        nonce: int,
        fees: Fees,
        gas: int,
        contract: str,
    ) -> Signed:
        offer: TxParams = {"gas": gas, "nonce": nonce, "chainId": chain_id, "value": 0}  # type: ignore[typeddict-item]
        if fees.tip is None:
            offer["gasPrice"] = fees.maximum  # type: ignore[typeddict-item]
        else:
            offer["maxFeePerGas"] = fees.maximum  # type: ignore[typeddict-item]
            offer["maxPriorityFeePerGas"] = fees.tip  # type: ignore[typeddict-item]
        # With gas, nonce and fees given, building the transaction asks the node nothing.
        signed = self._account.sign_transaction(call.build_transaction(offer))  # type: ignore[arg-type]
        return Signed(bytes(signed.raw_transaction), "0x" + signed.hash.hex(), contract)


def ask_anchor(url: str, contract: str, tx: str) -> ChainAnswer:
    """Ask the node at `url` what the contract recorded in transaction `tx`; nothing is signed, so no key is needed.

    Raises:
        TransientError: The node does not answer.
        VerificationError: The chain knows no such anchor.
    """
    return Web3Chain.at(url, Account.create()).answer(contract, tx)


def _rlp_address_nonce(address: bytes, nonce: int) -> bytes:
    """Return the RLP of (address, nonce), whose hash names a new contract. Source: Yellow Paper, section 7."""
    number = nonce.to_bytes((nonce.bit_length() + 7) // 8, "big")
    encoded = number if len(number) == 1 and number[0] < 0x80 else bytes([0x80 + len(number)]) + number
    body = bytes([0x80 + len(address)]) + address + encoded
    return bytes([0xC0 + len(body)]) + body


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (requests.RequestException, Web3Exception, ConnectionError, TimeoutError) as error:
        raise TransientError(f"the chain's node is away or refuses: {str(error)[:300]}") from error
