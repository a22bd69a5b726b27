"""The command line finds its commands, teaches, and turns errors into exit codes."""

from __future__ import annotations

import pytest

from hanlu.app import cli
from hanlu.app.commands import CommandFile, find_commands
from hanlu.core.errors import FatalError, HanluError, UsageError


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> None:
    made = [CommandFile(("trace", "verify"), "check a bundle", "up"), CommandFile(("trace", "fsck"), "look", "up")]
    monkeypatch.setattr(cli, "find_commands", lambda: [*made, CommandFile(("status",), "show", "status")])


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    shown = capsys.readouterr().out
    for command in find_commands():
        assert " ".join(command.words) in shown


@pytest.mark.parametrize("command", find_commands(), ids=lambda c: c.module)
def test_command_explains_itself_with_examples(command: CommandFile, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main([*command.words, "--help"])
    assert end.value.code == 0
    shown = capsys.readouterr().out
    assert "examples:" in shown
    assert f"hanlu {' '.join(command.words)}" in shown


def test_nothing_typed_shows_the_help_as_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    assert "commands:" in capsys.readouterr().out


@pytest.mark.usefixtures("commands")
@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["stat"], "did you mean hanlu status?"),
        (["trace"], "trace verify"),
        (["trace", "fsk"], "did you mean hanlu trace fsck?"),
        (["frobnicate"], "hanlu --help lists them"),
    ],
)
def test_unknown_command_is_refused_with_a_hint(
    line: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(line) == 2
    assert words in capsys.readouterr().err


@pytest.mark.usefixtures("commands")
def test_help_of_a_group_lists_its_commands_and_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["trace", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "trace verify" in shown
    assert "hanlu trace verify --help" in shown
    assert "status" not in shown


@pytest.mark.parametrize(
    ("error", "code"), [(UsageError("wrong"), 2), (FatalError("broken"), 1), (KeyboardInterrupt(), 130)]
)
def test_error_becomes_its_exit_code(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from hanlu.app.commands import status

    def fail(*_: object) -> int:
        raise error

    monkeypatch.setattr(status, "run", fail)
    assert cli.main(["status"]) == code
    if isinstance(error, HanluError):
        assert capsys.readouterr().err == f"hanlu: {error}\n"


def test_wrong_setting_ends_with_two_and_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HANLU_WEB__PROT", "1")
    assert cli.main(["status"]) == 2
    assert "did you mean port?" in capsys.readouterr().err
