"""Break everything on purpose, and check the account: nothing lost, nothing twice, every alarm right.

A private platform is started in a temporary folder: database, broker, ingest, alarm engine and gateways with their
devices. In each round the devices measure, one thing breaks at a random moment and is mended, and then every value they
measured is looked for in the database. Your own data is not touched.

What needs root (packets lost in a network namespace, a full disk) is skipped without it, and said so.

examples:
  hanlu faults                       each fault once, a few minutes
  hanlu faults --rounds 200 --json   the whole matrix, about twenty minutes
  hanlu faults --only kill-ingest,link-cut --rounds 20 --seed 7
  hanlu faults --list
"""

from __future__ import annotations

import argparse
import json
import random
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hanlu.app.faults.catalogue import FAULTS, Fault
from hanlu.app.faults.devices import Devices
from hanlu.app.faults.matrix import Played, Report, figures, play, play_special, sequence
from hanlu.app.faults.special import SPECIALS, Special
from hanlu.app.faults.stage import staged
from hanlu.app.settings import Settings
from hanlu.core.errors import UsageError

_MOST_ROUNDS = 1_000


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument(
        "--rounds", type=int, metavar="N", help="rounds of the quick faults in all; left out: each once"
    )
    parser.add_argument("--only", metavar="LIST", help="only these faults, comma-separated")
    parser.add_argument("--seed", type=int, help="repeat the random choices of an earlier run")
    parser.add_argument("--json", action="store_true", help="print the figures for machines")
    parser.add_argument("--list", action="store_true", help="say which faults there are")
    parser.add_argument("--keep", action="store_true", help="leave the folder with logs and data behind")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Play; return 0 when every round is good, 1 when one is not."""
    if args.list:
        for each in (*FAULTS, *SPECIALS):
            print(f"{each.name:<20} {each.words}")
        return 0
    faults, specials = _chosen(args.only)
    rounds = len(faults) if args.rounds is None else args.rounds
    if not 0 <= rounds <= _MOST_ROUNDS:
        raise UsageError(f"--rounds: 0 to {_MOST_ROUNDS}")
    seed = secrets.randbelow(2**31) if args.seed is None else args.seed
    _say(f"seed {seed}")
    with _folder(keep=args.keep) as folder:
        report = _play(folder, faults, specials, rounds, random.Random(seed))  # noqa: S311 - dice, not secrets
    if args.json:
        print(json.dumps({"seed": seed} | figures(report), ensure_ascii=False, indent=1))
    else:
        _print(report)
    return 0 if report.total.good else 1


def _chosen(only: str | None) -> tuple[list[Fault], list[Special]]:
    if only is None:
        return list(FAULTS), list(SPECIALS)
    names = [name.strip() for name in only.split(",")]
    known = {each.name for each in (*FAULTS, *SPECIALS)}
    if unknown := [name for name in names if name not in known]:
        raise UsageError(f"--only: there is no fault {unknown[0]!r}; `hanlu faults --list` says which there are")
    return [each for each in FAULTS if each.name in names], [each for each in SPECIALS if each.name in names]


def _play(
    folder: Path, faults: Sequence[Fault], specials: Sequence[Special], rounds: int, chance: random.Random
) -> Report:
    report = Report()
    with staged(folder, chance, rounds, _say) as stage:
        devices = Devices(stage.edges)
        try:
            for special in specials:
                if (why := special.why_not()) is not None:
                    report.skipped[special.name] = why
                    _say(f"skipped: {special.name}: {why}")
                else:
                    _tell(report, play_special(stage, devices, special), len(specials) + rounds)
            for number, fault in enumerate(sequence(faults, rounds, chance.shuffle)):
                _tell(report, play(stage, devices, number, fault), len(specials) + rounds)
        finally:
            devices.close()
    return report


def _tell(report: Report, played: Played, rounds: int) -> None:
    report.rounds.append(played)
    verdict = played.verdict
    words = "ok" if verdict.good else f"WRONG: {'; '.join(verdict.remarks) or verdict}"
    _say(f"{len(report.rounds):>4}/{rounds}  {played.fault:<20} {played.seconds:6.1f} s  {words}")


@contextmanager
def _folder(*, keep: bool) -> Iterator[Path]:
    # The path stays short, for sockets, and open to pass through, for the database's own account.
    folder = Path(tempfile.mkdtemp(prefix="hanlu-faults-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        if keep:
            _say(f"left behind: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _print(report: Report) -> None:
    print(
        f"{'fault':<20} {'rounds':>6} {'lost':>5} {'twice':>5} {'unexplained':>11} {'alarms wrong':>12} {'slowest':>8}"
    )
    for name, (count, verdict, slowest) in sorted(report.by_fault().items()):
        print(
            f"{name:<20} {count:>6} {verdict.lost:>5} {verdict.twice:>5} {verdict.unexplained:>11}"
            f" {verdict.alarms_wrong:>12} {slowest:>6.1f} s"
        )
    total = report.total
    print(
        f"\n{len(report.rounds)} rounds, {total.sent} readings sent: {total.stored} stored, {total.declared} declared"
        f" lost, {total.lost} lost, {total.twice} twice, {total.unexplained} unexplained;"
        f" {total.alarms_due - total.alarms_wrong} of {total.alarms_due} alarms right"
    )
    for name, why in report.skipped.items():
        print(f"skipped: {name}: {why}")


def _say(line: str) -> None:
    print(f"· {line}", file=sys.stderr, flush=True)
