"""The anchor contract on an in-memory EVM: what it keeps, what it refuses, what it costs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fix_chain import DATA, compiled, memory_evm  # noqa: F401 - a fixture

from hanlu.trace.anchor.web3_chain import artifact, genesis_head, head_after, origin_hash
from hanlu.trace.log.merkle import EMPTY_ROOT

ORIGIN = "hanlu.example/log/1"
ROOTS = [bytes([number]) * 32 for number in range(1, 9)]


@dataclass
class Deployed:
    """A contract with the accounts around it."""

    contract: Any
    w3: Any
    keeper: str
    stranger: str

    def anchor(self, last: tuple[bytes, int, int, bytes], size: int, root: bytes, sender: str | None = None) -> Any:
        """Call the contract and return the receipt."""
        call = self.contract.functions.anchor(*last, size, root)
        return self.w3.eth.wait_for_transaction_receipt(call.transact({"from": sender or self.keeper}))

    def head(self) -> bytes:
        """Return the slot."""
        return bytes(self.contract.functions.head().call())


FIRST = (origin_hash(ORIGIN), 0, 0, EMPTY_ROOT)


@pytest.fixture
def deployed(memory_evm: Any) -> Deployed:  # noqa: F811
    from web3 import Web3

    w3 = Web3(memory_evm)
    keeper, stranger = w3.eth.accounts[:2]
    factory = w3.eth.contract(abi=artifact()["abi"], bytecode=artifact()["bytecode"])
    receipt = w3.eth.wait_for_transaction_receipt(factory.constructor(origin_hash(ORIGIN)).transact({"from": keeper}))
    return Deployed(w3.eth.contract(address=receipt["contractAddress"], abi=artifact()["abi"]), w3, keeper, stranger)


def test_committed_contract_is_what_the_source_compiles_to() -> None:
    pytest.importorskip("vyper")
    assert json.loads(Path(DATA).read_text(encoding="utf-8")) == compiled()


def test_fresh_contract_commits_to_its_log_alone(deployed: Deployed) -> None:
    assert deployed.head() == genesis_head(ORIGIN)
    assert deployed.head() != genesis_head("hanlu.example/log/2")
    assert bytes(deployed.contract.functions.origin().call()) == origin_hash(ORIGIN)
    assert deployed.contract.functions.keeper().call() == deployed.keeper


def test_anchors_chain_in_one_slot_and_speak_as_events(deployed: Deployed) -> None:
    last = FIRST
    for seq, root in enumerate(ROOTS[:3], start=1):
        receipt = deployed.anchor(last, seq * 10, root)
        event = deployed.contract.events.Anchored().process_receipt(receipt)[0]["args"]
        assert (event["seq"], event["size"], bytes(event["root"])) == (seq, seq * 10, root)
        prev = head_after(*last)
        assert deployed.head() == head_after(prev, seq, seq * 10, root)
        last = (prev, seq, seq * 10, root)
    slot = deployed.w3.eth.get_storage_at(deployed.contract.address, artifact()["head_slot"])
    assert bytes(slot) == deployed.head()


def test_steady_anchor_costs_less_than_31500_gas(deployed: Deployed) -> None:
    last, costs = FIRST, []
    for seq, root in enumerate(ROOTS, start=1):
        costs.append(deployed.anchor(last, seq * 1_000_003, root)["gasUsed"])
        last = (head_after(*last), seq, seq * 1_000_003, root)
    assert max(costs) < 31_500, costs


def _refused(deployed: Deployed, *call: Any, **more: Any) -> str:
    from web3.exceptions import Web3Exception

    before = deployed.head()
    with pytest.raises((Web3Exception, Exception)) as refusal:
        deployed.anchor(*call, **more)
    assert deployed.head() == before
    return str(refusal.value)


def test_repeated_call_reverts_and_changes_nothing(deployed: Deployed) -> None:
    deployed.anchor(FIRST, 10, ROOTS[0])
    assert "not the head" in _refused(deployed, FIRST, 10, ROOTS[0])


def test_second_writer_with_another_root_reverts(deployed: Deployed) -> None:
    deployed.anchor(FIRST, 10, ROOTS[0])
    assert "not the head" in _refused(deployed, FIRST, 11, ROOTS[1])


@pytest.mark.parametrize("part", range(4))
def test_any_wrong_part_of_the_shown_head_reverts(deployed: Deployed, part: int) -> None:
    deployed.anchor(FIRST, 10, ROOTS[0])
    shown: list[Any] = [head_after(*FIRST), 1, 10, ROOTS[0]]
    shown[part] = ROOTS[5] if isinstance(shown[part], bytes) else shown[part] + 1
    assert "not the head" in _refused(deployed, tuple(shown), 20, ROOTS[1])


def test_falling_size_reverts_and_equal_size_passes(deployed: Deployed) -> None:
    deployed.anchor(FIRST, 10, ROOTS[0])
    last = (head_after(*FIRST), 1, 10, ROOTS[0])
    assert "size falls" in _refused(deployed, last, 9, ROOTS[1])
    assert deployed.anchor(last, 10, ROOTS[0])["status"] == 1


def test_stranger_cannot_anchor(deployed: Deployed) -> None:
    assert "not the keeper" in _refused(deployed, FIRST, 10, ROOTS[0], sender=deployed.stranger)
