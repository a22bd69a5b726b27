"""QR codes for Digital Link URIs, as SVG for screens and printing houses and PNG for everything else.

The only file that knows the `qrcode` library. Error correction Q (25 %) because crates get wet and scratched; the quiet
zone is the four modules ISO/IEC 18004 asks for, so that a label cut close still reads.
Source: ISO/IEC 18004:2015 6.3.8 (quiet zone), GS1 General Specifications 5.9 (QR code with a Digital Link URI).
"""

from __future__ import annotations

import io
from typing import Any, Final

import qrcode
from qrcode.constants import ERROR_CORRECT_Q
from qrcode.image.pil import PilImage
from qrcode.image.svg import SvgPathImage

__all__ = ["MAX_URI_LENGTH", "png", "svg"]

MAX_URI_LENGTH: Final = 300
"""Characters; beyond it the modules of a 2 cm label become too small for a phone's camera."""

_QUIET_ZONE_MODULES: Final = 4


def _code(uri: str) -> qrcode.QRCode[Any]:
    if not 0 < len(uri) <= MAX_URI_LENGTH:
        raise ValueError(f"a label carries 1 to {MAX_URI_LENGTH} characters, this URI has {len(uri)}")
    code: qrcode.QRCode[Any] = qrcode.QRCode(
        version=None, error_correction=ERROR_CORRECT_Q, box_size=10, border=_QUIET_ZONE_MODULES
    )
    code.add_data(uri)
    code.make(fit=True)
    return code


def svg(uri: str) -> bytes:
    """Return the code of `uri` as a stand-alone SVG document, black on white, sized by its viewBox."""
    out = io.BytesIO()
    image = _code(uri).make_image(image_factory=SvgPathImage)
    image.save(out)
    return out.getvalue()


def png(uri: str, *, pixels_per_module: int = 10) -> bytes:
    """Return the code of `uri` as a PNG, `pixels_per_module` from 2 to 40."""
    if not 2 <= pixels_per_module <= 40:
        raise ValueError("pixels_per_module is from 2 to 40")
    code = _code(uri)
    code.box_size = pixels_per_module
    out = io.BytesIO()
    code.make_image(image_factory=PilImage).save(out, format="PNG")
    return out.getvalue()
