"""The rules of SVG Tiny PS: what a logo must have, and everything it must not."""

import gzip
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailstack.verify.brand_logo import LARGEST, inflated, read_logo
from tests.unit.brand_marks import LOGO

RECT = '<rect width="512" height="512" fill="url(#g)"/>'


def instead(old: str, new: str) -> str:
    assert old in LOGO
    return LOGO.replace(old, new, 1)


def within(more: str) -> str:
    return instead(RECT, RECT + more)


def test_a_logo_of_the_profile_has_no_faults() -> None:
    logo = read_logo(LOGO.encode())
    assert (logo.faults, logo.title) == ([], "Example")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_other_encodings_are_read_too(encoding: str) -> None:
    assert read_logo(LOGO.replace("UTF-8", encoding).encode(encoding)).faults == []


GRAVE = {
    "no version": (instead(' version="1.2"', ""), "no version"),
    "another version": (instead('version="1.2"', 'version="1.1"'), 'version="1.1"'),
    "no profile": (instead(' baseProfile="tiny-ps"', ""), "no baseProfile"),
    "another profile": (instead("tiny-ps", "tiny"), 'baseProfile="tiny"'),
    "no title": (instead("<title>Example</title>", ""), "no title"),
    "an empty title": (instead("Example", " "), "an empty title"),
    "two titles": (within("<title>B</title>"), "2 titles"),
    "a title elsewhere": (instead("<title>Example</title>", "<g><title>Example</title></g>"), "no title"),
    "no box": (instead(' viewBox="0 0 512 512"', ""), "no viewBox"),
    "a box of three": (instead("0 0 512 512", "0 0 512"), 'viewBox="0 0 512"'),
    "a box of words": (instead("0 0 512 512", "0 0 nan inf"), 'viewBox="0 0 nan inf"'),
    "a box of nothing": (instead("0 0 512 512", "0 0 0 0"), 'viewBox="0 0 0 0"'),
    "a place": (instead("<svg ", '<svg x="0px" '), "x at <svg>"),
    "a part of all": (instead("<svg ", '<svg width="100%" '), 'width="100%"'),
    "script": (within("<script>alert(1)</script>"), "<script>"),
    "event": (instead("<rect ", '<rect onclick="alert(1)" '), "onclick at <rect>"),
    "event of the whole": (instead("<svg ", '<svg onload="alert(1)" '), "onload at <svg>"),
    "animation": (within('<animate attributeName="x" to="1"/>'), "<animate>"),
    "animation by set": (within('<set attributeName="x" to="1"/>'), "<set>"),
    "an image of pixels": (within('<image href="data:image/png;base64,AAAA"/>'), "<image>"),
    "html within": (within("<foreignObject/>"), "<foreignObject>"),
    "a link": (within("<a/>"), "<a>"),
    "style": (instead("<rect ", '<rect style="fill:red" '), "style at <rect>"),
    "style element": (within("<style>rect {}</style>"), "<style>"),
    "filter": (within("<filter/>"), "<filter>"),
    "svg in svg": (within("<svg/>"), "<svg> within <svg>"),
    "outside by use": (
        within('<use href="https://example.net/x.svg#a"/>'),
        "<use> refers to https://example.net/x.svg#a",
    ),
    "outside by xlink": (
        within('<use xmlns:xlink="http://www.w3.org/1999/xlink" xlink:href="//example.net/a"/>'),
        "<use> refers to //example.net/a",
    ),
    "outside by url()": (
        instead("url(#g)", "URL( 'https://example.net/g' )"),
        "<rect> refers to https://example.net/g",
    ),
    "outside by base": (
        instead("<svg ", '<svg xml:base="https://example.net/" '),
        "<svg> refers to https://example.net/",
    ),
    "javascript": (within('<use href="javascript:alert(1)"/>'), "<use> refers to javascript:alert(1)"),
    "zoom": (instead("<svg ", '<svg zoomAndPan="magnify" '), 'zoomAndPan="magnify"'),
    "a drawing program's": (
        within('<i:pgf xmlns:i="http://ns.adobe.com/AdobeIllustrator/10.0/"/>'),
        "<pgf> of http://ns.adobe.com/AdobeIllustrator/10.0/",
    ),
    "no namespace": (instead(' xmlns="http://www.w3.org/2000/svg"', ""), "the outermost element is not <svg>"),
    "another document": ("<html/>", "the outermost element is not <svg>"),
    "a document type": (instead("<svg", "<!DOCTYPE svg>\n<svg"), "it has a document type"),
    "entities": (
        instead("<svg", '<!DOCTYPE svg [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>\n<svg'),
        "it has a document type",
    ),
    "a file of ours": (
        instead("<svg", '<!DOCTYPE svg [<!ENTITY a SYSTEM "file:///etc/passwd">]>\n<svg').replace("Example", "&a;"),
        "it has a document type",
    ),
    "a style sheet": (
        instead("<svg", '<?xml-stylesheet href="https://example.net/a.css"?>\n<svg'),
        "<?xml-stylesheet?>",
    ),
    "no XML": ("\x89PNG", "no XML"),
    "cut off": (LOGO[:-20], "no XML"),
    "nothing": ("", "no XML"),
    "too large": (LOGO + " " * LARGEST, f"more than {LARGEST} bytes"),
}


@pytest.mark.parametrize(("svg", "words"), GRAVE.values(), ids=GRAVE)
def test_what_receivers_refuse_is_a_grave_fault(svg: str, words: str) -> None:
    faults = read_logo(svg.encode()).faults
    assert any(words in fault.found and fault.grave for fault in faults), faults
    assert all(fault.expected for fault in faults)


@pytest.mark.parametrize(
    ("svg", "words"),
    [
        (instead("0 0 512 512", "0 0 512 256"), "512 wide and 256 high"),
        (instead("Example", "E" * 65), "a title of 65 characters"),
    ],
    ids=["not square", "a long title"],
)
def test_what_only_looks_bad_is_no_grave_fault(svg: str, words: str) -> None:
    (fault,) = read_logo(svg.encode()).faults
    assert (fault.found, fault.grave) == (words, False)


@pytest.mark.parametrize(
    "svg",
    [
        within('<use href="#g"/>'),
        within('<metadata><r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/></metadata>'),
        instead("0 0 512 512", "-1.5,0 5e2 500.0"),
        instead("<svg ", '<svg width="512" height="512px" zoomAndPan="disable" '),
        instead("tiny-ps", "tiny-ps").replace("#fff", "white"),
    ],
    ids=["own names", "metadata", "numbers of all kinds", "pixels", "a colour by name"],
)
def test_what_the_profile_lets_is_no_fault(svg: str) -> None:
    assert read_logo(svg.encode()).faults == []


def test_the_gravest_fault_comes_first() -> None:
    faults = read_logo(instead("0 0 512 512", "0 0 512 256").replace("</svg>", "<script/></svg>").encode()).faults
    assert [fault.found for fault in faults] == ["<script>", "512 wide and 256 high"]


def test_a_packed_logo_is_inflated_so_far_and_no_further() -> None:
    assert inflated(gzip.compress(LOGO.encode()), LARGEST) == LOGO.encode()
    assert inflated(LOGO.encode(), LARGEST) == LOGO.encode()
    bomb = gzip.compress(bytes(5_000_000))
    assert len(inflated(bomb, LARGEST)) == LARGEST + 1
    with pytest.raises(ValueError, match="no gzip"):
        inflated(b"\x1f\x8bnone", LARGEST)


@given(st.binary(max_size=2000) | st.text(max_size=500).map(lambda text: within(text).encode("utf-8", "surrogatepass")))
def test_whatever_a_server_sends_is_judged_and_never_an_error(data: bytes) -> None:
    with suppress(ValueError):
        read_logo(inflated(data, LARGEST))
