"""List the codecs of LoRaWAN devices, or try one on a payload.

Without CODEC, every codec the gateway knows and the models it reads; with it, the values it can give; with HEX as well,
what that payload says: the maker's names, the channels they become, and what could not be read. Nothing is sent.

Exit code 1 when something in the payload could not be read.

examples:
  hanlu codec
  hanlu codec milesight-em300-th
  hanlu codec milesight-em300-th 01756403672AFF046864 --port 85
  hanlu codec my-probe 00E1 --port 2 --file my-codecs.toml
  hanlu codec decentlab-dl-pr26 02016700033e8060170c7f --set Pmin=0 --set Pmax=10 --json
"""

from __future__ import annotations

import argparse
import base64
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hanlu.app.settings import Settings
from hanlu.core.clock import from_ms
from hanlu.core.errors import UsageError
from hanlu.gateway.driver.lorawan.codec import Codec
from hanlu.gateway.driver.lorawan.codec_file import library
from hanlu.gateway.driver.lorawan.payload import Value, decode


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("codec", metavar="CODEC", nargs="?", help="name of a codec; without it, all are listed")
    parser.add_argument("payload", metavar="HEX", nargs="*", help="payload in hexadecimal; blanks are fine")
    parser.add_argument("--base64", action="store_true", help="HEX is base64, as network servers show it")
    parser.add_argument("--port", type=int, metavar="N", help="LoRaWAN port the payload came on; without it, any")
    parser.add_argument("--file", type=Path, action="append", default=[], metavar="TOML", help="codec file of your own")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=NUMBER", help="a parameter of the device")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """List, describe or decode."""
    del settings
    known = library(tuple(args.file))
    if args.codec is None:
        listed = [each for each in known.values() if each.models]  # the others are only bases
        content = [{"codec": each.name, "maker": each.maker, "models": list(each.models)} for each in listed]
        _print(args, content, [(each.name, each.maker, ", ".join(each.models)) for each in listed])
        return 0
    codec = known.get(args.codec)
    if codec is None:
        near = [name for name in known if args.codec.lower() in name]
        hint = f"did you mean {', '.join(near[:8])}?" if near else "`hanlu codec` lists all"
        raise UsageError(f"there is no codec {args.codec!r}; {hint}")
    if not args.payload:
        rows = _described(codec)
        _print(args, rows, [(row["key"], row["metric"], row["unit"]) for row in rows])
        return 0
    decoded = decode(codec, args.port, _bytes("".join(args.payload), args.base64), _numbers(args.set))
    rows = [_told(value) for value in decoded.values]
    _print(args, {"values": rows, "problem": decoded.problem}, [tuple(map(str, row.values())) for row in rows])
    if decoded.problem and not args.json:
        print(f"could not be read: {decoded.problem}")
    return 1 if decoded.problem else 0


def _described(codec: Codec) -> list[dict[str, str]]:
    """Return the keys of a codec, each once, with the channel it becomes."""
    rows: dict[str, dict[str, str]] = {}
    for each in codec.fields():
        if each.key:
            unit = each.rule.senml_unit if each.rule else ""
            rows.setdefault(each.key, {"key": each.key, "metric": each.metric, "unit": unit})
    return list(rows.values())


def _told(value: Value) -> dict[str, Any]:
    """Return a decoded value: as the maker says it, and as the channel's reading."""
    said = f"none: {value.missing}" if value.missing else value.number if value.number is not None else value.text
    word = value.text if value.number is not None and value.text else ""
    channel = ""
    if value.rule is not None and value.number is not None:
        reading = value.rule.reading(value.number, 0, "device")
        channel = f"{value.metric} = {reading.value:.10g} {reading.unit}".rstrip()
    at = from_ms(value.at_ms).isoformat().replace("+00:00", "Z") if value.at_ms is not None else ""
    return {
        "key": value.key,
        "value": said,
        "word": word,
        "channel": channel,
        "at": at,
        "quality": value.quality.name.lower(),
    }


def _bytes(text: str, is_base64: bool) -> bytes:
    try:
        return base64.b64decode(text, validate=True) if is_base64 else bytes.fromhex(text.removeprefix("0x"))
    except ValueError as error:
        raise UsageError(f"{text[:40]!r} is not {'base64' if is_base64 else 'hexadecimal'}: {error}") from error


def _numbers(said: Iterable[str]) -> dict[str, float]:
    try:
        return {name: float(number) for name, _, number in (each.partition("=") for each in said)}
    except ValueError as error:
        raise UsageError(f"--set takes NAME=NUMBER: {error}") from error


def _print(args: argparse.Namespace, content: Any, rows: list[tuple[str, ...]]) -> None:
    if args.json:
        print(json.dumps(content, ensure_ascii=False, indent=2))
        return
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
