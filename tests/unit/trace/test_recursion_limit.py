"""Deep JSON is refused in a process that speaks to a chain as well, and does not end it."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import json, sys
import hanlu.trace.anchor.web3_chain
try:
    json.loads("[" * 500_000)
except (RecursionError, ValueError) as error:
    print(type(error).__name__, sys.getrecursionlimit())
"""


def test_deep_json_is_an_error_and_no_crash() -> None:
    answer = subprocess.run([sys.executable, "-P", "-c", PROGRAM], check=False, capture_output=True, text=True)
    assert (answer.returncode, answer.stdout) == (0, "RecursionError 1000\n")
