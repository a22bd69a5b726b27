"""The embedded EVM chain: anvil from its npm package, with a state file and a sender's key of our own.

For trials: it has one node and mines at once. What counts for Hanlu is that the same contract, sender and verifier
run against it as against a consortium's chain. The key is random for each data folder and is made here, not by anvil,
whose built-in accounts everybody knows; anvil is never told the key, only asked to fill its account.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hanlu.app.embedded.node import node_packages
from hanlu.app.embedded.service import ToolError, Work
from hanlu.app.process import Command
from hanlu.app.settings import ChainSettings, process_environment
from hanlu.core.errors import FatalError

__all__ = ["EmbeddedChain", "keep_readable"]

_HOST = "127.0.0.1"
_BALANCE_WEI = 10**24  # a million ether: some 10**10 anchors
_LOW_WEI = 10**23
_RPC_TIMEOUT_S = 1.0
_PACKAGES = {("Linux", "x86_64"): "anvil-linux-amd64"}
"""Those that stand in `npm/package-lock.json` with their hash."""


@dataclass(slots=True)
class EmbeddedChain:
    """The chain `hanlu up` runs.

    Args:
        folder: where its state and the sender's key are kept; below the data folder.
        settings: the chain section.
    """

    folder: Path
    settings: ChainSettings
    name: str = "chain"
    _anvil: Path | None = field(init=False, default=None)
    _address: str = field(init=False, default="")

    @property
    def url(self) -> str:
        """JSON-RPC over HTTP."""
        return f"http://{_HOST}:{self.settings.port}"

    @property
    def key_file(self) -> Path:
        """The sender's private key: 64 hexadecimal digits, 0600."""
        return self.folder / "sender.key"

    @property
    def address(self) -> str:
        """The sender's address, checksummed (EIP-55)."""
        return self._address

    @property
    def description(self) -> str:
        """Which program."""
        return f"anvil, a trial chain of one node (chain id {self.settings.chain_id})"

    def prepare(self, work: Work) -> None:
        """Fetch anvil when the cache has none, and make the sender's key at the first start.

        Raises:
            ToolError: if this machine cannot have it; without a chain everything but anchoring works.
        """
        machine = (platform.system(), platform.machine())
        if machine not in _PACKAGES:
            raise ToolError(
                f"no trial chain for {machine[0]} on {machine[1]}: set chain.url to an EVM chain's JSON-RPC"
            )
        self._anvil = node_packages(work) / "@foundry-rs" / _PACKAGES[machine] / "bin" / "anvil"
        if not self._anvil.is_file():
            raise ToolError("npm did not install anvil: remove Hanlu's cache folder and start again")
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._address = self._sender()

    def command(self) -> Command:
        """Make sure the state file can be read, and say how to start the chain."""
        if self._anvil is None:
            raise FatalError("the embedded chain is used before it was prepared")
        state = self.folder / "state.json"
        keep_readable(state)
        argv = [str(self._anvil), "--host", _HOST, "--port", str(self.settings.port)]
        argv += ["--chain-id", str(self.settings.chain_id), "--accounts", "0", "--no-cors", "--quiet"]
        argv += ["--state", str(state), "--state-interval", str(self.settings.state_interval_s)]
        return Command(argv=tuple(argv), env=process_environment(), cwd=self.folder)

    def ready(self) -> bool:
        """Whether it answers with our chain id, and the sender's account is filled."""
        try:
            if self._ask("eth_chainId") != hex(self.settings.chain_id):
                return False
            if int(self._ask("eth_getBalance", self._address, "latest"), 16) < _LOW_WEI:
                self._ask("anvil_setBalance", self._address, hex(_BALANCE_WEI))
        except (OSError, ValueError, KeyError):
            return False
        return True

    def _ask(self, method: str, *params: str) -> str:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(self.url, body, {"content-type": "application/json"})  # noqa: S310 - loopback
        # Not through a proxy: this is our own process.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=_RPC_TIMEOUT_S) as answer:
            found: dict[str, Any] = json.load(answer)
        return str(found["result"])

    def _sender(self) -> str:
        from eth_account import Account

        if self.key_file.is_file():
            return str(Account.from_key(self.key_file.read_text().strip()).address)
        made = Account.create()
        with os.fdopen(os.open(self.key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
            handle.write(made.key.hex().removeprefix("0x") + "\n")
        return str(made.address)


def keep_readable(state: Path) -> None:
    """Keep a copy of the last readable state, and fall back to it when a kill tore the file while anvil wrote it.

    Without any readable state the chain begins anew; the torn file is kept, and the anchor's sender sees that its
    contract is gone and says so.
    """
    previous = state.with_suffix(".previous.json")
    if not state.exists():
        return
    try:
        json.loads(state.read_bytes())
    except ValueError:
        state.replace(state.with_suffix(".torn.json"))
        if previous.exists():
            shutil.copyfile(previous, state)
        return
    draft = previous.with_suffix(".draft")
    shutil.copyfile(state, draft)
    draft.replace(previous)
