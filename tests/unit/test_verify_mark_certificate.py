"""Mark certificates: one that is right, and each of what can be wrong with one."""

import base64
import gzip
from pathlib import Path

import pytest

from mailstack.verify.mark_certificate import read_mark
from tests.unit.brand_marks import LOGO, WEB_USE, Authority, data_url

NAMES = ("example.com", "default._bimi.example.com")


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def trusted(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return authority.trusted(tmp_path_factory.mktemp("marks"))


def faults(pem: bytes, trusted: Path | None, logo: bytes | None = LOGO.encode()) -> list[tuple[str, bool]]:
    mark = read_mark(pem, NAMES, logo=logo, authorities=trusted)
    assert all(fault.expected for fault in mark.faults)
    return [(fault.found, fault.grave) for fault in mark.faults]


@pytest.mark.parametrize("names", [("example.com",), ("x.example", "Default._bimi.EXAMPLE.com")])
def test_a_certificate_for_domain_and_logo_is_right(
    authority: Authority, trusted: Path, names: tuple[str, ...]
) -> None:
    assert faults(authority.mark(*names), trusted) == []


@pytest.mark.parametrize(
    "url", [data_url(LOGO, packed=False), data_url(LOGO).replace(b"svg+xml", b"svg+xml-gzip")], ids=["plain", "gzip"]
)
def test_every_way_to_write_the_logo_is_read(authority: Authority, trusted: Path, url: bytes) -> None:
    assert faults(authority.mark("example.com", url=url), trusted) == []


def test_the_logo_is_not_compared_where_it_is_not_known(authority: Authority, trusted: Path) -> None:
    other = data_url(LOGO.replace("Example", "Other"))
    assert faults(authority.mark("example.com", url=other), trusted, logo=None) == []
    assert faults(authority.mark("example.com", url=other), trusted) == [
        ("the logo in it is another than the one that is served", True)
    ]


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (("example.net",), "it is for example.net"),
        (("mail.example.com", "*.example.com"), "it is for mail.example.com, *.example.com"),
        (("brand._bimi.example.com",), "it is for brand._bimi.example.com"),
    ],
    ids=["another domain", "below it", "another selector"],
)
def test_a_certificate_for_another_name_fails(
    authority: Authority, trusted: Path, names: tuple[str, ...], shown: str
) -> None:
    assert faults(authority.mark(*names), trusted) == [(shown, True)]


@pytest.mark.parametrize(
    ("days", "words", "grave"),
    [
        ((-400, -3), "it ended 2 days ago", True),
        ((5, 300), "it begins on ", True),
        ((-300, 5), "it ends in 5 days, ", False),
    ],
    ids=["over", "not yet", "soon over"],
)
def test_the_time_of_a_certificate_is_told(
    authority: Authority, trusted: Path, days: tuple[float, float], words: str, grave: bool
) -> None:
    ((found, is_grave),) = faults(authority.mark("example.com", days=days), trusted)
    assert found.startswith(words)
    assert is_grave is grave


def test_a_certificate_of_a_web_server_is_no_mark_certificate(authority: Authority, trusted: Path) -> None:
    assert faults(authority.mark("example.com", use=WEB_USE), trusted) == [("it is no mark certificate", True)]
    assert ("it is no mark certificate", True) in faults(authority.mark("example.com", use=None), trusted)


def test_an_authority_that_nobody_knows_fails_and_so_does_a_gap_in_the_chain(
    authority: Authority, trusted: Path
) -> None:
    unknown = [("it leads to no mark verifying authority", True)]
    assert faults(authority.mark("example.com"), None) == unknown
    assert faults(authority.mark("example.com", whole=False), trusted) == unknown
    forged = Authority().mark("example.com")
    ((found, grave),) = faults(forged, trusted)
    assert found.startswith("it leads to no mark verifying authority")
    assert grave


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (b"", "there is no logo in it"),
        (b"https://example.com/logo.svg", "the logo in it cannot be read"),
        (b"data:image/svg+xml,%3Csvg/%3E", "the logo in it cannot be read"),
        (b"data:image/svg+xml;base64,@@@@", "the logo in it cannot be read: "),
        (b"data:image/svg+xml;base64," + base64.b64encode(b"\x1f\x8bnone"), "the logo in it cannot be read: no gzip"),
        (
            b"data:image/svg+xml;base64," + base64.b64encode(gzip.compress(bytes(5_000_000))),
            "the logo in it is another than the one that is served",
        ),
    ],
    ids=["none", "elsewhere", "not base64", "bad base64", "no gzip", "a bomb"],
)
def test_a_certificate_without_a_logo_that_can_be_read_fails(
    authority: Authority, trusted: Path, url: bytes, words: str
) -> None:
    ((found, grave),) = faults(authority.mark("example.com", url=url), trusted)
    assert found.startswith(words)
    assert grave


@pytest.mark.parametrize("pem", [b"", b"<html>", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_what_is_no_certificate_fails(pem: bytes) -> None:
    ((found, grave),) = faults(pem, None)
    assert found.startswith("no certificates: ")
    assert grave


def test_all_that_is_wrong_is_told(authority: Authority) -> None:
    found = faults(authority.mark("example.net", use=WEB_USE, days=(-9, -3), url=b""), None)
    assert len(found) == 5
