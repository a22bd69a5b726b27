"""The wheel holds what the tree holds: every package is named, and every data file has a pattern that catches it."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def setuptools() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    return found


def rooms() -> list[Path]:
    return sorted(path.parent for path in ROOT.glob("*/__init__.py"))


def tracked(room: Path) -> list[Path]:
    """Files of a room that belong to the project; without git, all of them."""
    try:
        listed = subprocess.run(
            ["git", "-C", str(ROOT), "ls-files", "-z", "--", room.name], capture_output=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return [p for p in room.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    return [ROOT / name.decode() for name in listed.split(b"\0") if name and (ROOT / name.decode()).is_file()]


def test_every_room_is_linked_below_src() -> None:
    linked = {path.name for path in (ROOT / "src" / "hanlu").iterdir() if path.is_symlink()}
    assert linked == {room.name for room in rooms()}
    for name in linked:
        assert (ROOT / "src" / "hanlu" / name).resolve() == ROOT / name


def test_every_package_is_named_once_and_in_order() -> None:
    packages = {"hanlu"}
    for room in rooms():
        packages |= {
            ".".join(["hanlu", *path.parent.relative_to(ROOT).parts]) for path in tracked(room) if path.suffix == ".py"
        }
    named = setuptools()["packages"]
    assert named == sorted(packages)


def test_every_room_has_its_folder_mapped() -> None:
    mapping = setuptools()["package-dir"]
    assert mapping == {"hanlu": "src/hanlu"} | {f"hanlu.{room.name}": room.name for room in rooms()}


@pytest.mark.parametrize("room", rooms(), ids=lambda room: room.name)
def test_every_data_file_is_caught_by_a_pattern(room: Path) -> None:
    caught: set[Path] = set()
    for name in setuptools()["packages"]:
        folder = ROOT.joinpath(*name.split(".")[1:])
        if folder == ROOT or room not in {folder, *folder.parents}:
            continue
        for pattern in setuptools()["package-data"]["*"]:  # as setuptools itself looks for them
            caught |= set(folder.glob(pattern))
    missed = [p for p in tracked(room) if p.suffix not in {".py", ".md"} and p not in caught]
    assert not missed, f"not in the wheel, add a pattern to package-data: {[str(p.relative_to(ROOT)) for p in missed]}"
