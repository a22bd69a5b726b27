"""Play a recorded CSV export through a real gateway into the running system.

Shows how the file's columns are understood and asks; then registers a gateway of its own for the file, plays every row
through it, waits for the platform's receipts and prints the account: produced = stored + duplicate + declared lost.
Nothing is resampled, filled or guessed away: a cell that holds no value is declared lost with the reason. Playing the
same file again brings nothing but duplicates, and a replay that was broken off goes on where it was.

Exit code 0 when every cell is accounted for, 1 when something is missing, 2 for wrong use, 130 when broken off.

examples:
  hanlu replay room.csv --time-zone America/Sao_Paulo
  hanlu replay room.csv --time-zone=-03:00 --limit-profile frozen-room --yes
  hanlu replay room.csv --time-zone UTC-3 --save-mapping room.toml --dry-run
  hanlu replay room.csv --mapping room.toml --speed 600
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

from hanlu.app.datafolder import DataFolder
from hanlu.app.replay_account import as_json, read_account, shortcomings, told
from hanlu.app.replay_edge import enrol, known, login, replay_config, root_organisation
from hanlu.app.replay_mapping import (
    air_temperature,
    choose_mapping,
    described,
    save_mapping,
    suggested_profile,
)
from hanlu.app.replay_names import Place, gateway_code, is_code, place_of
from hanlu.app.replay_run import Replay, socket_folder
from hanlu.app.running import settings_of_running
from hanlu.app.settings import Settings
from hanlu.app.wiring import database_url
from hanlu.core.errors import UsageError
from hanlu.db.pool import Pool, open_pool
from hanlu.firmware_sim.replay.mapping import Mapping
from hanlu.firmware_sim.replay.plan import Plan, plan
from hanlu.registry.store import Registry

_NONE = "none"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("file", type=Path, metavar="FILE", help="CSV export with a header")
    what = parser.add_argument_group("how the file is understood")
    what.add_argument("--mapping", type=Path, metavar="FILE", help="TOML that says which column is what; else guessed")
    what.add_argument("--save-mapping", type=Path, metavar="FILE", help="write the mapping as TOML, to be corrected")
    what.add_argument(
        "--time-zone", metavar="ZONE", help="of times without an offset: a name, or UTC-3, or --time-zone=-03:00"
    )
    where = parser.add_argument_group("where it goes")
    where.add_argument("--gateway", metavar="CODE", help="code of the replay's gateway; else made of the file's name")
    where.add_argument("--organisation", metavar="CODE", help="whose it is in the register; else the root of the tree")
    where.add_argument("--zone-name", metavar="NAME", help="what the pages call it; else the file's name")
    where.add_argument(
        "--limit-profile", metavar="CODE", help="limits its alarms follow, or none; else by its air temperature"
    )
    where.add_argument(
        "--broker-login", type=Path, metavar="FILE", help="for a broker that is not Hanlu's own: the gateway's mqtt URL"
    )
    how = parser.add_argument_group("how it is played")
    how.add_argument("--speed", default="full", metavar="N", help="recorded seconds per second; full: without pauses")
    how.add_argument("--patience", type=float, default=120.0, metavar="S", help="give up after S seconds at a halt")
    how.add_argument("--dry-run", action="store_true", help="show what would be played, and end")
    how.add_argument("--yes", action="store_true", help="do not ask")
    how.add_argument("--json", action="store_true", help="the summary as JSON")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Show, ask, play, and tell."""
    speed = _speed(args.speed)
    mapping, notes = _mapping(args)
    made = _planned(args.file, mapping)
    _say("\n".join([*described(made), *(f"note: {note}" for note in notes)]))
    if args.save_mapping:
        save_mapping(mapping, args.save_mapping)
        _say(f"the mapping is in {args.save_mapping}")
    if args.dry_run:
        return 0
    settings = settings if args.config else settings_of_running(settings)
    settings = settings.with_values(data={"folder": settings.data.folder.absolute()})
    pool = open_pool(database_url(settings), "hanlu_registry", name="hanlu replay", max_size=2)
    with closing(pool):
        place = _place(args, Registry(pool), made)
        _say(_whereto(place))
        if not args.yes and sys.stdin.isatty() and not _agreed():
            return 1
        return _play(args, settings, pool, made, place, speed)


def _play(
    args: argparse.Namespace, settings: Settings, pool: Pool, made: Plan, place: Place, speed: float | None
) -> int:
    folder = DataFolder(settings.data.folder)
    folder.make()
    enrol(Registry(pool), settings, made, place)
    broker = login(settings, place, args.broker_login)
    with socket_folder() as sockets:
        replay = Replay(
            plan=made,
            config=replay_config(settings, made, place, broker, f"unix:{sockets / 'line'}"),
            folder=folder,
            settings=settings.supervisor,
            account=partial(read_account, pool, place.code),
            progress=_bar,
            say=_say,
            speed=speed,
            patience_s=args.patience,
        )
        outcome, interrupted = replay.run()
    if args.json:
        print(json.dumps(as_json(outcome, place.code), ensure_ascii=False, indent=2))
    else:
        print("\n".join(told(outcome)))
    if interrupted:
        _say("broken off; the same command goes on from here")
        return 130
    return 1 if shortcomings(outcome) else 0


def _mapping(args: argparse.Namespace) -> tuple[Mapping, tuple[str, ...]]:
    choice = choose_mapping(args.file, args.mapping, args.time_zone)
    if choice.lacks_zone and sys.stdin.isatty() and not args.yes:
        choice = choice.in_zone(_ask("The file's times carry no offset. Which time zone are they in (UTC-3)? "))
    if choice.lacks_zone:
        raise UsageError(
            f"the times in {args.file.name} carry no offset: say which zone they are in,"
            " e.g. --time-zone America/Sao_Paulo or --time-zone UTC-3"
        )
    return choice.mapping, choice.notes


def _planned(file: Path, mapping: Mapping) -> Plan:
    # The number of rows is known only at the end: a bar without a total.
    advance, close = _bar(0, f"reading {file.name}", "row")
    try:
        return plan(file, mapping, progress=advance)
    finally:
        close()


def _place(args: argparse.Namespace, registry: Registry, made: Plan) -> Place:
    code = args.gateway or gateway_code(args.file)
    if not is_code(code):
        raise UsageError(f"--gateway {code!r}: a code is lower-case letters, digits and hyphens, 40 at most")
    before = known(registry, code)
    if args.limit_profile is not None:
        profile = None if args.limit_profile == _NONE else args.limit_profile
    elif before is not None:
        profile = before.zone.limit_profile
    else:
        profile = suggested_profile(air_temperature(made))
    organisation = args.organisation or (before.organisation if before else root_organisation(registry))
    return place_of(args.file, code, organisation, before.zone if before else None, args.zone_name, profile)


def _whereto(place: Place) -> str:
    judged = f"limit profile {place.limit_profile}" if place.limit_profile else "no limits, so no alarms"
    return (
        f"gateway {place.code}, partition {place.partition:02d}, zone {place.zone_en!r} of"
        f" organisation {place.organisation}, {judged} (change: --limit-profile CODE, or none)"
    )


def _speed(text: str) -> float | None:
    if text == "full":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise UsageError(f"--speed {text!r}: a number above 0, or full")
    return speed


def _agreed() -> bool:
    return _ask("Play it? [y/N] ").strip().lower() in {"y", "yes"}


def _ask(question: str) -> str:
    try:
        return input(question)
    except EOFError:  # Ctrl-D: no answer
        print(file=sys.stderr)
        return ""


def _bar(total: int, label: str, unit: str) -> tuple[Callable[[int], None], Callable[[], None]]:
    """A progress bar on standard error; where that is no terminal, a line now and then."""
    from tqdm import tqdm

    interval_s = 0.1 if sys.stderr.isatty() else 5.0
    bar = tqdm(total=total or None, unit=unit, desc=label, dynamic_ncols=True, mininterval=interval_s, file=sys.stderr)

    def advance(count: int) -> None:
        bar.update(count)

    return advance, bar.close


def _say(line: str) -> None:
    from tqdm import tqdm

    tqdm.write(line, file=sys.stderr)
