"""The demo county in the register: what the simulated devices report for, and three people who may look at it.

`firmware_sim` says what the county is made of; this step writes it down under the names the other rooms look it up by,
enrols the gateways' keys and, where there is nobody yet, makes an operator, an inspector and an administrator with
random passwords. Taken at every start, it changes nothing that stands as it should.

One room has an exception to a shipped rule, so that its open door is an alarm soon and a visitor sees what an exception
looks like. It is written once; whoever changes or withdraws it afterwards has the last word.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import date
from functools import partial
from pathlib import Path
from typing import Final, cast, get_args

from hanlu.alerts.rules.model import Rule
from hanlu.alerts.rules.override import override_data
from hanlu.alerts.rules.store import current, shipped_rules, write_rule
from hanlu.app.first_start import Credential
from hanlu.app.settings import Settings
from hanlu.app.wiring import database_url, gateway_key_file
from hanlu.core.clock import SystemClock
from hanlu.core.errors import ConflictError
from hanlu.core.observe import log
from hanlu.core.wire.envelope import key_id, public_bytes
from hanlu.db.pool import Connection, Pool, connect, open_pool
from hanlu.firmware_sim import county as sim
from hanlu.firmware_sim.yanling import demo_county
from hanlu.gateway.identity import load_or_create_key
from hanlu.registry import records
from hanlu.registry.access import Role
from hanlu.registry.audit import Audit
from hanlu.registry.passwords import Passwords
from hanlu.registry.people import NewPerson, People
from hanlu.registry.profiles import shipped_profiles
from hanlu.registry.store import Editor, Registry

__all__ = ["first_start", "seed", "seed_exception"]

LIMITS_FROM: Final = date(2025, 1, 1)
"""First day of the demo county's own limits: before the first day anybody replays data for."""

_PEOPLE: Final = (
    # sign-in name, display name, role, purpose said in the terminal
    ("operator", "冷链值班员", Role.OPERATOR, "operator"),
    ("inspector", "监管员", Role.INSPECTOR, "inspector"),
    ("admin", "系统管理员", Role.ADMIN, "administrator"),
)
_RULE_AUTHOR: Final = "hanlu-demo"
"""Not the author of the shipped rules, whose versions are withdrawn when they are shipped no more."""
_EXCEPTION: Final = "air-high", "room-3"
"""Shipped rule, and zone of the demo county that is treated otherwise."""
_EXCEPTION_WHY: Final = {
    "cause_zh": "黄桃库门密封差，开门几分钟库温就上升，不能等开门十分钟以后再叫人",
    "cause_en": "The peaches' door seals badly: the room warms within minutes, so ten minutes' grace is too long",
    "consequence_zh": "黄桃在 3 °C 以上很快变软，两小时就影响保鲜期",
    "consequence_en": "Peaches soften fast above 3 °C; two hours cost shelf life",
    "response_zh": "马上关门；看压缩机是否运行；30 分钟内不回落就报修",
    "response_en": "Shut the door at once; see whether the compressor runs; call the technician unless it falls soon",
}
_logger = logging.getLogger(__name__)


def first_start(settings: Settings) -> list[Credential]:
    """Bring the demo county into the register and return the passwords made, none but at the first start.

    Raises:
        UsageError: no database is named, or a gateway's key file cannot be used.
    """
    url = database_url(settings)
    pool = open_pool(url, "hanlu_registry", name="hanlu setup", max_size=2)
    try:
        made = seed(pool, partial(gateway_key_file, settings), demo_county())
    finally:
        pool.close()
    with closing(connect(url, "hanlu_alerts", name="hanlu setup")) as connection, connection.transaction():
        seed_exception(connection)
    return made


def seed(
    pool: Pool, key_file: Callable[[str], Path], county: sim.County, passwords: Passwords | None = None
) -> list[Credential]:
    """Write `county` into the register and see that somebody may sign in.

    Args:
        pool: connections that act as `hanlu_registry`.
        key_file: from a gateway's code to the file of its key; absent keys are made.
        county: what to write.
        passwords: hasher with other parameters than the defaults, for tests.
    """
    with Registry(pool).editing() as editor:
        changes = [change for change in _written(editor, county, key_file) if change is not records.Change.NONE]
    log(_logger, logging.INFO, "app.demo.seed", "the demo county is in the register", changes=len(changes))
    clock = SystemClock()
    people = People(pool, clock, passwords or Passwords(), Audit(pool, clock))
    root = next(each.code for each in county.organisations if each.parent is None)
    made = people.add_first([NewPerson(login, name, frozenset({role}), root) for login, name, role, _ in _PEOPLE])
    purposes = {login: purpose for login, _, _, purpose in _PEOPLE}
    return [Credential(each.login, each.password, purposes[each.login]) for each in made]


def seed_exception(connection: Connection) -> bool:
    """Write the demo county's exception to a shipped rule, unless it was written before; tell whether it was now.

    Args:
        connection: acting as hanlu_alerts, in a transaction.
    """
    code, zone = _EXCEPTION
    shipped = next(rule for rule in shipped_rules() if rule.code == code)
    wanted = Rule.model_validate(
        override_data(
            shipped, zone,
            title_zh="3 号保鲜库（黄桃）空气温度超上限",
            title_en="Air of room 3 (peaches) above the limit",
            parameters={"hold_door_s": 0},
            rationalization={**_EXCEPTION_WHY, "time_to_respond_min": 30},
        )
    )  # fmt: skip
    if current(connection, wanted.code):
        return False
    try:
        write_rule(connection, wanted, seen=0, author=_RULE_AUTHOR, note="示例：单独一间库的例外 / an exception, shown")
    except ConflictError:  # another start was faster
        return False
    return True


def _written(editor: Editor, county: sim.County, key_file: Callable[[str], Path]) -> Iterable[records.Change]:
    """Write everything in the order things name one another, one change each."""
    for level in county.levels:
        yield editor.put_level_name(records.LevelName(level.level, level.name_zh, level.name_en))
    for node in sorted(county.organisations, key=lambda each: each.level):
        yield editor.put_organisation(records.Organisation(node.code, node.parent, node.name_zh, node.name_en))
    for shipped in shipped_profiles():
        yield editor.put_limit_profile(shipped)
    for profile in county.limit_profiles:
        yield editor.put_limit_profile(_profile(profile))
    for product in county.products:
        kept = records.Product(product.gtin, product.name_zh, product.name_en, product.limit_profile)
        yield editor.put_product(kept)
    for participant in county.participants:
        yield editor.put_participant(_participant(participant))
    glns = {participant.code: participant.gln for participant in county.participants}
    for site in county.sites:
        yield editor.put_site(_site(site, glns[site.participant]))
    for zone in county.zones:
        kept_zone = records.Zone(zone.code, zone.site, zone.name_zh, zone.name_en, zone.gln, zone.limit_profile)
        yield editor.put_zone(kept_zone)
    yield from _edge(editor, county, key_file)


def _edge(editor: Editor, county: sim.County, key_file: Callable[[str], Path]) -> Iterable[records.Change]:
    """Write gateways with their keys, devices and channels."""
    for gateway in county.gateways:
        yield editor.put_gateway(records.Gateway(gateway.code, gateway.site, gateway.partition))
        public_key = public_bytes(load_or_create_key(key_file(gateway.code)))
        yield editor.enrol_key(records.GatewayKey(gateway.code, key_id(public_key), public_key))
        yield from editor.put_gateway_health(gateway.code)
    for device in county.devices:
        yield editor.put_device(records.Device(device.gateway, device.code, device.kind, device.zone))
        for each in device.channels:
            channel = records.Channel(
                device.gateway, device.code, each.metric, each.unit, each.period_s, each.limit_profile
            )
            yield editor.put_channel(channel)


def _profile(profile: sim.LimitProfile) -> records.LimitProfile:
    return records.LimitProfile(
        code=profile.code,
        effective_from=LIMITS_FROM,
        source=profile.source,
        metric=profile.metric,
        unit=profile.unit,
        low=profile.low,
        high=profile.high,
        deadband=profile.deadband,
        on_delay_s=profile.on_delay_s,
        off_delay_s=profile.off_delay_s,
        no_data_s=profile.no_data_s,
        priority=profile.priority,
    )


def _participant(participant: sim.Participant) -> records.Participant:
    assert participant.role in get_args(records.ParticipantRole)
    role = cast("records.ParticipantRole", participant.role)
    return records.Participant(
        participant.gln, participant.organisation, participant.name_zh, participant.name_en, role
    )


def _site(site: sim.Site, participant_gln: str) -> records.Site:
    assert site.kind in get_args(records.SiteKind)
    return records.Site(
        code=site.code,
        organisation=site.organisation,
        name_zh=site.name_zh,
        name_en=site.name_en,
        kind=cast("records.SiteKind", site.kind),
        participant=participant_gln,
        gln=site.gln,
        latitude=site.latitude,
        longitude=site.longitude,
    )
