"""Chains for tests: an in-memory EVM for unit tests, and the compiler that made the committed contract.

After a change to the contract's source, `python -P tests/fix_chain.py` writes the committed data anew.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CONTRACT = Path(__file__).resolve().parents[1] / "trace" / "anchor" / "contract"
SOURCE = CONTRACT / "HanluAnchor.vy"
DATA = CONTRACT / "HanluAnchor.json"


def compiled() -> dict[str, Any]:
    """Compile the contract's source and return what `HanluAnchor.json` must hold."""
    vyper = Path(sys.executable).with_name("vyper")
    run = subprocess.run(
        [str(vyper), "-f", "abi,bytecode,layout", SOURCE.name], cwd=CONTRACT, check=True, capture_output=True, text=True
    )
    abi, bytecode, layout = run.stdout.splitlines()
    version = subprocess.run([str(vyper), "--version"], check=True, capture_output=True, text=True).stdout.strip()
    return {
        "name": "HanluAnchor",
        "compiler": f"vyper {version}",
        "abi": json.loads(abi),
        "bytecode": bytecode,
        "head_slot": json.loads(layout)["storage_layout"]["head"]["slot"],
    }


@pytest.fixture
def memory_evm() -> Any:
    """A web3 provider over an in-memory EVM; skips where eth-tester is not installed."""
    # py-evm raises the limit to what overflows the stack of C code that relies on it, json's among it.
    limit = sys.getrecursionlimit()
    pytest.importorskip("eth_tester", reason="eth-tester is not installed")
    from web3 import EthereumTesterProvider

    provider = EthereumTesterProvider()
    sys.setrecursionlimit(limit)
    return provider


if __name__ == "__main__":
    DATA.write_text(json.dumps(compiled(), indent=1) + "\n", encoding="utf-8")
