"""Digital Links and EPC URNs: one name for each thing, and nothing GS1 forbids."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanlu.trace.epcis.canonical import link_of, lot_uri, thing_uri
from hanlu.trace.epcis.digital_link import DigitalLink, DigitalLinkError, parse_digital_link
from hanlu.trace.epcis.epc_urn import from_epc_urn, to_epc_urn
from hanlu.trace.epcis.gs1_keys import check_digit, is_gtin

CSET82 = "!\"%&'()*+,-./0123456789:;<=>?ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"
serials = st.text(CSET82, min_size=1, max_size=20)
prefix_lengths = st.integers(6, 12)


def _digits(count: int) -> st.SearchStrategy[str]:
    return st.text("0123456789", min_size=count, max_size=count)


def _checked(count: int) -> st.SearchStrategy[str]:
    return _digits(count - 1).map(lambda digits: digits + str(check_digit(digits)))


links = st.one_of(
    st.builds(lambda value: DigitalLink("00", value), _checked(18)),
    st.builds(lambda value, lot: DigitalLink("01", value, (("10", lot),)), _checked(14), serials),
    st.builds(lambda value, serial: DigitalLink("01", value, (("21", serial),)), _checked(14), serials),
    st.builds(lambda value: DigitalLink("414", value), _checked(13)),
    st.builds(
        lambda value, extension: DigitalLink("414", value, (("254", extension),)),
        _checked(13),
        serials.filter(lambda text: text != "0"),
    ),
    st.builds(lambda value: DigitalLink("417", value), _checked(13)),
    st.builds(lambda value, serial: DigitalLink("8003", "0" + value + serial[:16]), _checked(13), serials),
    st.builds(lambda digits, rest: DigitalLink("8004", digits + rest[:18]), _digits(12), serials),
)


@pytest.mark.parametrize(
    ("digits", "digit"),
    [("629104150021", 3), ("00614141123456789", 0), ("401234500001", 6), ("1234567", 0), ("04012345111111111", 0)],
)
def test_check_digit_is_computed_from_the_right(digits, digit):
    assert check_digit(digits) == digit


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("6291041500213", True),
        ("6291041500214", False),
        ("12345670", True),
        ("1234567", False),
        ("٦٢٩١٠٤١٥٠٠٢١٣", False),
    ],
)
def test_gtin_is_known_by_length_and_check_digit(text, good):
    assert is_gtin(text) is good


def test_lot_link_is_read_and_written():
    link = parse_digital_link(
        "https://trace.example:8443/t/01/06901234567892/22/A/10/TAO%2F1/21/7?17=260731&lang=zh#top"
    )
    assert link == DigitalLink("01", "06901234567892", (("22", "A"), ("10", "TAO/1"), ("21", "7")), (("17", "260731"),))
    assert (link.lot, link.serial) == ("TAO/1", "7")
    assert link.canonical() == "https://id.gs1.org/01/06901234567892/22/A/10/TAO%2F1/21/7"
    assert link.at("http://127.0.0.1:8080/") == "http://127.0.0.1:8080/01/06901234567892/22/A/10/TAO%2F1/21/7?17=260731"
    assert link.without("21", "22").canonical() == "https://id.gs1.org/01/06901234567892/10/TAO%2F1"


@given(links)
def test_link_comes_back_from_its_canonical_form(link):
    assert parse_digital_link(link.canonical()) == link


@given(links, prefix_lengths)
def test_link_comes_back_from_its_urn(link, length):
    assert from_epc_urn(to_epc_urn(link, length)) == link
    assert thing_uri(to_epc_urn(link, length)) == link.canonical()


@pytest.mark.parametrize(
    ("urn", "length", "uri"),
    [
        ("urn:epc:id:sgtin:4012345.011111.987", 7, "https://id.gs1.org/01/04012345111118/21/987"),
        ("urn:epc:class:lgtin:4012345.012345.Lot%2F1", 7, "https://id.gs1.org/01/04012345123456/10/Lot%2F1"),
        ("urn:epc:id:sgln:4012345.00005.0", 7, "https://id.gs1.org/414/4012345000054"),
        ("urn:epc:id:sgln:4012345.00005.R1", 7, "https://id.gs1.org/414/4012345000054/254/R1"),
        ("urn:epc:id:sscc:4012345.3111111111", 7, "https://id.gs1.org/00/340123451111111111"),
        ("urn:epc:id:pgln:999999999999.", 12, "https://id.gs1.org/417/9999999999994"),
        ("urn:epc:id:grai:4012345.00022.33", 7, "https://id.gs1.org/8003/0401234500022133"),
        ("urn:epc:id:giai:4012345.ABC", 7, "https://id.gs1.org/8004/4012345ABC"),
    ],
)
def test_urn_and_link_name_the_same_thing(urn, length, uri):
    assert from_epc_urn(urn).canonical() == uri
    assert to_epc_urn(parse_digital_link(uri), length) == urn


@pytest.mark.parametrize(
    "uri",
    [
        "https://id.gs1.org/01/06901234567893",
        "https://id.gs1.org/01/6901234567892",
        "https://id.gs1.org/01/06901234567892/10",
        "https://id.gs1.org/01/06901234567892/10/",
        "https://id.gs1.org/01/06901234567892/21/7/10/A",
        "https://id.gs1.org/01/06901234567892/10/A/10/B",
        "https://id.gs1.org/01/06901234567892/10/" + "A" * 21,
        "https://id.gs1.org/01/06901234567892/10/A%ZZ",
        "https://id.gs1.org/01/06901234567892/10/%C3%A9",
        "https://id.gs1.org/01/06901234567892/10/%FF",
        "https://id.gs1.org/01/06901234567892/10/A%0A",
        "https://id.gs1.org/01/06901234567892/10/é",
        "https://id.gs1.org/01/06901234567892/254/X",
        "https://id.gs1.org/01/06901234567892?10=A",
        "https://id.gs1.org/01/06901234567892?17=261332",
        "https://id.gs1.org/01/06901234567892?17=260230",
        "https://id.gs1.org/01/06901234567892?13=260101&13=260101",
        "https://id.gs1.org/00/340123451111111111?02=06901234567890",
        "https://id.gs1.org/00/340123451111111111?414=9520123456789",
        "https://id.gs1.org/00/340123451111111111?00=340123451111111111",
        "https://id.gs1.org/8004/ABC",
        "https://id.gs1.org/8003/14012345000221",
        "https://[fe80::1%25eth0]/01/06901234567892",
        "https://-a/01/06901234567892",
        "urn:epc:id:sgtin:4012345.011111.987",
        "https://id.gs1.org/01/06901234567892/10/" + "A" * 2048,
        "id.gs1.org/01/06901234567892",
    ],
)
def test_link_gs1_forbids_is_refused(uri):
    with pytest.raises(DigitalLinkError):
        parse_digital_link(uri)


@pytest.mark.parametrize(
    "urn",
    [
        "urn:epc:id:sgtin:4012345.01111.987",
        "urn:epc:id:sgtin:40123.0111111.987",
        "urn:epc:id:sgtin:4012345.011111.",
        "urn:epc:id:sgtin:4012345.011111." + "9" * 21,
        "urn:epc:id:sgtin:4012345.011111.a/b",
        "urn:epc:id:sgtin:4012345.011111.a%2",
        "urn:epc:id:sscc:4012345.31111111111",
        "urn:epc:id:lgtin:4012345.012345.L",
        "urn:epc:class:sgtin:4012345.011111.987",
        "urn:epc:idpat:sgtin:4012345.*.*",
        "urn:epc:idpat:sgtin:4012345.011111.5",
        "urn:epc:id:cpi:4012345.AB12.X",
        "urn:epc:idpat:sgln:4012345.00005.*",
        "urn:epc:id:giai:4012345",
        "urn:epc:id:gdti:4012345.00009.1",
        "https://id.gs1.org/01/04012345111118",
        "",
    ],
)
def test_urn_hanlu_does_not_read_is_refused(urn):
    with pytest.raises(DigitalLinkError):
        from_epc_urn(urn)


@pytest.mark.parametrize(
    ("uri", "length"),
    [
        ("https://id.gs1.org/01/04012345111118/21/987", 5),
        ("https://id.gs1.org/01/04012345111118/21/987", 13),
        ("https://id.gs1.org/01/04012345111118", 7),
        ("https://id.gs1.org/8003/04012345000221", 7),
        ("https://id.gs1.org/8004/4012345", 7),
        ("https://id.gs1.org/8004/40123ABC", 7),
    ],
)
def test_link_without_a_urn_is_refused(uri, length):
    with pytest.raises(DigitalLinkError):
        to_epc_urn(parse_digital_link(uri), length)


def test_pattern_of_one_trade_item_is_its_class():
    assert from_epc_urn("urn:epc:idpat:sgtin:4012345.066666.*").canonical() == "https://id.gs1.org/01/04012345666663"


@pytest.mark.parametrize(
    ("uri", "lot"),
    [
        ("https://x.example/01/06901234567892/22/A/10/L1/21/7", "https://id.gs1.org/01/06901234567892/10/L1"),
        ("urn:epc:class:lgtin:4012345.012345.L1", "https://id.gs1.org/01/04012345123456/10/L1"),
        ("https://x.example/01/06901234567892/21/7", "https://id.gs1.org/01/06901234567892/21/7"),
        ("urn:epc:id:sscc:4012345.3111111111", "https://id.gs1.org/00/340123451111111111"),
        ("https://partner.example/batch/9", "https://partner.example/batch/9"),
    ],
)
def test_thing_belongs_to_its_lot(uri, lot):
    assert lot_uri(uri) == lot


def test_foreign_name_stays_as_it_is():
    assert link_of("urn:uuid:1b4e28ba-2fa1-11d2-883f-0016d3cca427") is None
    assert thing_uri("urn:epc:id:sgtin:1.2.3") == "urn:epc:id:sgtin:1.2.3"
