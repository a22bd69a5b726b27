"""The relay to the chain's node: two fixed questions, answers unchanged, nonsense is no answer."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from fix_services import free_port

from hanlu.core.errors import TransientError, UsageError
from hanlu.trace.chain_relay import anchor_receipt

TX = "0x" + "7e" * 32


class _Node(http.server.BaseHTTPRequestHandler):
    """A node that answers what the test wants and keeps what it was asked."""

    answer: bytes = b""
    asked: list[Any] = []  # noqa: RUF012 - one node at a time

    def do_POST(self) -> None:
        """Answer a call."""
        _Node.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(_Node.answer)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def node() -> Iterator[str]:
    """URL of a node."""
    _Node.asked = []
    server = http.server.HTTPServer(("127.0.0.1", 0), _Node)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def _replies(chain: Any, receipt: Any) -> bytes:
    return json.dumps([{"id": 2, "result": receipt}, {"id": 1, "result": chain}]).encode()


def test_answers_of_the_node_pass_unchanged(node: str) -> None:
    receipt = {"status": "0x1", "logs": [{"data": "0x"}], "unknown": [1, None]}
    _Node.answer = _replies("0x7a69", receipt)
    assert anchor_receipt(node, TX) == {"chainId": "0x7a69", "receipt": receipt}
    (questions,) = _Node.asked
    assert [(each["method"], each["params"]) for each in questions] == [
        ("eth_chainId", []),
        ("eth_getTransactionReceipt", [TX]),
    ]


def test_transaction_the_chain_does_not_know_is_an_answer(node: str) -> None:
    _Node.answer = _replies("0x7a69", None)
    assert anchor_receipt(node, TX) == {"chainId": "0x7a69", "receipt": None}


@pytest.mark.parametrize(
    "answer",
    [b"", b"nonsense", b"{}", b"[]", b"[1]", b"null", b'[{"id": 1, "result": "0x1"}, {"id": 2, "error": {"code": 1}}]'],
)
def test_nonsense_of_the_node_is_no_answer(node: str, answer: bytes) -> None:
    _Node.answer = answer
    with pytest.raises(TransientError):
        anchor_receipt(node, TX)


def test_endless_answer_is_cut_off(node: str) -> None:
    _Node.answer = _replies("0x7a69", {"data": "0" * 1_000_000})
    with pytest.raises(TransientError):
        anchor_receipt(node, TX)


def test_node_that_is_away_is_a_passing_trouble() -> None:
    with pytest.raises(TransientError):
        anchor_receipt(f"http://127.0.0.1:{free_port()}", TX)


@pytest.mark.parametrize("tx", ["", "0x", TX.upper(), TX + "0", "0x" + "zz" * 32, '0x", "params": ["'])
def test_only_a_transaction_hash_is_passed_on(tx: str) -> None:
    with pytest.raises(UsageError):
        anchor_receipt("http://127.0.0.1:1", tx)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/"])
def test_only_web_addresses_are_asked(url: str) -> None:
    with pytest.raises(TransientError):
        anchor_receipt(url, TX)
