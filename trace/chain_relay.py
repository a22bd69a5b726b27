"""Lets a phone ask the chain's node, which it cannot reach itself, two fixed questions; the answers pass unchanged.

The browser reads the anchor out of the raw receipt by itself, so the relay decides nothing. Who does not trust the
relay asks a node of their own: `hanlu trace verify FILE --rpc URL`.
"""

from __future__ import annotations

import json
import re
import urllib.request
from typing import Any, Final

from hanlu.core.errors import TransientError, UsageError

__all__ = ["anchor_receipt"]

_HASH = re.compile(r"0x[0-9a-f]{64}")
_TIMEOUT_S: Final = 5.0
_MAX_ANSWER_BYTES: Final = 256 * 1024


def anchor_receipt(url: str, tx: str) -> dict[str, Any]:
    """Return `{"chainId": "0x…", "receipt": {…}}` as the node at `url` gives them; no receipt (None) is an answer too.

    Args:
        url: JSON-RPC URL of the node, from the settings.
        tx: transaction hash, `0x` and 64 hex digits.

    Raises:
        UsageError: `tx` is no transaction hash.
        TransientError: the node does not answer, or with nonsense.
    """
    if not _HASH.fullmatch(tx):
        raise UsageError("tx is 0x and 64 hex digits")
    questions = [
        {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []},
        {"jsonrpc": "2.0", "id": 2, "method": "eth_getTransactionReceipt", "params": [tx]},
    ]
    if not url.startswith(("http://", "https://")):
        raise TransientError("the chain's URL is not http or https")
    request = urllib.request.Request(  # noqa: S310 - the scheme was checked, the URL is the operator's
        url, data=json.dumps(questions).encode(), headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310
            replies = {reply["id"]: reply["result"] for reply in json.loads(answer.read(_MAX_ANSWER_BYTES))}
        return {"chainId": replies[1], "receipt": replies[2]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TransientError("the chain's node does not answer") from error
