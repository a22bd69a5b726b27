"""Static files from memory: read once at start, compressed once, named by their content.

`/static/<room>/~<digest>/<path>` never changes and is kept by browsers for a year; the digest is that of the room's
whole folder, so that an ES module's relative imports stay inside the same version. `/static/<room>/<path>` is the same
file under a lasting name, asked again each time with its ETag. Source: RFC 9110 8.8.3 (ETag), RFC 8246 (immutable).
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from hanlu.core.errors import FatalError, NotFoundError

__all__ = ["StaticFile", "StaticFiles"]

_IMMUTABLE = "public, max-age=31536000, immutable"
_ASK_AGAIN = "public, no-cache"
_GZIP_FROM_BYTES = 512  # below, the gzip header eats the gain
_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".wasm": "application/wasm",
}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file ready to be sent.

    Attributes:
        body: its bytes.
        compressed: the same by gzip, or None where that would not be smaller.
        media_type: value of Content-Type.
        etag: strong entity tag with its quotes.
    """

    body: bytes
    compressed: bytes | None
    media_type: str
    etag: str


class StaticFiles:
    """The static files of all rooms."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        """Read every file below `folders` (room name -> folder); a room without a folder has no files."""
        self._files: dict[str, StaticFile] = {}
        self._versions: dict[str, str] = {}
        for room, folder in folders.items():
            digest = hashlib.sha256()
            for path in sorted(each for each in folder.rglob("*") if each.is_file()):
                name = f"{room}/{path.relative_to(folder).as_posix()}"
                file = _read(path)
                self._files[name] = file
                digest.update(f"{name}\0{file.etag}\n".encode())
            self._versions[room] = digest.hexdigest()[:12]

    def __contains__(self, path: object) -> bool:
        """Tell whether there is a file `path`, e.g. `app/hanlu.css`."""
        return path in self._files

    def url(self, path: str) -> str:
        """Return the lasting address of `path`, e.g. `app/hanlu.css`; an unknown path is a programming error.

        Raises:
            FatalError: there is no such file.
        """
        if path not in self._files:
            raise FatalError(f"a template asks for static file {path!r}, which does not exist")
        room, rest = path.split("/", 1)
        return f"/static/{room}/~{self._versions[room]}/{rest}"

    def respond(self, request: Request, path: str) -> Response:
        """Answer a request for `path`, the part of the URL after `/static/`.

        Raises:
            NotFoundError: there is no such file.
        """
        room, _, rest = path.partition("/")
        version, _, below = rest.partition("/")
        versioned = version.startswith("~")
        file = self._files.get(f"{room}/{below if versioned else rest}")
        if file is None:
            raise NotFoundError(f"there is no file {path}")
        # A page of an older version may still ask for its files: it gets today's, but must not keep them.
        current = versioned and version[1:] == self._versions[room]
        headers = {
            "Cache-Control": _IMMUTABLE if current else _ASK_AGAIN,
            "ETag": file.etag,
            "Vary": "Accept-Encoding",
        }
        if _matches(request.headers.get("if-none-match", ""), file.etag):
            return Response(status_code=304, headers=headers)
        body = file.body
        if file.compressed is not None and _takes_gzip(request.headers.get("accept-encoding", "")):
            body = file.compressed
            headers["Content-Encoding"] = "gzip"
            headers["ETag"] = f'"{file.etag[1:-1]}-gzip"'
        return Response(body, media_type=file.media_type, headers=headers)


def _read(path: Path) -> StaticFile:
    body = path.read_bytes()
    guessed = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    media_type = _TYPES.get(path.suffix, guessed)
    compressed: bytes | None = None
    if len(body) >= _GZIP_FROM_BYTES:
        packed = gzip.compress(body, 9, mtime=0)
        compressed = packed if len(packed) < len(body) * 0.9 else None
    return StaticFile(body, compressed, media_type, f'"{hashlib.sha256(body).hexdigest()[:20]}"')


def _matches(if_none_match: str, etag: str) -> bool:
    """Tell whether the client holds this content, in either encoding (weak comparison, RFC 9110 13.1.2)."""
    held = {each.strip().removeprefix("W/") for each in if_none_match.split(",")}
    return bool(held & {"*", etag, f'"{etag[1:-1]}-gzip"'})


def _takes_gzip(accept_encoding: str) -> bool:
    for each in accept_encoding.lower().split(","):
        coding, _, weight = each.strip().partition(";")
        if coding.strip() in {"gzip", "*"}:
            return weight.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False
