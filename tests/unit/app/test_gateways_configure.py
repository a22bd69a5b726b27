"""`hanlu gateways configure` checks a file as the gateway will."""

from __future__ import annotations

from pathlib import Path

import pytest

from hanlu.app.cli import main


@pytest.mark.parametrize(
    ("code", "text", "words"),
    [
        ("gw-1", '[broker]\nhost = "x"', "broker cannot be configured from afar"),
        ("gw-1", "[limits]\nmax_readings = 0", "limits.max_readings"),
        ("gw-1", "#" * 200_001, "a command carries 200,000"),
        ("gw-1", '[[drivers]]\nkind = "telepathy"\nname = "a"', "telepathy"),
        ("Gateway 1", "", "no gateway's code"),
    ],
)
def test_configuration_a_gateway_would_refuse_is_refused_here(tmp_path: Path, capsys, code, text, words):
    path = tmp_path / "new.toml"
    path.write_text(text)
    assert main(["gateways", "configure", code, str(path), "--check"]) == 2
    assert words in capsys.readouterr().err


def test_good_configuration_is_called_good(tmp_path: Path, capsys):
    path = tmp_path / "new.toml"
    path.write_text('health_period_s = 30\n[priorities]\nhigh = ["vaccine-*/*"]\n')
    assert main(["gateways", "configure", "gw-1", str(path), "--check", "--json"]) == 0
    assert '"good": true' in capsys.readouterr().out
    assert main(["gateways", "configure", "gw-1", str(tmp_path / "none.toml"), "--check"]) == 2
