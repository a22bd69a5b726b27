"""Log files rotate by size and keep their number."""

from __future__ import annotations

from pathlib import Path

from hanlu.app.logfile import LogFile, tail


def test_full_file_moves_on_and_the_oldest_goes(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.log", max_bytes=10, keep=2)
    for number in range(5):
        log.write(b"line-%03d\n" % number)
    log.close()
    kept = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert kept == {"a.log": b"line-004\n", "a.log.1": b"line-003\n", "a.log.2": b"line-002\n"}


def test_reopened_file_goes_on_where_it_was(tmp_path: Path) -> None:
    for piece in (b"one\n", b"two\n"):
        log = LogFile(tmp_path / "a.log", max_bytes=10, keep=2)
        log.write(piece)
        log.close()
    assert (tmp_path / "a.log").read_bytes() == b"one\ntwo\n"


def test_piece_larger_than_the_limit_is_written_whole(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.log", max_bytes=10, keep=1)
    log.write(b"x" * 50)
    log.close()
    assert (tmp_path / "a.log").stat().st_size == 50


def test_log_is_private(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.log", max_bytes=10, keep=1)
    log.write(b"x")
    log.close()
    assert (tmp_path / "a.log").stat().st_mode & 0o077 == 0


def test_tail_gives_the_last_lines_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    assert tail(path) == ""
    path.write_text("\n".join(f"line {n}" for n in range(100)))
    assert tail(path, lines=2) == "line 98\nline 99"
