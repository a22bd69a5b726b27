"""Printed codes decode with a decoder that shares no code with the encoder."""

from __future__ import annotations

import io

import pytest
import zxingcpp
from PIL import Image

from hanlu.trace.label.qr import MAX_URI_LENGTH, png, svg

URI = "https://trace.example.cn/01/06901234567892/10/HT20250701-01/21/7KQ2M9X4"


@pytest.mark.parametrize("pixels", [2, 4, 10])
def test_png_code_decodes_to_the_digital_link(pixels: int) -> None:
    results = zxingcpp.read_barcodes(Image.open(io.BytesIO(png(URI, pixels_per_module=pixels))))
    assert [result.text for result in results] == [URI]


def test_code_still_decodes_when_a_corner_of_the_field_is_scratched() -> None:
    image = Image.open(io.BytesIO(png(URI))).convert("L")
    side = image.width
    scratch = Image.new("L", (side // 8, side // 5), 255)
    image.paste(scratch, (side * 5 // 8, side // 2))
    assert [result.text for result in zxingcpp.read_barcodes(image)] == [URI]


def test_svg_is_a_document_with_a_quiet_zone() -> None:
    text = svg(URI).decode()
    assert text.startswith("<?xml")
    assert "viewBox" in text


def test_uri_too_long_for_a_label_is_refused_with_the_limit() -> None:
    with pytest.raises(ValueError, match=str(MAX_URI_LENGTH)):
        svg("https://trace.example.cn/" + "x" * MAX_URI_LENGTH)
