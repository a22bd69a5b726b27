"""Every southbound driver against the contract (`gateway/driver/contract.py`): one suite, one scene for each kind.

A scene is the device and what connects it (`tests/fix_drivers.py`); a kind without one fails here.
"""

from __future__ import annotations

import re
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fix_drivers import SCENES, FakeIntake, Scene, running_driver
from fix_services import wait_until
from pydantic import BaseModel, TypeAdapter, ValidationError

from hanlu.core.clock import SystemClock
from hanlu.core.limits import CODE_PATTERN
from hanlu.gateway.driver.catalogue import KINDS, AnyDriver, config_class
from hanlu.gateway.driver.contract import Driver
from hanlu.gateway.driver.mapping import METRIC_PATTERN

DOCS = Path(__file__).resolve().parents[2] / "docs" / "drivers"
DEADLINE_S = 15.0


@pytest.fixture(params=sorted(KINDS))
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    """The world of one driver."""
    if request.param not in SCENES:
        pytest.fail(f"no scene for {request.param}: add one, see tests/fix_drivers.py")
    made = SCENES[request.param](tmp_path)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def intake() -> FakeIntake:
    """Where the driver's batches go."""
    return FakeIntake()


def built(scene: Scene, intake: FakeIntake) -> Driver:
    return scene.config.build(intake, SystemClock())


def heard(scene: Scene, intake: FakeIntake, value: float) -> list[float]:
    """Return the readings of the scene's channel that are this value."""
    wanted = pytest.approx(scene.expected(value), abs=1e-6)
    return [each.value for each in intake.readings if each.name == scene.name and each.value == wanted]


def await_value(scene: Scene, intake: FakeIntake, value: float) -> None:
    wait_until(
        lambda: bool(heard(scene, intake, value)),
        f"{value} as {scene.name}; heard were {[(each.name, each.value) for each in intake.readings][-5:]},"
        f" unread {[each.why for each in intake.undecodable][-3:]}",
        DEADLINE_S,
    )


def await_ready(scene: Scene, driver: Driver) -> None:
    wait_until(lambda: scene.ready(driver), "the driver hears its device", DEADLINE_S)


def test_value_arrives_in_the_unit_of_its_channel(scene: Scene, intake: FakeIntake) -> None:
    scene.start()
    driver = built(scene, intake)
    with running_driver(driver):
        await_ready(scene, driver)
        before_ms = SystemClock().now_ms()
        scene.send(50)
        await_value(scene, intake, 50)
    (reading, *_) = [each for each in intake.readings if each.name == scene.name]
    assert reading.unit == scene.unit
    assert abs(reading.observed_ms - before_ms) < 60_000 or reading.observed_ms < before_ms
    assert driver.counts["readings"] == len(intake.readings)
    assert driver.address


def test_driver_stops_at_once_while_its_peer_is_away(scene: Scene, intake: FakeIntake) -> None:
    with running_driver(built(scene, intake)):
        time.sleep(0.3)
    assert not intake.readings


def test_driver_that_was_there_first_finds_its_peer(scene: Scene, intake: FakeIntake) -> None:
    driver = built(scene, intake)
    with running_driver(driver):
        time.sleep(0.2)
        scene.start()
        await_ready(scene, driver)
        scene.send(50)
        await_value(scene, intake, 50)


def test_disk_that_refuses_for_a_moment_loses_and_doubles_nothing(scene: Scene, intake: FakeIntake) -> None:
    intake.failures = 2
    scene.start()
    driver = built(scene, intake)
    with running_driver(driver):
        await_ready(scene, driver)
        scene.send(50)
        await_value(scene, intake, 50)
        scene.send(59)
        await_value(scene, intake, 59)
    assert intake.offers >= 3
    assert scene.repeats or len(heard(scene, intake, 50)) == 1


def test_value_the_disk_never_took_comes_again_after_a_restart(scene: Scene, intake: FakeIntake) -> None:
    if not scene.resends:
        return  # its protocol has no acknowledgement: nothing was promised
    intake.failures = 1_000_000
    scene.start()
    first = built(scene, intake)
    with running_driver(first):
        await_ready(scene, first)
        scene.send(50)
        wait_until(lambda: intake.offers >= 1, "an offer", DEADLINE_S)
    assert not intake.kept
    intake.failures = 0
    with running_driver(built(scene, intake)):
        await_value(scene, intake, 50)
    assert scene.repeats or len(heard(scene, intake, 50)) == 1


def test_value_the_disk_took_does_not_come_again(scene: Scene, intake: FakeIntake) -> None:
    scene.start()
    first = built(scene, intake)
    with running_driver(first):
        await_ready(scene, first)
        scene.send(50)
        await_value(scene, intake, 50)
        time.sleep(0.2)
    second = built(scene, intake)
    with running_driver(second):
        await_ready(scene, second)
        time.sleep(0.3)
    assert scene.repeats or len(heard(scene, intake, 50)) == 1


def test_refused_value_is_over_and_the_next_one_comes(scene: Scene, intake: FakeIntake) -> None:
    intake.full = True
    scene.start()
    driver = built(scene, intake)
    with running_driver(driver):
        await_ready(scene, driver)
        scene.send(50)
        wait_until(lambda: bool(intake.refused), "a refusal", DEADLINE_S)
        time.sleep(0.2)
        if not scene.repeats:
            assert len(intake.refused) == 1, "offered again"
            intake.full = False
            scene.send(59)
        else:
            scene.send(59)
            time.sleep(0.5)
            intake.full = False
        await_value(scene, intake, 59)
    assert not heard(scene, intake, 50)


def test_junk_stops_nothing_and_is_kept(scene: Scene, intake: FakeIntake) -> None:
    scene.start()
    driver = built(scene, intake)
    with running_driver(driver):
        await_ready(scene, driver)
        for _ in range(3):
            scene.junk()
        scene.send(50)
        await_value(scene, intake, 50)
        if scene.keeps_junk:
            wait_until(lambda: bool(intake.undecodable), "the junk among the undecodable", DEADLINE_S)
    assert all(bad.source and bad.why.detail for bad in intake.undecodable)


def test_channels_of_the_configuration_are_announced(scene: Scene, intake: FakeIntake) -> None:
    driver = built(scene, intake)
    announced = {each.name: each.unit for each in driver.channels}
    driver.close()
    if scene.announced:
        assert announced[scene.name] == scene.unit
    for name in announced:
        assert _is_channel(name), name


def _is_channel(name: str) -> bool:
    return bool(re.fullmatch(rf"{CODE_PATTERN}/{METRIC_PATTERN}", name))


def test_stopping_twice_and_closing_unused_harm_nothing(scene: Scene, intake: FakeIntake) -> None:
    unused = built(scene, intake)
    unused.close()
    unused.stop()
    driver = built(scene, intake)
    with running_driver(driver):
        driver.stop()
    driver.stop()
    driver.close()


def test_configuration_comes_back_from_what_it_says(scene: Scene) -> None:
    chosen: TypeAdapter[Any] = TypeAdapter(AnyDriver)
    said = scene.config.model_dump(exclude_unset=True) | {"kind": scene.config.kind}
    again = chosen.validate_python(said)
    assert type(again) is config_class(scene.config.kind)
    assert again == scene.config
    with pytest.raises(ValidationError):
        chosen.validate_python(said | {"no_such_setting": 1})


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_setting_is_described_to_its_user(kind: str) -> None:
    page = DOCS / f"{kind.replace('_', '-')}.md"
    page = page if page.exists() else DOCS / f"{kind.split('_')[0]}.md"
    text = page.read_text(encoding="utf-8")
    worked = [each for example in _examples(text) for each in example["drivers"] if each["kind"] == kind]
    assert worked, "no worked example"
    for each in worked:
        TypeAdapter(AnyDriver).validate_python(each)
    shared = (DOCS / "README.md").read_text(encoding="utf-8")
    assert f"({page.name})" in shared, "not listed among the drivers"
    missing = sorted(name for name in _settings(config_class(kind)) if not _tells(text + shared, name))
    assert not missing, f"{page.name} does not tell of {missing}"


def _tells(text: str, name: str) -> bool:
    """Tell whether a setting is named as such in the words of a page, or shown in an example."""
    shown = rf"`{name}`|^{name} *= |[{{,] *{name} *= |^\[+drivers[.\w]*\.{name}\]"
    return bool(re.search(shown, text, re.MULTILINE))


def _examples(text: str) -> list[dict[str, Any]]:
    """Return the settings files of a page that name drivers."""
    blocks = re.findall(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [tomllib.loads(block) for block in blocks if "[[drivers]]" in block]


def _settings(model: type[BaseModel]) -> set[str]:
    """Return the names of all settings of a section and the sections in it; each has its own description."""
    names: set[str] = set()
    for name, field in model.model_fields.items():
        if name != "kind":
            assert field.description or _sections(field.annotation), f"{model.__name__}.{name} has no description"
        names.add(name)
        for section in _sections(field.annotation):
            names |= _settings(section)
    return names


def _sections(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [each for part in getattr(annotation, "__args__", ()) for each in _sections(part)]
