"""The `hanlu` command: finds the sub-command, reads the settings, runs it, turns errors into exit codes.

Exit codes: 0 done, 1 a check or the work failed, 2 wrong use (a flag, a setting, a missing prerequisite). Results go
to standard output, everything else to standard error.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hanlu import __version__
from hanlu.app.commands import CommandFile, find_commands

if TYPE_CHECKING:
    from hanlu.app.settings import Settings

__all__ = ["main"]

_INTRODUCTION = """Hanlu (寒露): cold rooms, stores and batches of a cooperative, watched and proved.

usage: hanlu COMMAND [flags]        hanlu COMMAND --help tells all about one
"""

_EXAMPLES = """
examples:
  hanlu up                          start everything on this machine, nothing configured
  hanlu up --port 9000 --data /srv/hanlu
  hanlu status                      what runs, since when, and where its log is
  hanlu config                      the settings in force

Every setting is also an environment variable: web.port is HANLU_WEB__PORT.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in {"-h", "--help", "help"}:
        print(_help())
        return 0 if words else 2
    if words[0] in {"-V", "--version"}:
        print(f"hanlu {__version__}")
        return 0
    command = _find(words)
    if command is None and (group := _group_help(words)):
        print(group)
        return 0
    if command is None:
        print(_not_found(words), file=sys.stderr)
        return 2
    return _run(command, words[len(command.words) :])


def _run(command: CommandFile, rest: list[str]) -> int:
    from hanlu.core.errors import HanluError, UsageError

    module = command.load()
    parser = _parser(command, module.__doc__ or "")
    module.configure(parser)
    args = parser.parse_args(rest)
    try:
        return int(module.run(args, _settings(args)))
    except UsageError as exc:
        print(f"hanlu: {exc}", file=sys.stderr)
        return 2
    except HanluError as exc:
        print(f"hanlu: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        sys.stderr.close()
        return 0


def _parser(command: CommandFile, doc: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"hanlu {' '.join(command.words)}",
        description=doc.strip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    common = parser.add_argument_group("common flags")
    common.add_argument("--config", type=Path, metavar="FILE", help="settings file, TOML or JSON")
    common.add_argument("--data", type=Path, metavar="FOLDER", help="data folder (HANLU_DATA__FOLDER)")
    return parser


def _settings(args: argparse.Namespace) -> Settings:
    from hanlu.app.settings import load

    return load(args.config, flags={"data": {"folder": args.data.absolute() if args.data else None}})


def _find(words: list[str]) -> CommandFile | None:
    """Return the command whose words the line begins with, the longest if several."""
    commands = sorted(find_commands(), key=lambda c: -len(c.words))
    return next((c for c in commands if tuple(words[: len(c.words)]) == c.words), None)


def _group_help(words: list[str]) -> str | None:
    """Return what `hanlu letters --help` shows; None for a line that does not ask for the help of a group."""
    if len(words) != 2 or words[1] not in {"-h", "--help", "help"} or not (group := _group(words[0])):
        return None
    example = " ".join(group[0].words)
    return f"usage: hanlu {words[0]} COMMAND [flags]\n\n{_table(group)}\n\nAll about one: hanlu {example} --help"


def _group(word: str) -> list[CommandFile]:
    return [c for c in find_commands() if c.words[0] == word]


def _not_found(words: list[str]) -> str:
    commands = find_commands()
    if group := _group(words[0]):
        lead = f"hanlu {words[0]} needs one word more"
        if len(words) > 1 and not words[1].startswith("-"):
            near = difflib.get_close_matches(words[1], [c.words[1] for c in group], n=1)
            hint = f"; did you mean hanlu {words[0]} {near[0]}?" if near else ""
            lead = f"hanlu: there is no command {' '.join(words[:2])!r}{hint}"
        return f"{lead}\n{_table(group)}"
    near = difflib.get_close_matches(words[0], [c.words[0] for c in commands], n=1)
    hint = f"did you mean hanlu {near[0]}?" if near else "hanlu --help lists them"
    return f"hanlu: there is no command {words[0]!r}; {hint}"


def _help() -> str:
    return f"{_INTRODUCTION}\ncommands:\n{_table(find_commands())}\n{_EXAMPLES}"


def _table(commands: list[CommandFile]) -> str:
    width = max(len(" ".join(c.words)) for c in commands)
    return "\n".join(f"  {' '.join(c.words):<{width}}  {c.summary[:1].lower()}{c.summary[1:]}" for c in commands)
